"""`overlayctl` against an agent that answers from a script: exit codes, streams and forms of output."""

import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from overlayd.cli import ctl, ctl_client
from overlayd.protocol import local
from overlayd.protocol.framing import encode_frame
from tests.overlayd.cli.fake_agent import FakeAgent
from tools.commands import read

STATUS = local.Status(
    version="0.1.0",
    node="paris",
    state="offline",
    engine=local.EngineStatus(
        True, "0.1.0", "overlay0", 12, probing=local.ProbingStatus(3_640, 1_000_000, 20.0, 5_062.5)
    ),
    controller=local.ControllerStatus(False, "wss://192.0.2.1:7443", 200.0, 41, "connection refused"),
    peers=(
        local.PeerStatus("berlin", ("100.64.0.2",), "alive", ("rome", "berlin"), 45.26, 0.0, 1, 1),
        local.PeerStatus("oslo", ("100.64.0.4",), "dead", (), None, None, 0, 1),
    ),
    degraded=("controller: connection refused", "oslo: no path is alive"),
    addresses=("100.64.0.1",),
)
EXPLANATION = local.Explanation(
    source="paris",
    destination="berlin",
    service="interactive",
    decider="controller",
    reason="least q80 RTT",
    decided_at=1.7e9,
    candidates=(
        local.CandidateRow(
            ("rome", "berlin"), "primary", True, 0, "32.0 ms forecast", 34.0, 32.0, 31.5, 0.001, 0.0
        ),
        local.CandidateRow(
            ("berlin",), "backup", False, 1, "8 % loss", 120.0, 120.0, 118.0, 0.08, 0.081,
            now="held down: RTT 110.0 ms, bound 60.0 ms", hold_left_s=48.0,
        ),
    ),
)  # fmt: skip
TRACE = local.Trace(
    destination="berlin",
    service="interactive",
    path=("rome", "berlin"),
    hops=(
        local.HopRow("paris", "rome", True, 12.0, 0.08, 0.079, 0.0, 0.1, 0.02, None, 1.4, 0.0, 43.0),
        local.HopRow("rome", "berlin", None, problem="rome: its agent did not answer within 3 s"),
    ),
    rtt_ms=45.0,
    loss_ratio=0.0,
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "overlayd.sock"


def run(place: Path, *words: str) -> int:
    return ctl.main([*words, "--socket", str(place)])


def test_status_for_a_person_says_which_peers_are_dead(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeAgent(place, status=STATUS):
        assert run(place, "status") == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert lines[0] == "paris is offline, overlay address 100.64.0.1"
    berlin = next(line for line in lines if line.startswith("berlin"))
    assert berlin.split() == ["berlin", "alive", "via", "rome", "45.3", "ms", "0.0", "%", "1/1"]
    oslo = next(line for line in lines if line.startswith("oslo"))
    assert oslo.split() == ["oslo", "dead", "-", "-", "-", "0/1"]
    assert "! oslo: no path is alive" in lines
    assert "probes      3.6 of 1000 kB/s, each 20 ms in use, each 5.1 s idle" in lines
    assert output.err == ""


def test_status_checks_only_when_asked_to(place: Path) -> None:
    with FakeAgent(place, status=STATUS):
        assert run(place, "status") == 0
        assert run(place, "status", "--check") == 6
    with FakeAgent(place.with_name("well.sock"), status=msgspec.structs.replace(STATUS, degraded=())):
        assert run(place.with_name("well.sock"), "status", "--check") == 0


def test_json_is_the_agents_answer_with_its_schema(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeAgent(place, status=STATUS):
        assert run(place, "status", "-o", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "overlayd.status/1"
    assert msgspec.convert(document, local.Status) == STATUS


def test_jsonl_is_a_document_for_each_row(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeAgent(place, explain=EXPLANATION):
        assert run(place, "explain", "berlin", "-o", "jsonl") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["path"] for row in rows] == [["rome", "berlin"], ["berlin"]]
    assert {row["schema"] for row in rows} == {"overlayd.local.explanation/1"}


def test_explain_names_chosen_and_rejected_paths_with_figures_and_reasons(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeAgent(place, explain=EXPLANATION) as agent:
        assert run(place, "explain", "berlin", "--class", "interactive") == 0
    assert agent.asked[0].arguments == {"destination": "berlin", "service": "interactive"}
    output = capsys.readouterr().out
    assert "decided by the controller: least q80 RTT" in output
    chosen = next(line for line in output.splitlines() if line.startswith("→"))
    assert "via rome" in chosen and "32.0 ms" in chosen and "31.5 ms" in chosen
    assert "primary, first" in chosen
    other = next(line for line in output.splitlines() if "direct" in line)
    assert "backup, second" in other
    assert "120.0 ms" in other and "8.1 %" in other and "48 s of health to go" in other


def test_explain_of_another_source_needs_a_controller(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeAgent(place, status=STATUS, explain=EXPLANATION):
        assert run(place, "explain", "paris", "berlin") == 0
        assert run(place, "explain", "rome", "berlin") == 2
    assert "--controller" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-5", "nan", "1e12"])
def test_a_senseless_timeout_of_a_trace_is_a_usage_error(place: Path, seconds: str) -> None:
    with FakeAgent(place, trace=TRACE) as agent:
        assert run(place, "trace", "berlin", "-W", seconds) == 2
    assert agent.asked == []


def test_routes_of_another_source_need_a_controller(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "route", "list", "--source", "rome") == 2
    assert "--controller" in capsys.readouterr().err


def test_trace_shows_repaired_loss_and_says_who_was_silent(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeAgent(place, trace=TRACE):
        assert run(place, "trace", "berlin") == 0
    lines = capsys.readouterr().out.splitlines()
    first, second = lines[-2:]
    told = first.split("up")[1].split()
    assert told == "12.0 ms 8.0 % 7.9 % 0.0 % 1.4 10.0 % 2.0 % 0.0 ms 43.0 ms".split()
    assert "unknown" in second and "did not answer" in second


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("usage", 2),
        ("not-found", 4),
        ("denied", 5),
        ("degraded", 6),
        ("conflict", 7),
        ("unreachable", 3),
        ("timeout", 124),
        ("odd", 1),
    ],
)
def test_problems_become_exit_codes_and_go_to_stderr(
    place: Path, capsys: pytest.CaptureFixture[str], code: str, exit_code: int
) -> None:
    with FakeAgent(place, join=local.Problem(code, "the reason")):
        assert run(place, "join", "ovl1_x") == exit_code
    output = capsys.readouterr()
    assert output.out == "" and output.err == "overlayctl: the reason\n"


def test_without_an_agent_the_exit_code_is_3(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "status") == 3
    assert "is `overlayd agent` running?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "exit_code"),
    [
        (b"", 3),
        (b"\x00\x00", 3),
        (b"\xff\xff\xff\xff", 1),
        (encode_frame(b"{broken"), 1),
        (encode_frame(b"{}"), 1),
    ],
)
def test_an_answer_that_is_not_ours_is_a_failure_not_a_crash(
    place: Path, answer: bytes, exit_code: int
) -> None:
    with FakeAgent(place, status=answer):
        assert run(place, "status") == exit_code


def test_a_wrong_verb_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as error:
        ctl.main(["dance"])
    assert error.value.code == 2


def test_the_token_can_come_from_stdin(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("ovl1_secret\n"))
    with FakeAgent(place, join=local.Done("joined as paris")) as agent:
        assert run(place, "join", "-") == 0
    assert agent.asked[0].arguments == {"token": "ovl1_secret"}


def test_without_the_labs_all_else_works_and_what_is_missing_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sim.lab.cli", None)  # as where it cannot be imported
    assert ctl.main(["lab", "up", "two-nodes", "--seed", "7"]) == 1
    assert "extra `sim`" in capsys.readouterr().err
    with pytest.raises(SystemExit) as error:
        ctl.main(["--help"])
    assert error.value.code == 0


def test_every_verb_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    verbs = ["version", "status", "join", "leave", "ping", "trace", "explain"]
    nouns = ["node list", "link list", "route list", "token list", "token create"]
    nouns += [f"lab {verb}" for verb in ("up", "impair", "check", "down", "list")]
    for words in [*verbs, *nouns]:
        with pytest.raises(SystemExit) as error:
            ctl.main([*words.split(), "--help"])
        assert error.value.code == 0
        assert f"example: overlayctl {words}" in capsys.readouterr().out


def test_the_client_speaks_the_protocol_of_the_agent() -> None:
    assert ctl_client.PROTOCOL == local.PROTOCOL


def test_status_imports_nothing_but_the_standard_library(place: Path) -> None:
    program = (
        "import sys; from overlayd.cli import ctl; "
        f"ctl.main(['status', '--socket', {str(place)!r}]); "
        "print(*({'msgspec', 'asyncio', 'rich', 'cryptography', 'ssl'} & sys.modules.keys()))"
    )
    with FakeAgent(place, status=STATUS):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
        )
    assert done.stdout.splitlines()[-1] == ""


def test_every_command_shows_an_example_that_it_takes() -> None:
    for leaf in read(ctl.parser()).leaves():
        assert leaf.epilog.startswith("example: overlayctl "), leaf.path
        for example in leaf.epilog.removeprefix("example: ").split("; "):
            program, *words = shlex.split(example.partition(" < ")[0])
            assert program == "overlayctl" and tuple(words[: len(leaf.path) - 1]) == leaf.path[1:], example
            assert ctl.parser(words).parse_args(words).handler
