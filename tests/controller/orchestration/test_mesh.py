"""The running mesh as the loops see it: who is there, what it can take, how far it is."""

import asyncio
from pathlib import Path
from typing import Any

from controller.config import NodeSection
from controller.orchestration.control.apps import App, read_app
from controller.orchestration.objects.app import APP
from controller.orchestration.objects.node import NODE
from controller.orchestration.objects.offered import OFFERED
from controller.orchestration.placement.wanted import Held
from controller.orchestration.serving.asking import Target
from controller.orchestration.serving.mesh import Mesh
from controller.orchestration.serving.mirror import node_object
from controller.orchestration.serving.nodes import Nodes, members_of
from controller.orchestration.serving.surroundings import Asked
from controller.orchestration.serving.verbs import Verbs, new_write
from controller.orchestration.store.store import Key, Store
from controller.server.serve import Running
from controller.server.service import Service, now
from tests.controller.orchestration.test_server import new_state
from tests.controller.running import RunningController

OFFER = {
    "capacity": {"cpuMilli": 2000, "memoryBytes": 1 << 30, "diskBytes": 1 << 30},
    "runtimes": {"docker": "20"},
}
WORKLOADS = {"type": "Workloads", "status": "True", "reason": "x", "message": "", "lastTransitionTime": ""}


def show(store: Store, service: Service, offering: str) -> None:
    """Put the members' objects into the store; one of them has told what it offers."""
    for member in service.members.values():
        node = member.node
        value = node_object(node, NodeSection(), Nodes(members_of(service)).presence, None, "")
        if node.metadata.name == offering:
            value["status"] |= {**OFFER, "conditions": [WORKLOADS]}
        store.write(Key(NODE.resource, "", node.metadata.name), lambda _, value=value: value, 1)


def app(verbs: Verbs, **spec: Any) -> App:
    body = {"metadata": {"name": "qc"}, "spec": {"source": {"image": "x"}, **spec}}
    return read_app(verbs.create(Target(APP, "default"), body, new_write("test"), dry_run=True))


def test_apps_go_to_nodes_that_can_take_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        state = new_state(tmp_path / "state")
        async with Running(state) as running:
            for name in ("paris", "tokyo"):
                await RunningController(state, running).join(name)
            store = Store(tmp_path / "objects.db")
            verbs = Verbs(OFFERED, store)
            verbs.begin()
            show(store, running.service, "paris")
            running.service.core.frame(now())  # whoever has just arrived is taken in
            mesh = Mesh(running.service, store)
            assert sorted(mesh.addresses()) == ["paris", "tokyo"] and all(mesh.addresses().values())
            view = mesh.look(frozenset({"paris", "tokyo"}), frozenset({"paris", "tokyo"}))
            view.prepare()
            small, large = app(verbs), app(verbs, resources={"requests": {"cpu": 64}})
            fits, refused = view.choose([Asked(small, Held()), Asked(large, Held())])
            assert fits.nodes == ("paris",) and "tokyo" in fits.refused
            assert refused.nodes == () and "paris" in refused.refused and refused.problem
            near = view.distance("paris", "paris")
            assert near is not None and near < 1.0
            assert view.distance("paris", "tokyo") is None and view.distance("paris", "nowhere") is None
            gone = mesh.look(frozenset({"tokyo"}), frozenset({"tokyo"}))
            gone.prepare()
            assert gone.choose([Asked(small, Held())])[0].nodes == ()
            store.close()

    asyncio.run(scenario())
