"""A world of hosts and a controller that keep a singleton while links are cut, clocks drift and all restart.

What decides is shipped: on a host `Machine` and its `Leases`, at the controller `Leases`, `pod_of`,
`instance_of` and `step`. Simulated are clocks (up to 4 % off), messages (late, in any order, held back by a
cut or lost), processes that take their time, and ends: of hosts, of their units, of the controller.
"""

import heapq
import itertools
from collections.abc import Callable, Mapping, Set
from functools import partial
from random import Random

import msgspec

from controller.orchestration.control.apps import App, read_app
from controller.orchestration.control.instances import DRAINING, instance_of
from controller.orchestration.control.leases import Leases as Given
from controller.orchestration.control.making import pod_of
from controller.orchestration.control.members import Member, is_seen
from controller.orchestration.control.replacing import Limits, Slot, Steps, step
from controller.orchestration.control.revisions import timestamp
from overlayd.model.lease import ALIVE_S, KILL_S
from overlayd.protocol.pod import Pod, PodStatus
from overlayd.workload.keeper import LEASE_MARGIN_NS
from overlayd.workload.leases import Leases as Held
from overlayd.workload.machine import Machine
from overlayd.workload.messages import (
    LEASE,
    Command,
    Desired,
    Ended,
    Event,
    Found,
    Leased,
    Now,
    Release,
    Remove,
    Removed,
    Report,
    Run,
    Start,
    Started,
    Stop,
    Stopped,
    Tick,
)

S = 1_000_000_000
DRIFT = 0.04
NODES = 3
SECONDS = 900
WALL_S = 1_800_000_000
AWAKE_S = 0.5
"""So late a host or the controller is at most for what is due."""


class Clock:
    """Runs up to `DRIFT` fast or slow, from an origin that nobody knows."""

    def __init__(self, chance: Random) -> None:
        self._rate = 1 + chance.uniform(-DRIFT, DRIFT)
        self._origin = chance.randrange(10**15)

    def at(self, true_ns: int) -> int:
        return self._origin + int(true_ns * self._rate)

    def true(self, told_ns: int) -> int:
        return int((told_ns - self._origin) / self._rate)


class Host:
    """One node. What outlives its unit is ``running``, ``leases.named`` and ``pods``: what it was told last,
    and as of which version of the controller's store.
    """

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.clock = Clock(world.chance)
        self.running: dict[str, Run] = {}
        self.pods: tuple[int, tuple[Pod, ...]] = (0, ())
        self.statuses: dict[str, PodStatus] = {}
        self.released: set[str] = set()
        self.cut_until = 0
        self.heard = True
        self.life = 0
        self.up = True
        self.leases = world.held(self)
        self._begin()

    def _begin(self) -> None:
        """As `overlayd.workload.unit` does: what was wanted last, then what is found running."""
        self.machine = Machine(self.name, self.leases, self.world.chance.uniform)
        self._due_ns: int | None = None
        self.tell(Desired(self.pods[1]))
        self.tell(Found("process", tuple(self.running.values())))
        self._live()

    def tell(self, event: Event) -> None:
        for command in self.machine.handle(event, self._now()):
            self._obey(command)
        due_ns = self.machine.next_ns(self._now())
        if due_ns is not None and due_ns != self._due_ns:
            self._due_ns = due_ns
            late_s = self.world.chance.uniform(0, AWAKE_S)
            wait_s = (self.clock.true(due_ns) - self.world.now) / S + late_s
            self.world.after(wait_s, self._in_this_life(lambda: self.tell(Tick())))

    def _now(self) -> Now:
        return Now(self.clock.at(self.world.now), WALL_S * S + self.world.now)

    def _obey(self, command: Command) -> None:
        chance, after = self.world.chance, self.world.after
        match command:
            case Start(pod):
                uid = pod.metadata.uid
                run = Run(command.id, command.attempt, command.digest, command.runtime, self._now().wall_ns)
                self.running[uid] = run
                after(chance.uniform(0, 1), self._in_this_life(lambda: self.tell(Started(run))))
            case Stop(id, grace_s=grace_s):
                takes_s = chance.uniform(0, grace_s) + chance.uniform(0, KILL_S)
                after(takes_s, partial(self._ends, self.running.get(id.uid)))
            case Remove(uid):
                after(0.01, self._in_this_life(lambda: self.tell(Removed(uid))))
            case Report(pod, status):
                self.statuses[pod.metadata.uid] = status
            case Release(pod):
                self.released.add(pod.metadata.uid)
            case _:
                pass

    def _ends(self, run: Run | None) -> None:
        """A process has ended, if it has not before."""
        if run is not None and self.running.get(run.id.uid) is run:
            del self.running[run.id.uid]
            if self.up:
                self.tell(Stopped(run.id, run.attempt, Ended(0, finished_ns=self._now().wall_ns)))

    def _in_this_life(self, what: Callable[[], None]) -> Callable[[], None]:
        life = self.life
        return lambda: what() if self.up and self.life == life else None

    # Its link

    def _live(self) -> None:
        sequence, statuses = self.leases.send(self.clock.at(self.world.now)), dict(self.statuses)
        released, life = frozenset(self.released), self.life
        self.world.sends(self, lambda: self.world.hears(self, sequence, life, statuses, released))
        self.world.after(ALIVE_S, self._in_this_life(self._live))

    def answered(self, sequence: int, life: int, named: tuple[str, ...]) -> None:
        if self.up and self.life == life:
            self.leases.answered(sequence, named)
            self.tell(Leased())

    def told(self, pods: tuple[int, tuple[Pod, ...]]) -> None:
        """What is wanted; a watch never goes back."""
        if self.up and pods[0] > self.pods[0]:
            self.pods = pods
            self.tell(Desired(pods[1]))

    # Its ends

    def falls(self) -> None:
        """The unit ends and what runs goes on, each with a keeper that knows its lease; or the host ends."""
        chance = self.world.chance
        self.up = False
        self.life += 1
        if chance.random() < 0.5:
            self.running = {}
            self.clock = Clock(chance)
            self.leases = self.world.held(self)
        for run in self.running.values():
            end_ns = self.machine.lease_ends_ns()[run.id.uid] - LEASE_MARGIN_NS
            wait_s = max(0.0, (self.clock.true(end_ns) - self.world.now) / S) + chance.uniform(0, KILL_S)
            self.world.after(wait_s, partial(self._ends_alone, run))
        self.world.after(chance.choice([0.1, 5, 60, 150]), self._rises)

    def _ends_alone(self, run: Run) -> None:
        if not self.up:
            self._ends(run)

    def _rises(self) -> None:
        self.up = True
        named = self.leases.named
        self.leases = self.world.held(self)
        self.leases.named = dict(named)
        self._begin()
        self.world.after(self.world.chance.uniform(60, 600), self.falls)


