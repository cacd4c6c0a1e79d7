"""The API beside a running controller: its address, its certificate, its token, its tasks. I/O.

What goes wrong here is logged and ends here: the mesh goes on without it.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import IPv4Network
from pathlib import Path

import uvicorn

from controller.config import split_address
from controller.orchestration.objects.kinds import Catalogue
from controller.orchestration.objects.offered import OFFERED
from controller.orchestration.objects.schema import Object
from controller.orchestration.serving import policies
from controller.orchestration.serving.api import Api
from controller.orchestration.serving.certified import Certified
from controller.orchestration.serving.channel import WEBSOCKET
from controller.orchestration.serving.controlling import Controlling
from controller.orchestration.serving.mesh import Mesh
from controller.orchestration.serving.mirror import Mirror
from controller.orchestration.serving.nodes import Nodes, members_of
from controller.orchestration.serving.surroundings import Surroundings
from controller.orchestration.serving.verbs import Verbs
from controller.orchestration.serving.watching import Hub
from controller.orchestration.store.database import FILE_NAME
from controller.orchestration.store.store import Store
from controller.registry import Node
from controller.server.serve import bind
from controller.server.service import Service
from controller.server.tls import Leaf
from controller.state import State
from overlayd._engine import version

LOG = logging.getLogger(__name__)

KUBERNETES = "v1.35.3"
"""Whose answers ours are held against (``tests/kubernetes``)."""
MIRROR_S = 1.0
HOUSEKEEPING_S = 60.0


def version_document() -> Object:
    """Return what ``/version`` answers: whose API this is like, and whose it is."""
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{KUBERNETES}+overlayd-{version()}",
        "platform": "linux",
    }


class Serving:
    """The API on a store, until closed."""

    def __init__(
        self, path: Path, token: str, kinds: Catalogue = OFFERED, nodes: Nodes | None = None
    ) -> None:
        self.store = Store(path)
        self.objects = Verbs(kinds, self.store, policies.guard)
        self.objects.begin()
        loop = asyncio.get_running_loop()
        self.hub = Hub(self.store, loop.call_soon_threadsafe)
        self.api = Api(kinds, self.objects, self.hub, token, version_document(), nodes)

    def close(self) -> None:
        self.api.nodes.presence.close()
        self.hub.close()
        self.store.close()


@asynccontextmanager
async def orchestration(
    service: Service,
    kinds: Catalogue = OFFERED,
    nodes: Nodes | None = None,
    around: Surroundings | None = None,
) -> AsyncGenerator[int]:
    """Serve beside ``service`` as long as the block lasts; yields the port. ``nodes``: default its members;
    ``around``: the mesh that apps are placed on, default that of ``service``.

    Raises ``BindError``, ``StoreError``.
    """
    state = service.state
    section = state.config.orchestration
    assert section is not None, "started only where the section is there"
    listening = bind(*split_address(section.listen, "orchestration.listen"))
    try:
        nodes = nodes or Nodes(members_of(service))
        serving = Serving(state.directory / FILE_NAME, state.admin_token, kinds, nodes)
    except BaseException:
        listening.close()
        raise
    leaf = _certificate(state, section.listen)
    mirror = Mirror(serving.objects, nodes.presence, state.config.nodes)
    config = uvicorn.Config(
        serving.api, lifespan="off", log_config=None, access_log=False, server_header=False,
        timeout_keep_alive=60, http=Certified, **WEBSOCKET,
    )  # fmt: skip
    config.load()
    config.ssl = leaf.context
    server = _Server(config)
    prefix = IPv4Network(section.routes_prefix)
    around = around or Mesh(service, serving.store)
    ruling = policies.Policies(serving.objects, serving.hub, state.config, service.rule)
    ruling.settle()
    loops = Controlling(serving.objects, serving.hub, around, prefix=prefix)
    serving.api.explain = loops.explain
    nodes.answer = loops.leases.answer
    nodes.presence.listen(loops.told)
    tasks = [
        asyncio.create_task(loops.run()),
        asyncio.create_task(ruling.run()),
        asyncio.create_task(server.serve([listening])),
        asyncio.create_task(_kept(lambda: mirror.reflect(_members(service), int(time.time())), MIRROR_S)),
        asyncio.create_task(_kept(serving.objects.forget_events, HOUSEKEEPING_S)),
        asyncio.create_task(_kept(lambda: _renew_when_due(leaf), HOUSEKEEPING_S)),
    ]
    try:
        while not server.started and not tasks[1].done():
            await asyncio.sleep(0.005)
        LOG.info("applications: Kubernetes' API at https://%s", section.listen)
        yield listening.getsockname()[1]
    finally:
        serving.hub.close()
        nodes.presence.close()
        server.should_exit = True
        await asyncio.wait(tasks[1:2], timeout=2.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        serving.close()


def _members(service: Service) -> list[Node]:
    return [member.node for member in service.members.values()]


async def _kept(work: Callable[[], object], seconds: float) -> None:
    """Do something again and again; a failure is logged, and tried again."""
    while True:
        try:
            work()
        except Exception:
            LOG.exception("applications: what is done every %g s failed", seconds)
        await asyncio.sleep(seconds)


class _Server(uvicorn.Server):
    """Leaves signals to the controller."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _certificate(state: State, listen: str) -> Leaf:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0  # a resumed session would carry an identity that may have been revoked since
    context.verify_mode = ssl.CERT_OPTIONAL  # nodes show theirs, who has the token none
    context.load_verify_locations(cadata=state.issuer.authority.trust_pem)
    return Leaf(state, context, "api", listen, time.time(), also=("127.0.0.1", "::1", "localhost"))


def _renew_when_due(leaf: Leaf) -> None:
    now = time.time()
    if leaf.due(now):
        leaf.renew(now)
