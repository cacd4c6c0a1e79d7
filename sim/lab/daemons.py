"""The daemons of a lab: one controller, an `overlayd run` per edge, started in order and joined. I/O;
called by `runner`.

Every node's state, sockets and configuration lie in a folder of its own under the lab's.
"""

import socket
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from overlayd.cli import ctl_client
from overlayd.cli.ctl_failure import UNREACHABLE, Failure
from overlayd.daemon.config import load
from overlayd.daemon.errors import ConfigurationError
from overlayd.protocol.local import Status
from sim.lab import netns, process, toml
from sim.lab.errors import LabError, NoAgent
from sim.lab.overlay import Controller, Edge, Overlay
from sim.lab.process import Process, Tell
from sim.lab.runners import nodes_of
from sim.lab.state import Folder, LabState

INTERFACE = "overlay0"
_READY_S = 30.0
_PAUSE_S = 0.05
_REQUEST_S = 30.0
_LAST_LINES = 8


def start(place: Folder, state: LabState, overlay: Overlay, tell: Tell) -> Iterator[Process]:
    """Start what `overlay` names, handing out each process as soon as it runs. Raises :class:`LabError`."""
    controller = overlay.controller
    if controller is None:
        return
    tell(f"controller on {controller.node}")
    nodes = nodes_of(state.runner)
    served = _served(place, controller)
    served.parent.mkdir(parents=True, exist_ok=True)
    init = [nodes.program("overlayd-controller"), "init", "--state", str(served)]
    nodes.run(state, controller.node, [*init, "--network", state.name, "--listen", controller.listen])
    _configure(served / "controller.toml", controller)
    running = start_controller(place, state, controller)
    yield running
    wait_listening(place, state, running, controller)
    edges: list[tuple[Edge, Process]] = []
    for edge in overlay.edges:
        _write_configuration(place, edge)
        running = start_edge(place, state, edge.node)
        yield running
        edges.append((edge, running))
    for edge, running in edges:
        tell(f"{edge.node} joins")
        token = _token(place, state, controller, edge)
        wait_ready(place, running)
        _join(place, running, token)


def start_controller(place: Folder, state: LabState, controller: Controller) -> Process:
    """Start a controller that has its state."""
    nodes = nodes_of(state.runner)
    command = [nodes.program("overlayd-controller"), "serve", "--state", str(_served(place, controller))]
    return nodes.start(place, state, "controller", controller.node, command)


def start_edge(place: Folder, state: LabState, node: str) -> Process:
    """Start engine and agent of a node that has its configuration."""
    run = agent_socket(place, node).parent
    run.mkdir(parents=True, exist_ok=True)
    nodes = nodes_of(state.runner)
    command = [nodes.program("overlayd"), "run", "--config", str(configuration(place, node))]
    return nodes.start(place, state, node, node, command)


def configuration(place: Folder, node: str) -> Path:
    """The configuration file of a node's daemons."""
    return place.node(node) / "overlayd.toml"


def agent_socket(place: Folder, node: str) -> Path:
    """Where the agent of a node answers."""
    return place.node(node) / "run" / "overlayd.sock"


def path(place: Folder, source: str, target: str) -> tuple[str, ...]:
    """The nodes that unmarked traffic passes now, from source to target. Raises :class:`LabError`."""
    status = msgspec.convert(ask(agent_socket(place, source), "status", {}), Status)
    for peer in status.peers:
        if peer.node == target:
            return (source, *peer.path)
    raise LabError(f"{source} knows no node {target}")


def ask(file: Path, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """One request to an agent. Raises :class:`NoAgent` where none answers, :class:`LabError` with the agent's
    problem.
    """
    try:
        return ctl_client.ask(str(file), verb, arguments, _REQUEST_S)
    except Failure as failure:
        fault = NoAgent if failure.exit_code == UNREACHABLE else LabError
        raise fault(f"{verb}: {failure}") from failure


def wait_listening(place: Folder, state: LabState, running: Process, controller: Controller) -> None:
    """Wait until a controller takes connections. Raises :class:`LabError`."""
    host, _, port = controller.listen.rpartition(":")
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.alive(running):
        with netns.inside(state.namespaces[controller.node]):
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=1.0).close()
                return
            except OSError:
                pass
        time.sleep(_PAUSE_S)
    raise LabError(f"the controller does not listen at {controller.listen}{_last_words(place, running)}")


def wait_ready(place: Folder, running: Process) -> None:
    """Wait until the agent of a node's daemons answers and has its engine. Raises :class:`LabError`."""
    file = agent_socket(place, running.name)
    deadline = time.monotonic() + _READY_S
    missing = "its agent does not answer"
    while time.monotonic() < deadline and process.alive(running):
        try:
            if msgspec.convert(ask(file, "status", {}), Status).engine.connected:
                return
            missing = "its agent has no engine"
        except NoAgent:
            pass
        time.sleep(_PAUSE_S)
    raise LabError(f"{running.name}: {missing}{_last_words(place, running)}")


def _served(place: Folder, controller: Controller) -> Path:
    return place.node(controller.node) / "controller"


def _configure(file: Path, controller: Controller) -> None:
    """Put the lab's tables in the controller's file, which checks them when it starts."""
    if not controller.tables:
        return
    made = tomllib.loads(file.read_text(encoding="utf-8"))
    changed = {name: {**made.get(name, {}), **table} for name, table in controller.tables.items()}
    file.write_text(toml.encode({**made, **changed}), encoding="utf-8")


def _write_configuration(place: Folder, edge: Edge) -> None:
    home = place.node(edge.node)
    home.mkdir(parents=True, exist_ok=True)
    run = agent_socket(place, edge.node).parent
    node = {"name": edge.node, "state_dir": str(home / "state"), "runtime_dir": str(run)}
    file = configuration(place, edge.node)
    file.write_text(toml.encode({"node": node, **edge.tables}), encoding="utf-8")
    try:
        load(file)
    except ConfigurationError as error:
        raise LabError(f"overlay.yml: edges.{edge.node}: {error}") from error


def _token(place: Folder, state: LabState, controller: Controller, edge: Edge) -> str:
    nodes = nodes_of(state.runner)
    served = str(_served(place, controller))
    create = [nodes.program("overlayd-controller"), "token", "create", "--state", served, "--name", edge.node]
    relay = ["--relay"] if edge.relay else []
    prefixes = [f"--prefix={prefix}" for prefix in edge.prefixes]
    return nodes.run(state, controller.node, [*create, *relay, *prefixes]).strip()


def _join(place: Folder, running: Process, token: str) -> None:
    try:
        ask(agent_socket(place, running.name), "join", {"token": token})
    except LabError as error:
        raise LabError(f"{running.name}: {error}{_last_words(place, running)}") from error


def _last_words(place: Folder, running: Process) -> str:
    """The end of a process's log, which goes when the lab is taken down."""
    lines = place.log(running.name).read_text(errors="replace").strip().splitlines()
    return "".join(f"\n  {line}" for line in lines[-_LAST_LINES:])
