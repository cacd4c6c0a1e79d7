"""``overlayd-controller`` as people call it."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import pytest

from controller import cli
from controller.cli import main
from controller.config import ConfigError, load_config
from overlayd._engine import version
from overlayd.protocol.token import decode_token


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A fresh controller on free ports."""
    folder = tmp_path / "state"
    agents, api = free_port(), free_port()
    arguments = ["--network", "test", "--listen", f"127.0.0.1:{agents}", "--api", f"127.0.0.1:{api}"]
    assert main(["init", "--state", str(folder), *arguments]) == 0
    capsys.readouterr()
    return folder


def test_init_writes_secrets_for_their_owner_only(state: Path) -> None:
    files = [path for path in state.rglob("*") if path.is_file()]
    assert len(files) >= 8
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}


def test_init_refuses_an_existing_state_and_changes_nothing(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    assert main(["init", "--state", str(state), "--network", "other", "--listen", "127.0.0.1:1"]) == 7
    assert "holds a controller already" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}


def test_init_does_not_guess_how_agents_reach_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--state", str(tmp_path / "s"), "--network", "test"]) == 2
    assert "--advertise" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_every_command_but_init_says_when_there_is_no_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["serve"], ["token", "list"], ["token", "create", "--name", "a"], ["node", "list"]):
        assert main([*command, "--state", str(tmp_path / "nothing")]) == 4
        assert "overlayd-controller init" in capsys.readouterr().err


