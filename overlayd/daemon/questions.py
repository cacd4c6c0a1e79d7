"""Answers to what the command line only asks: status, lists, explain, trace. I/O: trace asks other agents."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

from overlayd.agent.busy import busy
from overlayd.agent.view import NotFound, View
from overlayd.daemon.local_api import Handler, RequestFailed
from overlayd.daemon.memory import Memory
from overlayd.daemon.trace import NoAnswer, TraceService
from overlayd.model.ids import NodeId, Path
from overlayd.protocol import local
from overlayd.protocol.trace import NOBODY, Question, Reply

LONGEST_TIMEOUT_S = 30.0
_T = TypeVar("_T", bound=msgspec.Struct)

CurrentView: TypeAlias = Callable[[], View | None]
"""The agent at this moment; None while this node is no member."""


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of ``explain`` and ``trace``. ``service`` is a class of service by name or number."""

    destination: str
    service: str | None = None
    timeout_s: float = 3.0


class Happened(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of ``events``: since a time (Unix seconds), after a number, the newest ``limit``."""

    since: float = 0.0
    after: int = 0
    limit: Annotated[int, msgspec.Meta(ge=0)] = 1000


class Questions:
    """The handlers that change nothing."""

    def __init__(
        self, view: CurrentView, outsider: Callable[[], local.Status], trace: TraceService, memory: Memory
    ) -> None:
        self._view = view
        self._outsider = outsider
        self._trace = trace
        self._memory = memory

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by verb."""
        return {
            "status": self._status,
            "nodes": self._nodes,
            "links": self._links,
            "routes": self._routes,
            "explain": self._explain,
            "trace": self._trace_path,
            "top": self._top,
            "events": self._events,
        }

    async def _status(self, _: dict[str, Any]) -> local.Status:
        view = self._view()
        return view.status() if view else self._outsider()

    async def _nodes(self, _: dict[str, Any]) -> local.NodeList:
        return self._member().nodes()

    async def _links(self, _: dict[str, Any]) -> local.LinkList:
        return self._member().links()

    async def _routes(self, _: dict[str, Any]) -> local.RouteList:
        return self._member().routes()

    async def _top(self, _: dict[str, Any]) -> local.Top:
        return busy(self._member())

    async def _events(self, arguments: dict[str, Any]) -> local.EventList:
        wanted = decode(arguments, Happened)
        return self._memory.told(wanted.since, wanted.after, wanted.limit)

    async def _explain(self, arguments: dict[str, Any]) -> local.Explanation:
        about, view = decode(arguments, About), self._member()
        try:
            return view.explain(view.find(about.destination), view.find_class(about.service))
        except NotFound as error:
            raise RequestFailed("not-found", str(error)) from error

    async def _trace_path(self, arguments: dict[str, Any]) -> local.Trace:
        about, view = decode(arguments, About), self._member()
        try:
            destination, class_id = view.find(about.destination), view.find_class(about.service)
        except NotFound as error:
            raise RequestFailed("not-found", str(error)) from error
        path = view.in_use(destination, class_id)
        if path is None:
            raise RequestFailed("failed", f"no path to {view.name(destination)} is alive")
        timeout_s = min(max(about.timeout_s, 0.1), LONGEST_TIMEOUT_S)
        ends = await self._ask_ends(view, path, class_id, timeout_s)
        rtt_ms, loss_ratio = view.measured(destination, class_id, path)
        return local.Trace(
            destination=view.name(destination),
            service=view.class_name(class_id),
            path=view.names(path),
            hops=_hops(view, path, ends),
            rtt_ms=rtt_ms,
            loss_ratio=loss_ratio,
        )

    async def _ask_ends(self, view: View, path: Path, class_id: int, timeout_s: float) -> list[Reply | str]:
        """What every node of the path has to say, this one first; a sentence where it says nothing."""
        nodes = (view.me, *path)
        questions = [
            Question(
                0, nodes[i - 1] if i else NOBODY, nodes[i + 1] if i + 1 < len(nodes) else NOBODY, class_id
            )
            for i in range(len(nodes))
        ]

        async def ask(node: NodeId, question: Question) -> Reply | str:
            try:
                return await self._trace.ask(view.address(node), question, timeout_s)
            except (NoAnswer, NotFound) as error:
                return f"{view.name(node)}: {error}"

        outgoing, incoming = view.trace_answer(questions[0])
        asked = zip(path, questions[1:], strict=True)
        others = await asyncio.gather(*(ask(node, question) for node, question in asked))
        return [Reply(0, view.me, outgoing, incoming), *others]

    def _member(self) -> View:
        view = self._view()
        if view is None:
            problem = "this node has not joined a network; `overlayctl join TOKEN` does"
            raise RequestFailed("not-found", problem)
        return view


def decode(arguments: dict[str, Any], kind: type[_T]) -> _T:
    """Return a request's arguments as ``kind``. Raises :class:`RequestFailed`."""
    try:
        return msgspec.convert(arguments, kind)
    except msgspec.ValidationError as error:
        raise RequestFailed("usage", str(error)) from error


def _hops(view: View, path: Path, ends: list[Reply | str]) -> tuple[local.HopRow, ...]:
    """Put together what the two ends of each hop said."""
    nodes = (view.me, *path)
    rows: list[local.HopRow] = []
    for i in range(len(path)):
        here, there = ends[i], ends[i + 1]
        sent = here.outgoing if isinstance(here, Reply) else None
        received = there.incoming if isinstance(there, Reply) else None
        silent = [end for end in (here, there) if isinstance(end, str)]
        rows.append(
            local.HopRow(
                start=view.name(nodes[i]),
                end=view.name(nodes[i + 1]),
                up=sent.up if sent else None,
                rtt_ms=sent.rtt_ms if sent else None,
                loss_ratio=sent.loss_ratio if sent else None,
                recovered_ratio=received.recovered_ratio if received else None,
                lost_ratio=received.lost_ratio if received else None,
                burst_length=received.burst_length if received else None,
                added_p50_ms=received.added_p50_ms if received else None,
                added_p99_ms=received.added_p99_ms if received else None,
                repair_ratio=sent.repair_ratio if sent else None,
                retransmitted_ratio=sent.retransmitted_ratio if sent else None,
                problem="; ".join(silent) or None,
            )
        )
    return tuple(rows)
