"""Pods for tests, and a machine with a runtime that obeys, in virtual time."""

import random
from collections.abc import Callable
from typing import Any

import msgspec

from overlayd.protocol.pod import Pod
from overlayd.workload.leases import Leases
from overlayd.workload.machine import Machine
from overlayd.workload.messages import (
    Command,
    Desired,
    Ended,
    Event,
    Found,
    Look,
    Now,
    PodUid,
    Probed,
    Release,
    Remove,
    Removed,
    Report,
    Run,
    RunId,
    Start,
    Started,
    Stop,
    Stopped,
    Tick,
)

S = 1_000_000_000
WALL_NS = 1_800_000_000 * S


def pod(name: str = "web", *, meta: dict[str, Any] | None = None, **spec: Any) -> Pod:
    """A pod of one process called ``main``, unless ``spec`` says otherwise; its uid is ``uid-NAME``."""
    whole = {"containers": [{"name": "main", "command": ["sleep", "1"]}], **spec}
    head = {"name": name, "uid": f"uid-{name}", **(meta or {})}
    return msgspec.convert({"metadata": head, "spec": whole}, Pod)


def main_of(name: str = "web") -> RunId:
    return RunId(PodUid(f"uid-{name}"), "main")


class World:
    """``answers`` [kind of probe]: whether it is answered well. What the machine wants is done at once, and
    kept in ``done``; what it starts runs until it is stopped, or :meth:`ends`.
    """

    def __init__(self, leases: Leases | None = None, *, found: tuple[Run, ...] = ()) -> None:
        self.now_ns = 100 * S
        self.leases = leases or Leases()
        self.machine = Machine("100.127.0.1", self.leases, random.Random(1).uniform)
        self.running: dict[RunId, Run] = {run.id: run for run in found if run.ended is None}
        self.done: list[Command] = []
        self.carry_out: Callable[[Command], list[Event]] = self._obey
        self.answers: Callable[[Look], bool] = lambda _: True
        self.tell(Found("process", found))

    @property
    def now(self) -> Now:
        return Now(self.now_ns, WALL_NS + self.now_ns)

    def want(self, *pods: Pod, whole: bool = True) -> list[Command]:
        return self.tell(Desired(pods, whole))

    def tell(self, event: Event) -> list[Command]:
        """Tell the machine, and do what follows; return all of that."""
        events, made = [event], list[Command]()
        while events:
            commands = self.machine.handle(events.pop(0), self.now)
            made += commands
            for command in commands:
                events += self.carry_out(command)
        self.done += made
        return made

    def passes(self, seconds: float) -> list[Command]:
        """Let time pass, waking the machine when it asked for it."""
        until_ns = self.now_ns + round(seconds * S)
        made: list[Command] = []
        while True:
            due_ns = self.machine.next_ns(self.now)
            if due_ns is None or due_ns > until_ns:
                self.now_ns = until_ns
                return made + self.tell(Tick())
            self.now_ns = due_ns
            made += self.tell(Tick())

    def ends(self, id: RunId, code: int) -> list[Command]:
        """A run ends by itself."""
        run = self.running.pop(id)
        return self.tell(Stopped(id, run.attempt, Ended(code, finished_ns=self.now.wall_ns)))

    def starts(self) -> list[tuple[str, int]]:
        """(container, attempt) of every start so far."""
        return [(one.id.container, one.attempt) for one in self.done if isinstance(one, Start)]

    def status(self, name: str = "web") -> Any:
        """What was last reported of a pod, as JSON would have it."""
        said = [one.status for one in self.done if isinstance(one, Report) and one.pod.metadata.name == name]
        return msgspec.to_builtins(said[-1])

    def _obey(self, command: Command) -> list[Event]:
        match command:
            case Start():
                run = Run(command.id, command.attempt, command.digest, command.runtime, self.now.wall_ns)
                self.running[command.id] = run
                return [Started(run)]
            case Stop(id, attempt) if id in self.running:
                code = 143 if command.grace_s else 137
                del self.running[id]
                return [Stopped(id, attempt, Ended(code, finished_ns=self.now.wall_ns))]
            case Remove(uid):
                return [Removed(uid)]
            case Look(id, attempt, kind):
                return [Probed(id, attempt, kind, self.answers(command), "HTTP 500")]
            case _:
                return []


def released(commands: list[Command]) -> list[str]:
    return [one.pod.metadata.name for one in commands if isinstance(one, Release)]