def test_a_token_is_printed_alone_on_stdout(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "create", "--state", str(state), "--name", "paris", "--relay"]) == 0
    printed = capsys.readouterr()
    token = decode_token(printed.out)
    assert token.url.startswith("wss://127.0.0.1:") and len(token.pin) == 64 and len(token.secret) == 64
    assert main(["token", "list", "--state", str(state), "-o", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["schema"] == "overlayd.controller.tokens/1"
    assert [(item["name"], item["state"], item["relay"]) for item in listed["items"]] == [
        ("paris", "open", True)
    ]
    assert token.secret not in json.dumps(listed)


@pytest.mark.parametrize(
    "arguments",
    [["--name", "Not a name"], ["--name", "a", "--prefix", "10.0.0.1/8"], ["--name", "a", "--prefix", "x"]],
)
def test_a_token_for_what_cannot_be_is_a_usage_error(state: Path, arguments: list[str]) -> None:
    assert main(["token", "create", "--state", str(state), *arguments]) == 2


def test_removing_who_is_not_there_is_not_found(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node", "remove", "--state", str(state), "nobody"]) == 4
    assert "'nobody'" in capsys.readouterr().err


def test_an_unknown_key_is_an_error_that_names_the_nearest(state: Path) -> None:
    file = state / "controller.toml"
    good = file.read_text()
    file.write_text(good.replace("listen =", "lisen ="))
    with pytest.raises(ConfigError, match=r"lisen: unknown key; did you mean 'listen'\?"):
        load_config(file)
    file.write_text(good.replace("minimum_interval", "minimal_interval"))
    with pytest.raises(ConfigError, match=r"decisions\.minimal_interval: .*'minimum_interval'"):
        load_config(file)
    assert main(["serve", "--state", str(state)]) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("interval = 60.0", "interval = 0.0", "decisions.interval: 0.0 is out of range: at least 0.1, at"),
        ("retention_days = 7.0", "retention_days = -1", "store.retention_days: -1 is out of range: above 0"),
        ("interval = 60.0", 'interval = "soon"', "decisions.interval: Expected `float`, got `str`"),
        ('level = "info"', 'level = "loud"', "'loud'"),
        ("listen = ", "listen = [] #", "listen: Expected `str`"),
        ("advertise = [", "advertise = [] # [", "advertise: "),
        ("wss://", "https://", "advertise: "),
        ("[log]", "[log", "not TOML"),
    ],
)
def test_a_wrong_value_is_refused_with_its_file(state: Path, old: str, new: str, said: str) -> None:
    file = state / "controller.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=r"controller\.toml") as error:
        load_config(file)
    assert said in str(error.value)


def test_a_newer_database_stops_every_command(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    connection = sqlite3.connect(state / "controller.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert main(["node", "list", "--state", str(state)]) == 1
    assert "schema version 99" in capsys.readouterr().err


def test_a_damaged_key_is_told(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state / "signer.key").write_text("nonsense")
    assert main(["node", "list", "--state", str(state)]) == 1
    assert "damaged" in capsys.readouterr().err


def test_a_port_in_use_is_named(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host, _, port = load_config(state / "controller.toml").listen.rpartition(":")
    with socket.create_server((host, int(port))):
        assert main(["serve", "--state", str(state)]) == 1
    assert f"port {port} is in use" in capsys.readouterr().err


def test_serve_tells_systemd_that_it_is_ready_and_alive_and_stops_on_a_signal(
    state: Path, tmp_path: Path
) -> None:
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(tmp_path / "notify"))
    notify.settimeout(60)
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
    command = [sys.executable, "-m", "controller.cli", "serve", "--state", str(state)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    try:
        assert notify.recv(100) == b"READY=1"
        api = load_config(state / "controller.toml").api
        with urllib.request.urlopen(f"http://{api}/healthz") as answer:
            assert json.load(answer) == {"status": "ok"}
        assert main(["token", "create", "--state", str(state), "--name", "oslo"]) == 0
        assert notify.recv(100) == b"WATCHDOG=1"
        process.terminate()
        while (said := notify.recv(100)) == b"WATCHDOG=1":
            pass
        assert said == b"STOPPING=1"
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()
        notify.close()


def test_the_command_line_imports_nothing_heavy_before_it_knows_the_command() -> None:
    code = "import sys, controller.cli; print({'numpy', 'fastapi', 'sqlite3'}.intersection(sys.modules) or 0)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "0"


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert (stopped.value.code, capsys.readouterr().out) == (0, f"overlayd-controller {version()}\n")


@pytest.mark.parametrize("arguments", [["token", "create"], ["frobnicate"], []])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_init_makes_tokens_for_the_first_hosts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "state"
    arguments = ["init", "--state", str(folder), "--network", "test", "--listen", "127.0.0.1:7443"]
    assert main([*arguments, "--node", "paris", "--relay", "rome", "-o", "json"]) == 0
    tokens = json.loads(capsys.readouterr().out)["items"][0]["tokens"]
    assert set(tokens) == {"paris", "rome"}
    assert decode_token(tokens["rome"]).url == "wss://127.0.0.1:7443"
    assert main(["token", "list", "--state", str(folder), "-o", "json"]) == 0
    listed = {row["name"]: row["relay"] for row in json.loads(capsys.readouterr().out)["items"]}
    assert listed == {"paris": False, "rome": True}


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The unit is installed for the state in ``state`` of the folder that is returned; systemd runs where
    there is a file ``systemd`` there, and its ``systemctl`` can do nothing.
    """
    unit = tmp_path / "overlayd-controller.service"
    unit.touch()
    systemctl = tmp_path / "systemctl"
    systemctl.write_text('#!/bin/sh\necho "$@" > "${0%/*}/asked"\nexit 1\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(cli, "UNIT", unit)
    monkeypatch.setattr(cli, "SYSTEMD_RUNS", tmp_path / "systemd")
    monkeypatch.setattr(cli, "DEFAULT_STATE", str(tmp_path / "state"))
    return tmp_path


def init(folder: Path) -> int:
    return main(["init", "--state", str(folder / "state"), "--network", "x", "--listen", "127.0.0.1:7443"])


def test_init_says_how_to_serve_where_systemd_does_not_run(
    unit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(unit) == 0
    assert f"Next: overlayd-controller serve --state {unit / 'state'}\n" in capsys.readouterr().err
    assert not (unit / "asked").exists()


def test_init_says_that_the_network_is_made_where_its_service_does_not_start(
    unit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (unit / "systemd").touch()
    assert init(unit) == 1
    assert (unit / "asked").read_text() == "start overlayd-controller.service\n"
    assert capsys.readouterr().err.endswith(
        "overlayd-controller: the network is made; the service did not start: see"
        " `journalctl -u overlayd-controller`, then `systemctl start overlayd-controller`\n"
    )


def test_root_writes_state_that_its_owner_can_read() -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        folder = Path(place) / "state"
        folder.mkdir(mode=0o700)
        os.chown(folder, 12345, 12345)
        arguments = ["init", "--state", str(folder), "--network", "test", "--listen", "127.0.0.1:7443"]
        assert main([*arguments, "--node", "paris"]) == 0
        assert os.geteuid() == 0
        assert {file.stat().st_uid for file in folder.rglob("*")} == {12345}
