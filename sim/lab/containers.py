"""Nodes that are containers of the image's programs, made by containerlab on Docker. I/O, needs root.

Files of a lab are shared: each container has the folders of its node and of the logs at the very place
where the host has them, so a node's socket and log are found in the same way whatever the runner. Called by
`runner` and `daemons`, through `sim.lab.nodes`.

``$OVERLAYD_CONTAINERLAB``: the command, with words of its own before it if it needs any.
"""

import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from sim.lab import netns, process
from sim.lab.errors import LabError
from sim.lab.nodes import wire_ends
from sim.lab.process import Process
from sim.lab.render import host_ends, render
from sim.lab.state import Folder, LabState
from sim.lab.topology import Topology

_DEPLOY_S = 300.0
_START_S = 10.0
_QUIET = {"CLAB_VERSION_CHECK": "disable"}
# Says its number to the file $0 and becomes the command, with its output at the end of the log $1.
_BECOME = 'echo $$ >"$0"; log=$1; shift; exec "$@" >>"$log" 2>&1'


class ContainerNodes:
    """See :class:`sim.lab.nodes.Nodes`."""

    def namespace(self, prefix: str, lab: str, node: str) -> str:
        return f"clab-{lab}-{node}"

    def make(self, place: Folder, state: LabState, topology: Topology) -> None:
        binds: dict[str, list[str]] = {}
        for node in topology.nodes:
            place.node(node.name).mkdir(parents=True, exist_ok=True)
            shared = (place.node(node.name), place.log("x").parent)
            binds[node.name] = [f"{folder}:{folder}" for folder in shared]
        document = yaml.safe_load(Path(state.topology).read_text(encoding="utf-8"))
        by_emulator = state.links_by == "emulator"
        rendered = render(document, topology, state.name, binds, by_emulator=by_emulator)
        _file(place).write_text(yaml.safe_dump(rendered, sort_keys=False), encoding="utf-8")
        told = _containerlab("deploy", "--topo", str(_file(place)))
        # It goes on after a line of ``exec`` that failed; a lab that is half configured is no lab.
        if failed := [line for line in told.splitlines() if "Failed to execute command" in line]:
            raise LabError("\n  ".join(["containerlab:", *failed]))
        for index in range(len(topology.links) if by_emulator else 0):
            for outer, inner in zip(host_ends(state.name, index), wire_ends(index), strict=True):
                netns.move(outer, state.wire, inner)

    def configure(self, state: LabState, topology: Topology) -> None:
        """Nothing: containerlab has."""

    def remove(self, place: Folder, state: LabState) -> None:
        if _file(place).exists():
            # What is not there any more is none of our business; what is left over is told of.
            with suppress(LabError):
                _containerlab("destroy", "--topo", str(_file(place)), "--cleanup")
        left = _run(["docker", "ps", "--all", "--quiet", "--filter", f"label=containerlab={state.name}"])
        if left.split():
            _run(["docker", "rm", "--force", "--volumes", *left.split()])

    def program(self, name: str) -> str:
        return name

    def run(self, state: LabState, node: str, command: Sequence[str]) -> str:
        return _run(["docker", "exec", state.namespaces[node], *command])

    def prefix(
        self, state: LabState, node: str, variables: Mapping[str, str], *, terminal: bool
    ) -> list[str]:
        known = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
        tied = ["--interactive", *(["--tty"] if terminal else [])]
        return ["docker", "exec", *tied, *known, state.namespaces[node]]

    def start(self, place: Folder, state: LabState, name: str, node: str, command: Sequence[str]) -> Process:
        told = place.node(node) / f"{name}.pid"
        told.unlink(missing_ok=True)
        become = ["sh", "-c", _BECOME, str(told), str(place.log(name)), *command]
        _run(["docker", "exec", "--detach", state.namespaces[node], *become])
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            with suppress(FileNotFoundError, ValueError):
                inner = int(told.read_text())
                for pid in netns.processes(state.namespaces[node]):
                    if _number_inside(pid) == inner and (found := process.known(name, pid)):
                        return found
            time.sleep(0.02)
        raise LabError(f"{name}: ended at once; see {place.log(name)}")


def _file(place: Folder) -> Path:
    return place.path / "topo.clab.yml"


def _number_inside(pid: int) -> int | None:
    """The number that a process of this machine has in its own, innermost, namespace of them."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return None


def _containerlab(verb: str, *words: str) -> str:
    command = shlex.split(os.environ.get("OVERLAYD_CONTAINERLAB", "containerlab"))
    return _run([*command, verb, *words], env=_QUIET, timeout_s=_DEPLOY_S, errors=True)


def _run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
    errors: bool = False,
) -> str:
    """Run a command of the host; answers what it wrote, to stderr as well with ``errors``."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except OSError as error:
        raise LabError(f"{command[0]}: {error.strerror}; the runner clab needs it") from error
    except subprocess.TimeoutExpired:
        raise LabError(f"{' '.join(command)}: no end after {timeout_s:g} s") from None
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout + (done.stderr if errors else "")
