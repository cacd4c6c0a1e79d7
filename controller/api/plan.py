"""``GET /v1/plan``: what would happen if nodes or links were gone or worse. Reads the service.

The planner works in a thread, so that agents are served meanwhile. Called by `controller.api.app`.
"""

import asyncio
import re
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query

from controller.api.asking import MISSING, find_node
from controller.api.models import Model
from controller.core.decision import Decision
from controller.planner.whatif import Consequence, Degraded, Outcome, Supposition, suppose
from controller.server.service import Service, now

_FIGURE = re.compile(r"(?P<what>loss|rtt):(?P<value>\d+(?:\.\d+)?)(?P<unit>%|ms)")
_UNITS = {"loss": "%", "rtt": "ms"}

Names = Annotated[str, Query(description="Names of nodes, separated by commas.")]
Links = Annotated[str, Query(description="Links as A:B, both directions, separated by commas.")]
Degradations = Annotated[
    str, Query(description="Links with the least they are to have: A:B=loss:5% or A:B=rtt:80ms, by commas.")
]


class ConsequenceModel(Model):
    """What becomes of a route. Figures are forecasts of its primary, losses before repair."""

    source: str
    destination: str
    class_: str
    fate: Literal["moved", "worse", "cut-off"]
    before: list[str]
    after: list[str] | None
    rtt_before_ms: float | None
    rtt_after_ms: float | None
    loss_before_ratio: float | None
    loss_after_ratio: float | None


class RelayLoad(Model):
    """How many primaries, of all pairs and classes, go through a relay."""

    relay: str
    before: int
    after: int


class WhatIf(Model):
    """``single_points``: relays without which the rest would fall apart, once this has happened."""

    schema_: Literal["overlayd.plan/1"] = "overlayd.plan/1"
    routes: int
    moved: int
    worse: int
    cut_off: int
    consequences: list[ConsequenceModel]
    relays: list[RelayLoad]
    single_points: list[str]


def add_plan(router: APIRouter, service: Service) -> None:
    """Add the endpoint to ``router``."""

    @router.get("/plan", responses=MISSING)
    async def plan(without_node: Names = "", without_link: Links = "", degrade: Degradations = "") -> WhatIf:
        """What the next decision would be if this happened now: which routes move, what becomes worse, who is
        cut off. Changes nothing.
        """
        decision = service.core.question(now())
        what = _Reader(service, decision).supposition(without_node, without_link, degrade)
        outcome = await asyncio.to_thread(suppose, decision, what, service.core.kept)
        return await asyncio.to_thread(_model, decision, what, outcome)


class _Reader:
    """Reads what is supposed. Raises 404 for names that do not exist and 422 for what cannot be read."""

    def __init__(self, service: Service, decision: Decision) -> None:
        self._service = service
        self._index = {vertex.id: i for i, vertex in enumerate(decision.vertices)}

    def supposition(self, nodes: str, links: str, degraded: str) -> Supposition:
        return Supposition(
            tuple(self._node(name) for name in _items(nodes)),
            tuple(self._link(text) for text in _items(links)),
            tuple(self._degraded(text) for text in _items(degraded)),
        )

    def _node(self, name: str) -> int:
        return self._index[find_node(self._service, name)]

    def _link(self, text: str) -> tuple[int, int]:
        a, colon, b = text.partition(":")
        if not colon or a == b:
            raise HTTPException(422, f"{text!r} is no link; paris:berlin is")
        return self._node(a), self._node(b)

    def _degraded(self, text: str) -> Degraded:
        link, _, figure = text.partition("=")
        read = _FIGURE.fullmatch(figure)
        if read is None or read["unit"] != _UNITS[read["what"]]:
            raise HTTPException(422, f"{text!r} cannot be read; paris:berlin=loss:5% can, or …=rtt:80ms")
        value = float(read["value"])
        if read["what"] == "rtt":
            return Degraded(self._link(link), rtt_ms=value)
        if value > 100:
            raise HTTPException(422, f"{text!r}: more than everything cannot be lost")
        return Degraded(self._link(link), loss=value / 100)


def _items(text: str) -> Iterator[str]:
    return (item for item in text.split(",") if item)


def _model(decision: Decision, what: Supposition, outcome: Outcome) -> WhatIf:
    names = [vertex.name for vertex in decision.vertices]
    fates = [consequence.fate.value for consequence in outcome.consequences]
    left = len(names) - len(set(what.nodes))
    return WhatIf(
        routes=len(decision.services) * left * (left - 1),
        moved=fates.count("moved"),
        worse=fates.count("worse"),
        cut_off=fates.count("cut-off"),
        consequences=[_consequence(decision, names, one) for one in outcome.consequences],
        relays=[
            RelayLoad(relay=names[i], before=before, after=after)
            for i, (before, after) in enumerate(zip(outcome.load_before, outcome.load_after, strict=True))
            if before or after
        ],
        single_points=[names[node] for node in outcome.single_points],
    )


def _consequence(decision: Decision, names: list[str], one: Consequence) -> ConsequenceModel:
    return ConsequenceModel(
        source=names[one.source],
        destination=names[one.destination],
        class_=decision.services[one.class_id].name,
        fate=one.fate.value,
        before=[names[node] for node in one.before],
        after=None if one.after is None else [names[node] for node in one.after],
        rtt_before_ms=_rounded(one.rtt_before_ms, 3),
        rtt_after_ms=_rounded(one.rtt_after_ms, 3),
        loss_before_ratio=_rounded(one.loss_before, 5),
        loss_after_ratio=_rounded(one.loss_after, 5),
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
