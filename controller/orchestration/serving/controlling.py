"""The control loops' task: reads objects and nodes, has it decided what to do, and does it. I/O.

Runs on the event loop beside the API; writes and placement go to threads, one after another. A round that
fails is logged and tried again: nothing is remembered that is not in objects, but for leases and when who was
asked for.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network

import msgspec

from controller.orchestration.control.addresses import DEFAULT_PREFIX
from controller.orchestration.control.apps import App, read_app
from controller.orchestration.control.chosen import Chosen
from controller.orchestration.control.deciding import DRAIN_S, decide, given_up
from controller.orchestration.control.demand import Demanded
from controller.orchestration.control.filling import Rooms
from controller.orchestration.control.instances import LEASE, Instance, instance_of
from controller.orchestration.control.intents import GiveUp, Intent
from controller.orchestration.control.leases import Leases
from controller.orchestration.control.members import Member, is_seen
from controller.orchestration.control.outcomes import Tallies
from controller.orchestration.control.placing import apart_from, held_by
from controller.orchestration.control.ports import taken_by
from controller.orchestration.objects.app import APP
from controller.orchestration.objects.pod import POD
from controller.orchestration.objects.schema import Object
from controller.orchestration.serving.carrying import Carrier
from controller.orchestration.serving.known import Known, Name
from controller.orchestration.serving.nodes import boottime_ns
from controller.orchestration.serving.steered import Steerings
from controller.orchestration.serving.surroundings import Asked, Surroundings, View
from controller.orchestration.serving.verbs import Verbs
from controller.orchestration.serving.watching import Hub
from overlayd.protocol import pod
from overlayd.protocol.pod import Pod
from overlayd.protocol.workload import Demand, Full, Outcome, Outcomes, Wanted

LOG = logging.getLogger(__name__)

ROUND_S = 1.0
"""Nodes and timers are looked at so often; changes of objects at once."""
PLACE_S = 5.0
"""An app's place is thought over so often, and at once when it changes or one of its nodes comes or goes."""
AGAIN_S = 10.0
"""Every app is looked at so often even if nothing is known to have changed: a port may have come free."""
REST_S = 0.02
"""Between two rounds: changes that come together are decided together."""
ROUTES = IPv4Network(DEFAULT_PREFIX)
_NS = 1_000_000_000


