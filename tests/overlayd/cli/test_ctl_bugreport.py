"""`overlayctl bugreport`: it tells what is wrong, and nothing that is secret."""

import json
import stat
import tarfile
from pathlib import Path

import pytest

from overlayd.cli import ctl
from overlayd.cli.ctl_bugreport import redacted
from overlayd.protocol import local
from overlayd.protocol.token import JoinToken, encode_token
from tests.overlayd.cli.fake_agent import FakeAgent

TOKEN = encode_token(JoinToken("wss://192.0.2.9:7443", "ab" * 32, "cd" * 32))
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIPlanted\n-----END PRIVATE KEY-----"
SECRETS = {
    "token": TOKEN,
    "hex key": "0badc0de" * 8,
    "base64 key": "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE9",
    "password": "hunter2",
    "bearer": "short-admin-word",
    "named": "correct horse",
    "PEM": "MC4CAQAwBQYDK2VwBCIEIPlanted",
}
LOG = f"""12:00 agent error: join failed token={SECRETS["token"]} psk={SECRETS["hex key"]}
12:01 agent info: asked https://admin:{SECRETS["password"]}@192.0.2.7/ by Bearer {SECRETS["bearer"]}
{{"admin_token": "{SECRETS["named"]}", "key": "{SECRETS["base64 key"]}"}}
{PEM}
12:02 agent warning: path changed destination=berlin
"""


def report(folder: Path, *words: str) -> str:
    """All that is in the archive, as one text."""
    config, log, file = folder / "overlayd.toml", folder / "agent.log", folder / "report.tar.gz"
    config.write_text(f'[[uplink]]\nname = "isp1"\naddress = "192.0.2.1"\n# {TOKEN}\n')
    log.write_text(LOG)
    problem = f"the record is not valid: {SECRETS['hex key']}"
    status = local.Status(
        "0.1.0",
        "paris",
        "offline",
        local.EngineStatus(True),
        local.ControllerStatus(False, f"wss://x:{SECRETS['password']}@192.0.2.9:7443", problem=problem),
        addresses=("100.64.0.1", "fd00::1"),
    )
    with FakeAgent(folder / "sock", status=status) as agent:
        more = ["--socket", agent.path, "--config", str(config), "--log", str(log), *words]
        assert ctl.main(["bugreport", str(file), *more]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as archive:
        parts = {entry.name: archive.extractfile(entry) for entry in archive.getmembers()}
        return "\n".join(f"{name}\n{part.read().decode()}" for name, part in parts.items() if part)


def test_no_planted_secret_comes_out_and_the_rest_does(tmp_path: Path) -> None:
    told = report(tmp_path)
    assert [name for name, secret in SECRETS.items() if secret in told] == []
    for useful in ("paris", "192.0.2.1", "destination=berlin", "100.64.0.1", "the record is not valid"):
        assert useful in told


def test_addresses_become_names_where_that_is_asked_for(tmp_path: Path) -> None:
    told = report(tmp_path, "--hide-addresses")
    for address in ("192.0.2.1", "192.0.2.7", "192.0.2.9", "100.64.0.1", "fd00::1"):
        assert address not in told
    assert "address-1" in told and "12:02 agent warning" in told


def test_without_an_agent_the_report_says_so_and_holds_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.tar.gz"
    words = ["bugreport", str(file), "--socket", str(tmp_path / "gone"), "--config", str(tmp_path / "none")]
    assert ctl.main([*words, "--json"]) == 0
    contents = json.loads(capsys.readouterr().out)["contents"]
    assert contents[:2] == ["host.txt", "status.txt"]
    assert ctl.main(words) == 1, "a file that is there is not written over"


@pytest.mark.parametrize(
    "text", ["mtu = 1380", "generation=41 peers=3", "path: rome, berlin", "12:00:00.123"]
)
def test_what_is_not_secret_stays(text: str) -> None:
    assert redacted(text) == text
