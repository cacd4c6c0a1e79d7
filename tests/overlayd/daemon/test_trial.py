"""A trial lasts until its moment, in this boot, and is ignored when it is damaged or says too much."""

import stat
from pathlib import Path

import msgspec
import pytest

from overlayd.daemon import trial
from overlayd.daemon.errors import ConfigurationError
from overlayd.daemon.trial import Source

FILE = '[node]\nname = "paris"\nruntime_dir = "{folder}"\n[[uplink]]\nname = "isp1"\naddress = "192.0.2.1"\n'
MORE = "mtu = 1400\n"


@pytest.fixture
def source(tmp_path: Path) -> Source:
    file = tmp_path / "overlayd.toml"
    file.write_text(FILE.format(folder=tmp_path))
    return Source(file)


def text(source: Source, more: str = MORE) -> str:
    return source.file.read_text() + more


def test_environment_and_flags_go_over_a_trial_as_over_the_file(source: Source) -> None:
    over = Source(source.file, {"OVERLAYD_ENGINE_MTU": "1300"}, ["log.level=debug"])
    over.begin(text(source) + '[engine]\nmtu = 1290\n[log]\nlevel = "error"\n', 60, restart=False)
    found = over.load()
    assert (found.engine.mtu, found.log.level, found.uplink[0].mtu) == (1300, "debug", 1400)


def test_a_trial_ends_at_its_moment(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = source.begin(text(source), 60, restart=False)
    assert source.load().uplink[0].mtu == 1400 and source.trial == begun
    monkeypatch.setattr(trial, "_now_ns", lambda: begun.until_ns)
    assert source.load().uplink[0].mtu == 1500 and source.trial is None


def test_a_trial_does_not_survive_a_boot(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    source.begin(text(source), 60, restart=False)
    monkeypatch.setattr(trial, "boot_id", lambda: "another")
    assert source.load().uplink[0].mtu == 1500


def test_a_trial_can_be_read_by_the_group_and_nobody_else(source: Source) -> None:
    source.begin(text(source), 60, restart=False)
    mode = (source.file.parent / "trial.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o640


@pytest.mark.parametrize("damage", [b"", b"{", b'{"text": 1}'])
def test_a_damaged_trial_is_none(source: Source, damage: bytes) -> None:
    source.begin(text(source), 60, restart=False)
    (source.file.parent / "trial.json").write_bytes(damage)
    assert source.load().uplink[0].mtu == 1500


def test_a_trial_says_nothing_of_where_trials_are(source: Source) -> None:
    moved = text(source).replace(str(source.file.parent), "/elsewhere")
    with pytest.raises(ConfigurationError, match="runtime_dir: cannot be tried"):
        source.check(moved)
    source.begin(moved, 60, restart=True)
    assert source.load().node.runtime_dir == str(source.file.parent)


def test_what_is_on_trial_is_known_by_the_digest_of_its_text(source: Source) -> None:
    begun = source.begin(text(source), 60, restart=False)
    stored = msgspec.json.decode((source.file.parent / "trial.json").read_bytes(), type=trial.Trial)
    assert stored == begun and stored.digest == trial.digest(text(source))