class World:
    """True time, all hosts, and the controller, whose store is ``pods``. ``double`` counts the events after
    which two processes of the singleton lived. ``held`` and ``given`` make leases.
    """

    def __init__(
        self,
        seed: int,
        held: Callable[[Host], Held] = lambda _: Held(),
        given: Callable[..., Given] = Given,
    ) -> None:
        self.chance = Random(seed)
        self.held = held
        self.now = 0
        self.pods: dict[str, Pod] = {}
        self.double = self.replaced = self.moved = self.ran = 0
        self._make_given = given
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._version = 0
        self._app = _app(self.chance)
        self._limits = Limits(single=True, drain_s=10.0)
        self.hosts = {name: Host(self, name) for name in (f"n{number}" for number in range(NODES))}
        self._place = "n0"
        self._rises()
        for host in self.hosts.values():
            self.after(self.chance.uniform(5, 200), partial(self._cuts, host))
            self.after(self.chance.uniform(5, 600), host.falls)
        self.after(1, self._decides)
        self.after(self.chance.uniform(50, 300), self._moves)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + max(0, int(seconds * S)), next(self._count), what))

    def run(self) -> "World":
        while self._queue and self.now < SECONDS * S:
            self.now, _, what = heapq.heappop(self._queue)
            what()
            alive = sum(len(host.running) for host in self.hosts.values())
            self.ran += alive > 0
            self.double += alive > 1
        return self

    # Links

    def sends(self, host: Host, what: Callable[[], None]) -> None:
        """Most messages are there at once, some late, few very late; a cut holds back or loses them."""
        slowest_s = self.chance.choices([0.3, 25.0, 120.0], [90, 9, 1])[0]
        wait_s = self.chance.uniform(0.01, slowest_s)
        if self.now < host.cut_until:
            if self.chance.random() < 0.8:
                return
            wait_s += (host.cut_until - self.now) / S
        self.after(wait_s, what)

    def _cuts(self, host: Host) -> None:
        """From the controller, or from everybody: then the mesh does not hear it either."""
        host.cut_until = self.now + int(self.chance.choice([3, 20, 45, 120, 300]) * S)
        host.heard = self.chance.random() < 0.3
        self.after(self.chance.uniform(30, 300), partial(self._cuts, host))

    # The controller

    def hears(
        self,
        host: Host,
        sequence: int,
        life: int,
        statuses: dict[str, PodStatus],
        released: frozenset[str],
    ) -> None:
        """A sign of life, and what the host had to tell of its pods by then."""
        if not self._up:
            return
        for uid in released & self.pods.keys():
            del self.pods[uid]
        for uid in statuses.keys() & self.pods.keys():
            self.pods[uid] = msgspec.structs.replace(self.pods[uid], status=statuses[uid])
        named = self._given.answer(host.name, self._clock.at(self.now))
        self.sends(host, lambda: host.answered(sequence, life, named))
        self._tells(host)

    def _tells(self, host: Host) -> None:
        self._version += 1
        here = (self._version, tuple(self._on(host.name)))
        self.sends(host, lambda: host.told(here))

    def _on(self, node: str) -> list[Pod]:
        return [pod for pod in self.pods.values() if pod.spec.node_name == node]

    def _decides(self) -> None:
        """One round of `controller.orchestration.serving.controlling`."""
        self.after(1 + self.chance.uniform(0, AWAKE_S), self._decides)
        if not self._up:
            return
        now_ns, now_s = self._clock.at(self.now), WALL_S + self.now / S
        members = {name: self._member(host, now_ns) for name, host in self.hosts.items()}
        instances = [instance_of(pod, members) for pod in self.pods.values()]
        self._choose(members, {one.node for one in instances})
        steps = step([Slot(self._place, "one")], instances, self._limits, now_s)
        for one in instances:
            if one.lost and one.lease_s and self._given.give_up(one.uid, one.node, one.lease_s, now_ns):
                del self.pods[one.uid]
                self.replaced += 1
        self._carry(steps, now_s)

    def _choose(self, members: Mapping[str, Member], held: Set[str]) -> None:
        """As placement does: nothing is begun where the controller reaches nobody."""
        reached = [name for name, member in members.items() if member.reached]
        if reached and self._place not in held and self._place not in reached:
            self._place = self.chance.choice(reached)

    def _member(self, host: Host, now_ns: int) -> Member:
        silent_ns = self._given.silent_ns(host.name, now_ns)
        mesh = self.now >= host.cut_until or host.heard
        return Member(host.name, host.name, is_seen(silent_ns, mesh), silent_ns / S)

    def _carry(self, steps: Steps, now_s: float) -> None:
        for one in steps.drain:
            self._change(one.uid, annotations={DRAINING: timestamp(now_s)})
        for one in steps.restore:
            self._change(one.uid, annotations={DRAINING: None})
        for one in steps.remove:
            self._change(one.uid, deletion_timestamp=timestamp(now_s))
            self.moved += 1
        for slot in steps.create:
            body = pod_of(self._app, self._app.spec, slot, {})
            self._version += 1
            uid = f"p{self._version}"
            body["metadata"] |= {"name": uid, "uid": uid}
            self.pods[uid] = msgspec.convert(body, Pod)
            assert LEASE in self.pods[uid].metadata.annotations
        for one in (*steps.drain, *steps.restore, *steps.remove, *steps.create):
            self._tells(self.hosts[one.node])

    def _change(self, uid: str, *, annotations: dict[str, str | None] | None = None, **meta: str) -> None:
        pod = self.pods.get(uid)
        if pod is None:
            return
        notes = {**pod.metadata.annotations, **(annotations or {})}
        kept = {name: value for name, value in notes.items() if value is not None}
        changed = msgspec.structs.replace(pod.metadata, annotations=kept, **meta)
        self.pods[uid] = msgspec.structs.replace(pod, metadata=changed)

    def _moves(self) -> None:
        """Placement has another opinion."""
        self._place = self.chance.choice(list(self.hosts))
        self.after(self.chance.uniform(50, 300), self._moves)

    def _falls(self) -> None:
        self._up = False
        self.after(self.chance.choice([0.1, 5, 60]), self._rises)

    def _rises(self) -> None:
        """Another life, by another clock; what the last one answered, or gave up, is not known."""
        self._up, self._clock = True, Clock(self.chance)
        names = lambda node: [pod.metadata.uid for pod in self._on(node)]  # noqa: E731
        self._given = self._make_given(self._clock.at(self.now), names)
        self.after(self.chance.uniform(20, 400), self._falls)


def _app(chance: Random) -> App:
    autonomy = {"secondCopy": False, "replaceAfter": f"{chance.choice([40, 60, 120])}s"}
    stop = f"{chance.choice([1, 3, 30])}s"
    spec = {"source": {"command": ["x"]}, "stopTimeout": stop, "autonomy": autonomy}
    return read_app({"metadata": {"name": "one", "namespace": "default", "uid": "one"}, "spec": spec})
