"""`overlayctl config`: what it says of a file, and what it writes when."""

import io
import json
import os
from pathlib import Path

import pytest

from overlayd.cli import ctl
from overlayd.daemon.trial import digest
from overlayd.protocol import local
from tests.overlayd.cli.fake_agent import FakeAgent

GOOD = '[[uplink]]\nname = "isp1"\naddress = "192.0.2.1"\n'
NEW = GOOD + "mtu = 1400\n"
CHANGE = local.ConfigChange("uplink[0].mtu", 1500, 1400, live=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "overlayd.toml"
    made.write_text(GOOD)
    return made


def agent(file: Path, on_trial: str | None = None, **more: local.Result | local.Problem) -> FakeAgent:
    """One that tries what it is given; ``on_trial`` is already."""
    now = local.ConfigTrial(str(file), on_trial is not None, 42.0, on_trial and digest(on_trial), ())
    tried = local.ConfigTrial(str(file), True, 60.0, digest(NEW), (CHANGE,))
    over = local.ConfigTrial(str(file), False, 0.0, None, ())
    answers = {"config-trial": now, "config-try": tried, "config-end": over} | more
    return FakeAgent(file.with_name("sock"), **answers)


def run(file: Path, *words: str) -> int:
    return ctl.main(["config", *words, "--socket", str(file.with_name("sock"))])


def test_check_names_the_place_and_the_nearest_key(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(["config", "check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file} is a configuration\n"
    file.write_text(GOOD.replace("address", "adress"))
    assert ctl.main(["config", "check", str(file)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"overlayctl: {file}: uplink[0].adress: unknown key; did you mean 'address'?\n"
    assert ctl.main(["config", "check", str(file), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["key"], found["schema"]) == (
        False,
        "uplink[0].adress",
        "overlayd.config-check/1",
    )


def test_check_reads_stdin_and_lays_environment_and_flags_over_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, variable, code in (
        ([], "1300", 0),
        ([], "100", 1),
        (["--set", "engine.mtu=1300"], "1400", 0),
        (["--set", "engine.mtu=1"], "1400", 1),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(GOOD))
        monkeypatch.setenv("OVERLAYD_ENGINE_MTU", variable)
        assert ctl.main(["config", "check", "-", *words]) == code
    assert "--set engine.mtu: engine.mtu: 1 is out of range" in capsys.readouterr().err


def test_what_is_not_there_is_not_found(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(["config", "check", str(file) + ".gone"]) == 4
    assert "No such file" in capsys.readouterr().err


def test_diff_shows_what_takes_a_restart(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = local.ConfigDiff(str(file), (CHANGE, local.ConfigChange("engine.shards", "auto", 1, live=False)))
    with FakeAgent(file.with_name("sock"), **{"config-diff": told}) as asked:
        assert run(file, "diff", str(file)) == 0
    assert asked.asked[0].arguments == {"text": GOOD}
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        ["uplink[0].mtu", "1500", "1400", "at", "once"],
        ["engine.shards", "auto", "1", "restart"],
    ]


def test_a_trial_leaves_the_file_as_it_is(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = file.with_name("new.toml")
    new.write_text(NEW)
    with agent(file) as asked:
        assert run(file, "apply", str(new), "--confirm-within", "60s", "--config", str(file)) == 0
    assert [one.verb for one in asked.asked] == ["config-trial", "config-try"]
    assert asked.asked[1].arguments == {"text": NEW, "within_s": 60, "restart": False}
    assert file.read_text() == GOOD
    assert "on trial for 60 s" in capsys.readouterr().out


def test_what_is_confirmed_is_in_the_file_and_the_one_before_beside_it(file: Path) -> None:
    file.with_name("overlayd.toml.next").write_text(NEW)
    with agent(file, on_trial=NEW) as asked:
        assert run(file, "confirm", "--config", str(file)) == 0
    assert [one.verb for one in asked.asked] == ["config-trial", "config-end"]
    assert file.read_text() == NEW
    assert file.with_name("overlayd.toml.previous").read_text() == GOOD
    assert not file.with_name("overlayd.toml.next").exists()


def test_nothing_but_what_is_on_trial_is_kept(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with agent(file, on_trial=NEW):
        assert run(file, "confirm", "--config", str(file)) == 7
    file.with_name("overlayd.toml.next").write_text(NEW + "# touched\n")
    with FakeAgent(
        file.with_name("sock2"),
        **{"config-trial": local.ConfigTrial(str(file), True, 42.0, digest(NEW), ())},
    ) as asked:
        words = ["config", "confirm", "--config", str(file), "--socket", asked.path]
        assert ctl.main(words) == 7
    assert file.read_text() == GOOD
    assert "is not what is on trial" in capsys.readouterr().err


def test_a_confirmation_that_comes_too_late_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.with_name("overlayd.toml.next").write_text(NEW)
    with agent(file):
        assert run(file, "confirm", "--config", str(file)) == 4
    assert file.read_text() == GOOD
    assert "nothing is on trial" in capsys.readouterr().err


def test_apply_for_good_tries_and_keeps(file: Path) -> None:
    new = file.with_name("new.toml")
    new.write_text(NEW)
    with agent(file) as asked:
        assert run(file, "apply", str(new), "--config", str(file)) == 0
    assert [one.verb for one in asked.asked] == ["config-trial", "config-try", "config-end"]
    assert file.read_text() == NEW


def test_what_the_agent_refuses_is_left_nowhere(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = file.with_name("new.toml")
    new.write_text(NEW)
    with agent(file, **{"config-try": local.Problem("conflict", "the engine has to be started anew")}):
        assert run(file, "apply", str(new), "--config", str(file)) == 7
    assert sorted(os.listdir(file.parent)) == ["new.toml", "overlayd.toml", "sock"]
    assert file.read_text() == GOOD
    assert "started anew" in capsys.readouterr().err


def test_only_the_agents_own_file_is_written(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with agent(file):
        assert run(file, "apply", str(file), "--config", str(file) + ".other") == 2
    assert "name it with --config" in capsys.readouterr().err


def test_rollback_ends_a_trial_now(file: Path) -> None:
    with agent(file, on_trial=NEW) as asked:
        assert run(file, "rollback") == 0
    assert [one.verb for one in asked.asked] == ["config-trial", "config-end"]
