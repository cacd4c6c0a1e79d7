"""The running mesh as the control loops see it: `surroundings`, from a controller and its objects. I/O: reads
both.
"""

from collections.abc import Iterable, Sequence, Set
from functools import cached_property

import msgspec

from controller.orchestration.control.chosen import Chosen
from controller.orchestration.control.explaining import explanation
from controller.orchestration.control.placing import chosen_of, requests_of, wanted_of
from controller.orchestration.inventory import host_of, users_of
from controller.orchestration.objects.kinds import Kind
from controller.orchestration.objects.node import NODE
from controller.orchestration.objects.pod import POD
from controller.orchestration.objects.schema import Object
from controller.orchestration.objects.usergroup import USER_GROUP
from controller.orchestration.outlook import Glance, Outlook
from controller.orchestration.placement.choose import choose
from controller.orchestration.placement.likely import Question
from controller.orchestration.placement.quality import asked_ms
from controller.orchestration.placement.together import beside, without
from controller.orchestration.placement.wanted import CLOUD_LABEL
from controller.orchestration.placement.world import PathFigures, Users, World
from controller.orchestration.serving.surroundings import Asked
from controller.orchestration.store.store import Store
from controller.server.service import Service, now
from overlayd.protocol.pod import APP, Pod

MOST_QUESTIONS = 2000
"""How likely bounds are kept is learned of so many (node, bound); beyond, the forecast says."""


class Mesh:
    """Implements `surroundings.Surroundings`."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service = service
        self._store = store
        self._outlook = Outlook()
        self._questions: dict[str, tuple[Question, ...]] = {}

    def addresses(self) -> dict[str, str]:
        """Return the members' overlay addresses."""
        nodes = [member.node for member in self._service.members.values()]
        return {node.metadata.name: next(iter(node.spec.addresses), "").split("/")[0] for node in nodes}

    def heard(self) -> frozenset[str]:
        """Return the nodes of which another, or they themselves, told something lately."""
        glance = self._glance()
        return frozenset(name for name, heard in zip(glance.names, glance.heard, strict=True) if heard)

    def look(self, living: frozenset[str], reached: frozenset[str]) -> "Moment":
        """Return the mesh at this moment."""
        return Moment(self._store, self._outlook, self._questions, self._glance(), living, reached)

    def _glance(self) -> Glance:
        return self._outlook.glance(self._service.core, now())


class Moment:
    """Implements `surroundings.View`. ``questions`` [app] are kept from one moment to the next."""

    def __init__(
        self,
        store: Store,
        outlook: Outlook,
        questions: dict[str, tuple[Question, ...]],
        glance: Glance,
        living: frozenset[str],
        reached: frozenset[str],
    ) -> None:
        self._store = store
        self._outlook = outlook
        self._questions = questions
        self._living = living
        self._reached = reached
        self._glance = glance
        self._index = {name: place for place, name in enumerate(glance.names)}

    def prepare(self) -> None:
        """Work out what is to be expected of all paths."""
        assert self._figures is not None

    def choose(self, asked: Sequence[Asked]) -> list[Chosen]:
        """Return where each app is to run."""
        world = self._world
        answers: list[Chosen] = []
        for one in asked:
            wanted = wanted_of(one.app.spec, one.apart)
            bound, users = wanted.bounds.latency_ms, world.groups.get(wanted.users or "")
            self._questions.pop(wanted.name, None)  # those who were asked last stand last
            if bound is not None and users is not None:
                self._questions[wanted.name] = _questions(users, bound)
            choice = choose(wanted, world, one.held)
            if choice.nodes != one.held.nodes:
                free = without([wanted], world, {wanted.name: one.held})
                world = beside([wanted], free, {wanted.name: choice})
            answers.append(chosen_of(one.app.spec, choice))
        self._world = world
        return answers

    def explain(self, asked: Asked) -> Object:
        """Return where an app would run, and why."""
        wanted = wanted_of(asked.app.spec, asked.apart)
        return explanation(wanted, choose(wanted, self._world, asked.held), asked.held)

    def distance(self, source: str, target: str) -> float | None:
        """Return the expected round trip in ms."""
        places = self._index.get(source), self._index.get(target)
        if places[0] is None or places[1] is None:
            return None
        ms = float(self._figures.ms[places])
        return ms if ms == ms else None

    def cloud(self) -> Set[str]:
        """Return the nodes of the cloud."""
        return {
            node["metadata"]["name"]
            for node in self._nodes
            if CLOUD_LABEL in (node["metadata"].get("labels") or {})
        }

    @cached_property
    def _figures(self) -> PathFigures:
        while sum(map(len, self._questions.values())) > MOST_QUESTIONS:
            self._questions.pop(next(iter(self._questions)))
        return self._outlook.figures(self._glance, [q for asked in self._questions.values() for q in asked])

    @cached_property
    def _nodes(self) -> list[Object]:
        return list(self._all(NODE))

    @cached_property
    def _world(self) -> World:
        known = {node["metadata"]["name"]: node for node in self._nodes}
        taken: dict[str, dict[str, float]] = {}
        placed: dict[str, list[int]] = {}
        for value in self._all(POD):
            pod = msgspec.convert(value, Pod)
            self._count(pod, taken, placed)
        hosts = tuple(
            host_of(
                known.get(name, {"metadata": {"name": name}}),
                taken.get(name, {}),
                name in self._living,
                name in self._reached,
            )
            for name in self._glance.names
        )
        groups = {
            f"{value['metadata']['namespace']}/{value['metadata']['name']}": users_of(
                value, self._index, self._nodes
            )
            for value in self._all(USER_GROUP)
        }
        at = {app: tuple(nodes) for app, nodes in placed.items()}
        return World(hosts, self._figures, groups, at)

    def _count(self, pod: Pod, taken: dict[str, dict[str, float]], placed: dict[str, list[int]]) -> None:
        name = pod.spec.node_name
        of = taken.setdefault(name, {})
        for resource, amount in requests_of(pod.requested()).items():
            of[resource] = of.get(resource, 0.0) + amount
        if not pod.deleting() and name in self._index:
            app = f"{pod.metadata.namespace}/{pod.metadata.labels.get(APP, '')}"
            placed.setdefault(app, []).append(self._index[name])

    def _all(self, kind: Kind) -> Iterable[Object]:
        return (msgspec.json.decode(body) for body in self._store.select(kind.resource).bodies)


def _questions(users: Users, bound_ms: float) -> tuple[Question, ...]:
    entries = zip(users.nodes.tolist(), users.last_mile_ms.tolist(), strict=True)
    return tuple((node, asked_ms(bound_ms, last_mile_ms)) for node, last_mile_ms in entries)
