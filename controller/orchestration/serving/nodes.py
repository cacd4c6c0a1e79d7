"""Nodes as clients of the API: whose a certificate is, and where their channels are opened. I/O."""

import time
from collections.abc import Callable
from typing import TypeAlias

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from controller.enrolment.errors import NotAMember
from controller.orchestration.nodes.presence import Presence
from controller.orchestration.objects.problems import Problem
from controller.orchestration.serving import access, channel
from controller.orchestration.serving.access import Named
from controller.orchestration.serving.certified import certificate_of
from controller.server.service import Service
from overlayd.protocol.workload import PATH

Answer: TypeAlias = Callable[[str, int], tuple[str, ...]]
"""Told a node and the time (ns), when it says that it is alive, says which of its pods (uids) may go on."""


def boottime_ns() -> int:
    """Read a clock that goes on while the host sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Nodes:
    """The nodes of one controller: who of them is connected, how each is known, and which of its pods may go
    on (``answer``).
    """

    def __init__(self, named: Named, now_ns: Callable[[], int] = boottime_ns) -> None:
        self.named = named
        self.presence = Presence()
        self.answer: Answer = no_pods
        self._now_ns = now_ns

    async def open(self, scope: Scope, receive: Receive, send: Send, token: bytes) -> None:
        """Serve a WebSocket, or refuse it as a request is refused."""
        socket = WebSocket(scope, receive, send)
        leaf = certificate_of(scope)
        try:
            asker = access.asker(socket.headers.get("authorization", ""), token, leaf, self.named)
            if not asker.node or socket.url.path != PATH:
                raise access.denied_path(asker, "get", socket.url.path)
        except Problem as problem:
            said = msgspec.json.encode(problem.status())
            await socket.send_denial_response(Response(said, problem.code, media_type="application/json"))
            return
        await channel.serve(
            socket,
            asker.node,
            self.presence,
            lambda: leaf is not None and self.named(leaf) == asker.node,
            lambda: self.answer(asker.node, self._now_ns()),
        )


def no_pods(_: str, __: int) -> tuple[str, ...]:
    """Let no pod go on that needs to be told so."""
    return ()


def members_of(service: Service) -> Named:
    """Return who knows the members of a network by their certificates."""

    def named(leaf: bytes) -> str | None:
        try:
            node = service.identify(leaf)
        except NotAMember:
            return None
        return service.members[node].node.metadata.name if service.is_member(node) else None

    return named


def nobody(_: bytes) -> str | None:
    """Know no certificate."""
