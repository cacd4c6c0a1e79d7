"""Every answer of a real agent, controller and lab is as its published schema says."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from overlayd.cli import ctl
from sim.lab import daemons, netns
from tests.network.lab.conftest import SITES
from tests.network.lab.mesh import Mesh, kill, wait_until
from tests.network.lab.test_joining import a_host, token
from tests.packaging.json_schema import violations
from tools import schemas
from tools.commands import read

HERE, THERE = SITES[:2]
API = "--controller http://127.0.0.1:7480"
OF_AGENT = (
    "version",
    "status",
    "wait --for online",
    "netcheck --config FILE",
    f"ping {THERE} -c 2 -i 0.05",
    f"trace {THERE}",
    f"explain {THERE}",
    "events --since 1d",
    "top",
    "node list",
    "link list",
    "route list",
    "config check FILE",
    "config check MISSPELT",
    "config diff CHANGED",
    "bugreport REPORT --config FILE",
    "config apply CHANGED --confirm-within 60s --config FILE",
    "config rollback",
    "config apply CHANGED --config FILE",
    "config apply SAME --confirm-within 60s --config FILE",
    "config confirm --config FILE",
)
OF_CONTROLLER = (
    f"explain {HERE} {THERE}",
    f"plan --without-node {THERE}",
    "events",
    "node list",
    "link list",
    "link matrix",
    "route list",
    f"route history {HERE} {THERE}",
    f"route pin {HERE} {THERE} --direct",
    "route pins",
    f"route unpin {HERE} {THERE}",
    "token create --name berlin",
    "token list",
)
ELSEWHERE = {"join", "leave", "lab up", "lab check", "lab impair", "lab down", "lab list"}
"""Commands of which other tests here ask."""
OF_APPLICATIONS = {
    "apply", "get", "describe", "delete", "logs",
    *(f"rollout {verb}" for verb in ("status", "history", "undo", "pause", "resume", "restart")),
}  # fmt: skip
"""Commands that `tests/overlayd/cli/test_ctl_apps.py` asks."""
SAYS_NOTHING = {"lab exec"}
"""What it runs does."""

Ask = Callable[[str, str], Any]


@pytest.fixture
def ask(pair: Mesh, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command in this process, on a node; answers what it said, checked."""
    served = pair.place.node(pair.sketch.controller) / "controller"

    def run(node: str, words: str) -> Any:
        monkeypatch.setenv("OVERLAYD_SOCKET", str(daemons.agent_socket(pair.place, node)))
        monkeypatch.setenv("OVERLAYD_ADMIN_TOKEN_FILE", str(served / "admin.token"))
        capsys.readouterr()
        with netns.inside(pair.namespaces[node]):
            ctl.main([*words.split(), "-o", "json"])
        document = checked(capsys.readouterr().out)
        assert document["schema"] in ctl.parser().parse_args(words.split()).answers
        return document

    return run


def checked(said: str) -> Any:
    document = json.loads(said)
    schema = json.loads((schemas.FOLDER / schemas.file_of(document["schema"])).read_text("utf-8"))
    assert violations(document, schema, strict=True) == []
    return document


def test_no_command_is_left_out() -> None:
    asked = {*OF_AGENT, *OF_CONTROLLER}
    for leaf in read(ctl.parser(), left_out=()).leaves():
        words = " ".join(leaf.path[1:])
        told = words in ELSEWHERE | SAYS_NOTHING | OF_APPLICATIONS
        assert told or any(f"{one} ".startswith(f"{words} ") for one in asked), words


def test_answers_about_this_node(pair: Mesh, ask: Ask, tmp_path: Path) -> None:
    file = pair.place.node(HERE) / "overlayd.toml"
    whole = file.read_text()
    files = {"FILE": file, "REPORT": tmp_path / "report.tar.gz"}
    for name, text in {
        "MISSPELT": whole.replace("address", "adress"),
        "CHANGED": f'{whole}\n[log]\nlevel = "debug"\n',
        "SAME": whole,
    }.items():
        files[name] = tmp_path / name
        files[name].write_text(text)
    for line in OF_AGENT:
        ask(HERE, " ".join(str(files.get(word, word)) for word in line.split()))
    assert file.read_text() == whole


def test_top_and_events_tell_of_what_packets_did(pair: Mesh, ask: Ask) -> None:
    def carries() -> bool:
        with suppress(OSError):  # the interface is gone until the engine is back
            pair.probe(HERE, THERE, count=200, size=1200)
        top = ask(HERE, "top")
        links = [link for link in top["links"] if link["peer"] == THERE and (link["out_bps"] or 0) > 100_000]
        return bool(links) and any(path["destination"] == THERE and path["alive"] for path in top["paths"])

    kill(pair, HERE, "engine")
    wait_until(carries)
    told = {event["event"] for event in ask(HERE, "events")["events"]}
    assert {"member", "controller connected", "engine lost", "engine found"} <= told
    since = f"events --since 2099-01-01T00:00:00Z {API}"
    assert ask(pair.sketch.controller, since)["items"] == []


def test_answers_of_the_controller(pair: Mesh, ask: Ask) -> None:
    def decided() -> bool:
        with suppress(json.JSONDecodeError):  # nothing is said before the controller's first decision
            return ask(pair.sketch.controller, f"{OF_CONTROLLER[0]} {API}") is not None
        return False

    wait_until(decided)
    for line in OF_CONTROLLER:
        ask(pair.sketch.controller, f"{line} {API}")
    for line in ("token list", "node list", "token create --name oslo"):
        checked(pair.controller(*line.split(), "-o", "json"))


def test_answers_to_who_joins_is_removed_and_leaves(pair: Mesh, tmp_path: Path) -> None:
    with a_host(pair, tmp_path) as host:
        checked(host.ctl("join", token(pair), "-o", "json").stdout)
        checked(pair.controller("node", "remove", "stranger", "-o", "json"))
        checked(host.ctl("leave", "--force", "-o", "json").stdout)


def test_answers_about_labs(
    pair: Mesh, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sim.lab import check, cli

    monkeypatch.setattr(cli.runner, "up", lambda *_, **__: pair.built)
    monkeypatch.setattr(cli.runner, "down", lambda _: True)
    finding = check.Finding("reach", "loss", "0 %", "0 %", ok=True)
    monkeypatch.setattr(cli, "check", lambda *_: [finding])
    link = f"{pair.name} {HERE}:{THERE} delay=5ms"
    for line in (f"up {os.devnull}", f"impair {link}", f"check {pair.name}", "list", f"down {pair.name}"):
        capsys.readouterr()
        assert ctl.main(["lab", *line.split(), "-o", "json"]) == 0
        checked(capsys.readouterr().out)
