"""What is done to a lab while an assertion is measured, and its undoing. I/O, needs root; called by `check`
and tests.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from sim.lab import daemons, netns, process, runner
from sim.lab.errors import LabError
from sim.lab.expect import CONTROLLER, Act, Impaired, Killed, Restarted, Role
from sim.lab.overlay import Controller, overlay_beside
from sim.lab.process import Process
from sim.lab.state import LabState, folder
from sim.lab.topology import read_topology

_REPLACED_S = 30.0
_PAUSE_S = 0.05


class Disturbance:
    """Acts upon a lab, begun in a thread of their own (some take a while) and undone in reverse order."""

    def __init__(self, lab: str, acts: Sequence[Act]) -> None:
        self._lab = lab
        self._acts = acts
        self._undo: list[Callable[[], None]] = []
        self._problem: LabError | None = None
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Begin; back at once."""
        self._thread = threading.Thread(target=self._act)
        self._thread.start()

    def wait(self) -> None:
        """Wait until all is done."""
        if self._thread:
            self._thread.join()

    def end(self) -> None:
        """Undo what was done, all of it. Raises :class:`LabError` with the first that went wrong."""
        self.wait()
        while self._undo:
            try:
                self._undo.pop()()
            except LabError as error:
                self._problem = self._problem or error
        if self._problem:
            raise self._problem

    def _act(self) -> None:
        try:
            for act in self._acts:
                self._undo.append(self._done(act))
        except (LabError, ValueError) as error:
            self._problem = error if isinstance(error, LabError) else LabError(str(error))

    def _done(self, act: Act) -> Callable[[], None]:
        """Carry out an act; answers its undoing."""
        match act:
            case Impaired(link, words):
                before = runner.find_link(folder(self._lab).read(), link)
                runner.impair(self._lab, link, words)
                return lambda: runner.put_link(self._lab, before)
            case Killed(name):
                kill(self._lab, name)
                return lambda: revive(self._lab, name)
            case Restarted(name, "all"):
                process.stop([_running(folder(self._lab).read(), name)])
                revive(self._lab, name)
                return lambda: None
            case Restarted(node, role):
                return _replaced(folder(self._lab).read(), node, role)


def kill(lab: str, name: str) -> None:
    """End a node's daemons, or the controller, without a word to them. Raises :class:`LabError`."""
    state = folder(lab).read()
    # The supervisor first: it would start its children again.
    process.kill(_running(state, name))
    if name != CONTROLLER:
        for pid in pids(state, name, "all"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def revive(lab: str, name: str) -> None:
    """Start a node's daemons, or the controller, anew; back once they are ready. Raises :class:`LabError`."""
    place = folder(lab)
    state = place.read()
    if name == CONTROLLER:
        controller = _controller(state)
        running = daemons.start_controller(place, state, controller)
        runner.replace_process(lab, running)
        daemons.wait_listening(place, state, running, controller)
    else:
        running = daemons.start_edge(place, state, name)
        runner.replace_process(lab, running)
        daemons.wait_ready(place, running)


def pids(state: LabState, node: str, role: Role) -> list[int]:
    """The processes of a node's daemons: all, or those of a role."""
    file = str(daemons.configuration(folder(state.name), node)).encode()
    found: list[int] = []
    for pid in netns.processes(state.namespaces[node]):
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if file in words and (role == "all" or role.encode() in words):
                found.append(pid)
    return found


def _replaced(state: LabState, node: str, role: Role) -> Callable[[], None]:
    """Have one of a node's two processes end, which its supervisor starts again; the undoing waits for it."""
    before = pids(state, node, role)
    for pid in before:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)

    def wait() -> None:
        deadline = time.monotonic() + _REPLACED_S
        while not (after := pids(state, node, role)) or set(after) & set(before):
            if time.monotonic() > deadline:
                raise LabError(f"{node}: its {role} is not started again")
            time.sleep(_PAUSE_S)
        daemons.wait_ready(folder(state.name), _running(state, node))

    return wait


def _running(state: LabState, name: str) -> Process:
    for known in state.processes:
        if known.name == name:
            return known
    raise LabError(f"lab {state.name} has no daemons called {name}")


def _controller(state: LabState) -> Controller:
    file = Path(state.topology)
    controller = overlay_beside(file, read_topology(file)).controller
    if controller is None:
        raise LabError(f"lab {state.name} has no controller")
    return controller
