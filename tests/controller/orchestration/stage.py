"""Objects, their verbs and the control loops without a network: rounds by hand, time by hand, nodes that say
what the test has them say.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from controller.orchestration.control.chosen import Chosen
from controller.orchestration.objects.app import APP
from controller.orchestration.objects.core import EVENT
from controller.orchestration.objects.kinds import Kind
from controller.orchestration.objects.offered import OFFERED
from controller.orchestration.objects.pod import POD
from controller.orchestration.objects.schema import Object
from controller.orchestration.serving.asking import Target
from controller.orchestration.serving.controlling import Controlling
from controller.orchestration.serving.surroundings import Asked
from controller.orchestration.serving.verbs import MERGE, Verbs, new_write
from controller.orchestration.serving.watching import Hub
from controller.orchestration.store.store import Store
from overlayd.protocol.pod import FINALIZER

NS = 1_000_000_000
STEP_S = 10


class Around:
    """A mesh of nodes, and placement that takes the first of ``order`` that live, as many as are least
    wanted.
    """

    def __init__(self, *nodes: str) -> None:
        self.nodes = list(nodes)
        self.order = list(nodes)
        self.mesh: set[str] = set()
        self.ms: dict[tuple[str, str], float] = {}
        self.in_cloud: set[str] = set()

    def addresses(self) -> Mapping[str, str]:
        return {name: f"100.64.0.{place + 1}" for place, name in enumerate(self.nodes)}

    def heard(self) -> frozenset[str]:
        return frozenset(self.mesh)

    def look(self, living: frozenset[str], reached: frozenset[str]) -> "Seen":
        return Seen(self, living, reached)


class Seen:
    """The mesh at one moment."""

    def __init__(self, around: Around, living: frozenset[str], reached: frozenset[str]) -> None:
        self._around = around
        self._living = living
        self._reached = reached

    def prepare(self) -> None:
        pass

    def choose(self, asked: Sequence[Asked]) -> list[Chosen]:
        return [self._chosen(one) for one in asked]

    def _chosen(self, asked: Asked) -> Chosen:
        there = self._reached | self._living.intersection(asked.held.nodes)
        living = [node for node in self._around.order if node in self._living & there]
        return Chosen(tuple(living[: max(1, asked.app.spec.least)]), ms=dict.fromkeys(living, 10.0))

    def explain(self, asked: Asked) -> Object:
        return {"nodes": list(self.choose([asked])[0].nodes)}

    def distance(self, source: str, target: str) -> float | None:
        return self._around.ms.get((source, target))

    def cloud(self) -> set[str]:
        return self._around.in_cloud


class Stage:
    """One controller's objects. Nodes answer each second unless they are ``silent``."""

    def __init__(self, folder: Path, *nodes: str) -> None:
        self.store = Store(folder / "objects.db")
        self.verbs = Verbs(OFFERED, self.store)
        self.verbs.begin()
        self.around = Around(*nodes)
        self.now_ns = 1000 * NS
        self.began_s = time.time() - 1000
        self.silent: set[str] = set()
        self.drain_s = 0.0
        self.begin()

    def begin(self) -> None:
        """The controller begins (anew)."""
        self.hub = Hub(self.store, lambda work: work())
        self.loops = Controlling(
            self.verbs,
            self.hub,
            self.around,
            clock_ns=lambda: self.now_ns,
            unix_s=lambda: self.began_s + self.now_ns / NS,
            drain_s=self.drain_s,
        )

    def wait(self, seconds: int) -> None:
        """Let time pass in larger steps."""
        self.run(seconds // STEP_S, step_s=STEP_S)

    def run(self, times: int = 1, *, kubelets: bool = True, step_s: int = 1) -> None:
        """Let time pass: nodes show that they live, the loops have rounds, nodes do what they are told."""

        async def passing() -> None:
            for _ in range(times):
                self.now_ns += step_s * NS
                for node in self.around.nodes:
                    if node not in self.silent:
                        self.loops.leases.answer(node, self.now_ns)
                await self.loops.round()
                if kubelets:
                    self.kubelets()
                    await self.loops.round()

        asyncio.run(passing())

    def kubelets(self, **status: Any) -> None:
        """All nodes that are not silent take on their pods, which are well, and end those that are to end."""
        for value in self.pods():
            if value["spec"]["nodeName"] in self.silent:
                continue
            if "deletionTimestamp" in value["metadata"]:
                left = [one for one in value["metadata"]["finalizers"] if one != FINALIZER] or None
                self.patch(POD, value["metadata"]["name"], {"metadata": {"finalizers": left}})
            elif "conditions" not in value["status"]:
                self.say(value["metadata"]["name"])

    def say(self, pod: str, ready: bool = True, restarts: int = 0) -> None:
        """A node says how a pod is."""
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
        containers = [{"name": "main", "image": "", "imageID": "", "ready": ready, "restartCount": restarts}]
        status = {"phase": "Running", "conditions": conditions, "containerStatuses": containers}
        self.patch(POD, pod, {"status": status}, "status")

    # Objects

    def apply(self, name: str, **spec: Any) -> Object:
        """Make or change an app."""
        body = {"metadata": {"name": name}, "spec": {"source": {"image": "qc:v1"}, **spec}}
        if any(app["metadata"]["name"] == name for app in self.all(APP)):
            return self.patch(APP, name, body)
        return self.verbs.create(Target(APP, "default"), body, new_write("test"))

    def patch(self, kind: Kind, name: str, body: Object, part: str = "") -> Object:
        write = new_write("test", subresource=part)
        return self.verbs.patch(Target(kind, "default", name, part), MERGE, body, write)

    def patch_app(self, name: str, body: Object) -> None:
        self.patch(APP, name, body)

    def delete(self, kind: Kind, name: str) -> None:
        self.verbs.delete(Target(kind, "default", name), {}, new_write("test"))

    def all(self, kind: Kind) -> list[Object]:
        return [msgspec.json.decode(body) for body in self.store.select(kind.resource).bodies]

    def app(self, name: str) -> Object:
        return self.verbs.read(Target(APP, "default", name))

    def pods(self, *, revision: str = "") -> list[Object]:
        pods = self.all(POD)
        return [
            one
            for one in pods
            if not revision or one["metadata"]["labels"]["overlayd.io/revision"] == revision
        ]

    def nodes(self) -> list[str]:
        """Where pods run that are not being deleted."""
        return sorted(
            one["spec"]["nodeName"] for one in self.pods() if "deletionTimestamp" not in one["metadata"]
        )

    def condition(self, name: str, kind: str) -> tuple[str, str]:
        """Return status and reason of an app's condition."""
        found = next(one for one in self.app(name)["status"]["conditions"] if one["type"] == kind)
        return found["status"], found["reason"]

    def events(self) -> list[tuple[str, str]]:
        return [(one["reason"], one["message"]) for one in self.all(EVENT)]