class Controlling:
    """The loops of one controller. ``clock_ns`` counts while the host sleeps; ``unix_s`` is for objects."""

    def __init__(
        self,
        verbs: Verbs,
        hub: Hub,
        around: Surroundings,
        *,
        clock_ns: Callable[[], int] = boottime_ns,
        unix_s: Callable[[], float] = time.time,
        drain_s: float = DRAIN_S,
        prefix: IPv4Network = ROUTES,
    ) -> None:
        self._carrier = Carrier(verbs)
        self._around = around
        self._clock_ns = clock_ns
        self._unix_s = unix_s
        self._drain_s = drain_s
        self._woken = asyncio.Event()
        self._looking = asyncio.Lock()
        self._apps: Known[App] = Known(verbs.store, hub, APP, read_app, self._woken)
        self._pods: Known[Pod] = Known(verbs.store, hub, POD, _read_pod, self._woken)
        self._steerings = Steerings(verbs.store, hub, prefix, self._woken)
        self.leases = Leases(clock_ns(), self._leased)
        self.demanded = Demanded()
        self._due: dict[Name, float] = {}
        self._chosen: dict[Name, Chosen] = {}
        self._placed: dict[Name, tuple[object, float]] = {}
        self._since: dict[Name, float] = {}
        self._tallies: dict[Name, Tallies] = {}
        self._rooms = Rooms()
        self._members: dict[str, Member] = {}
        self._view: View | None = None
        self._viewed = (0.0, frozenset[str](), frozenset[str]())
        self._on_node: dict[str, list[Pod]] = {}
        self._of_app: dict[Name, list[Pod]] = {}
        self._taken: dict[str, dict[int, str]] = {}

    async def run(self) -> None:
        """Decide and do, until cancelled."""
        while True:
            try:
                await self.round()
            except Exception:
                LOG.exception("applications: a round of the control loops failed")
                await asyncio.sleep(ROUND_S)
            await asyncio.sleep(REST_S)
            now_s = self._now_s()
            wait = min([ROUND_S, *(due - now_s for due in self._due.values())])
            try:
                await asyncio.wait_for(self._woken.wait(), max(0.0, wait))
            except TimeoutError:
                pass

    async def round(self) -> None:
        """Do once all that is due."""
        async with self._looking:
            await self._round()

    async def explain(self, value: Object) -> Object:
        """Return where an app, which need not be stored, would be placed as things are, and why."""
        app = read_app(value)
        name = Name(app.metadata.namespace, app.metadata.name)
        async with self._looking:
            view, _ = await self._look()
            asked = self._asked(name, app, self._instances(name))
            return await asyncio.to_thread(view.explain, asked)

    async def _round(self) -> None:
        self._woken.clear()
        changed = self._apps.catch_up() | self._changed_pods()
        rerouted = self._steerings.catch_up()
        self._look_at_nodes()
        view, renewed = await self._look()
        await self._place(changed, view)
        now_s = self._now_s()
        due = {name for name in self._apps.all if self._due.get(name, 0.0) <= now_s}
        for name in sorted(changed | due):
            if (app := self._apps.all.get(name)) is not None:
                await self._decide(name, app)
            else:
                self._forget(name)
        alone = [one for name in self._of_app.keys() - self._apps.all for one in self._instances(name)]
        await self._do(given_up(one for one in alone if one.node))
        if changed or rerouted or renewed:
            await self._steer(view)
        uids = {pod.metadata.uid for pod in self._pods.all.values()}
        self.leases.forget(uids)
        self._rooms.keep(uids)

    def told(self, _: str, said: object) -> None:
        """A node says something: that somebody asks for routes is remembered, and wakes their apps."""
        if isinstance(said, Wanted):
            self._ask([said.route])
        elif isinstance(said, Demand):
            self._ask([one.route for one in said.asked if one.requests])
        elif isinstance(said, Outcomes):
            self._tally(said)
        elif isinstance(said, Full):
            self._rooms.told(said.pods)

    def _ask(self, routes: Iterable[str]) -> None:
        named = [app for route in routes for app in self._steerings.apps_of(route)]
        asleep = [app for app in named if not self._of_app.get(app)]
        self.demanded.ask(("/".join(name) for name in named), self._now_s())
        if asleep:
            self._hurry(asleep)
            self._woken.set()

    def _tally(self, said: Outcomes) -> None:
        """Keep what users met with the revisions of apps; who is on trial is judged next."""
        met: dict[Name, list[Outcome]] = {}
        for one in said.outcomes:
            for name in self._steerings.apps_of(one.route):
                met.setdefault(name, []).append(one)
        for name, outcomes in met.items():
            app = self._apps.all.get(name)
            if app is not None and app.status.rollout is not None:
                tallies = self._tallies.setdefault(name, Tallies())
                tallies.add(app.status.rollout.revision, outcomes)
        self._hurry(met)
        self._woken.set()

    def _hurry(self, apps: Iterable[Name]) -> None:
        """Have apps decided about in the next round, or in this one if it has not come to that."""
        self._due |= {name: 0.0 for name in apps if name in self._apps.all}

    # What there is

    def _now_s(self) -> float:
        return self._clock_ns() / _NS

    def _leased(self, node: str) -> list[str]:
        here = self._on_node.get(node, [])
        return [one.metadata.uid for one in here if LEASE in one.metadata.annotations]

    def _changed_pods(self) -> set[Name]:
        """Return the apps whose pods have changed."""
        before = {name: _app_of(self._pods.all[name]) for name in self._pods.all}
        changed = self._pods.catch_up()
        if not changed:
            return set()
        self._sort_pods()
        after = {name: _app_of(one) for name, one in self._pods.all.items()}
        return {apps[name] for name in changed for apps in (before, after) if name in apps}

    def _sort_pods(self) -> None:
        self._on_node, self._of_app = {}, {}
        for one in self._pods.all.values():
            self._on_node.setdefault(one.spec.node_name, []).append(one)
            self._of_app.setdefault(_app_of(one), []).append(one)
        self._taken = taken_by(self._pods.all.values())

    def _look_at_nodes(self) -> None:
        """See who lives; apps on nodes that came or went are due."""
        addresses, heard, now_ns = self._around.addresses(), self._around.heard(), self._clock_ns()
        members: dict[str, Member] = {}
        for name in addresses.keys() | self._on_node.keys():
            silent_ns = self.leases.silent_ns(name, now_ns)
            seen = name in addresses and is_seen(silent_ns, name in heard)
            members[name] = Member(name, addresses.get(name, ""), seen, silent_ns / _NS, name in addresses)
        for name, member in members.items():
            before = self._members.get(name)
            if before is None or before.seen != member.seen or not member.seen:
                self._hurry(_app_of(one) for one in self._on_node.get(name, ()))
        self._members = members

    def _instances(self, name: Name) -> list[Instance]:
        return [instance_of(one, self._members) for one in self._of_app.get(name, ())]

    # What is done

    async def _look(self) -> tuple[View, bool]:
        """Return the mesh as it is, at most a second old, and whether it was looked at anew."""
        now_s = self._now_s()
        living = frozenset(name for name, member in self._members.items() if member.seen)
        reached = frozenset(name for name, member in self._members.items() if member.reached)
        at_s, *before = self._viewed
        if self._view is not None and now_s - at_s < ROUND_S and before == [living, reached]:
            return self._view, False
        self._view, self._viewed = self._around.look(living, reached), (now_s, living, reached)
        await asyncio.to_thread(self._view.prepare)
        return self._view, True

    async def _place(self, changed: set[Name], view: View) -> None:
        """Think over the places of apps that are due."""
        now_s = self._now_s()
        asked: list[tuple[Name, Asked, object]] = []
        for name, app in self._apps.all.items():
            instances = self._instances(name) if name in changed or self._stale(name, now_s) else None
            if instances is None:
                continue
            state = (app.metadata.generation, tuple(sorted((one.node, one.seen) for one in instances)))
            if self._stale(name, now_s) or self._placed[name][0] != state:
                asked.append((name, self._asked(name, app, instances), state))
        if not asked:
            return
        answers = await asyncio.to_thread(view.choose, [one for _, one, _ in asked])
        for (name, _, state), chosen in zip(asked, answers, strict=True):
            before = self._chosen.get(name)
            self._placed[name] = (state, now_s)
            self._chosen[name] = chosen
            if before is None or before.nodes != chosen.nodes:
                self._since[name] = now_s
            if before != chosen:
                self._hurry([name])

    def _asked(self, name: Name, app: App, instances: Sequence[Instance]) -> Asked:
        held = held_by(app, instances, self._now_s() - self._since.get(name, float("-inf")))
        return Asked(app, held, apart_from(app.spec.key, (one.spec for one in self._apps.all.values())))

    def _stale(self, name: Name, now_s: float) -> bool:
        return name not in self._placed or now_s - self._placed[name][1] >= PLACE_S

    async def _decide(self, name: Name, app: App) -> None:
        instances, now_s = self._instances(name), self._now_s()
        key = "/".join(name)
        asleep = self.demanded.asleep(key, app.spec.least, bool(instances), now_s)
        taken = taken_by(self._pods.all.values())
        decided = decide(
            app,
            instances,
            self._chosen.get(name),
            taken,
            self._unix_s(),
            asleep=asleep,
            drain_s=self._drain_s,
            tallies=self._tallies.get(name),
        )
        sleeps = self.demanded.due_s(key, now_s) if app.spec.least == 0 else None
        waits = [one for one in (decided.due_s, sleeps) if one is not None]
        self._due[name] = now_s + min([*waits, AGAIN_S])
        await self._do(decided.intents)

    async def _steer(self, view: View) -> None:
        """Tell nodes how what is asked there reaches apps."""
        apps = {"/".join(name): app for name, app in self._apps.all.items()}
        pods = {
            "/".join(name): [(one, instance_of(one, self._members)) for one in there]
            for name, there in self._of_app.items()
        }
        decide = self._steerings.decide
        await self._do(
            await asyncio.to_thread(
                decide, apps, pods, self._members, view, self._rooms.all(), self._unix_s()
            )
        )

    async def _do(self, intents: Iterable[Intent]) -> None:
        now_ns = self._clock_ns()
        allowed = [one for one in intents if not isinstance(one, GiveUp) or self._given_up(one, now_ns)]
        if not allowed:
            return
        written = await asyncio.to_thread(self._carrier.carry, allowed)
        for value in written:
            self._note(value)
        if any(value["kind"] == POD.name for value in written):
            self._sort_pods()

    def _given_up(self, one: GiveUp, now_ns: int) -> bool:
        """A pod by a lease is given up here, on the loop that answers nodes, before another may start."""
        return one.lease_s is None or self.leases.give_up(one.about.uid, one.node, one.lease_s, now_ns)

    def _note(self, value: Object) -> None:
        if value["kind"] == APP.name:
            self._apps.note(value)
        elif value["kind"] == POD.name:
            self._pods.note(value)
        else:
            self._steerings.note(value)

    def _forget(self, name: Name) -> None:
        for table in (self._due, self._chosen, self._placed, self._since, self._tallies):
            table.pop(name, None)


def _read_pod(value: Object) -> Pod:
    return msgspec.convert(value, Pod)


def _app_of(one: Pod) -> Name:
    return Name(one.metadata.namespace, one.metadata.labels.get(pod.APP, ""))
