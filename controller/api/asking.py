"""What questions of the API have in common: names, classes, moments, and pages. Reads the service."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
from fastapi import HTTPException, Query
from numpy.typing import NDArray

from controller.api.models import Problem
from controller.enrolment.errors import NotAMember
from controller.server.service import Service
from overlayd.model.ids import NodeId

_LAST_OF_A_SECOND = 0.999999
"""Moments are shown in whole seconds: what happened in one is to be found by it."""

MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}
PAGED: dict[int | str, dict[str, Any]] = MISSING | {410: {"model": Problem}, 422: {"model": Problem}}

ClassName = Annotated[str | None, Query(alias="class", description="Name or number of a class of service.")]
NodeName = Annotated[str, Query(description="Name of a node.")]
OptionalName = Annotated[str | None, Query(description="Name of a node.")]
MomentText = Annotated[str | None, Query(description="RFC 3339, or Unix seconds; default: now.")]

MOST = 1000
"""Items of a page: more would keep agents and other questions waiting for longer than a tenth of a second."""
_CURSOR = re.compile(r"\d{1,5}(-\d{1,5}){1,2}")

Limit = Annotated[int, Query(ge=1, le=MOST, description="Items of a page, at most.")]
After = Annotated[
    str | None,
    Query(description="Where the page before this one ended: its `next`. Default: at the beginning."),
]


@dataclass(frozen=True, slots=True)
class Page:
    """Places of the items, and the cursor of the next page; None: this is the last one."""

    keys: NDArray[np.intp]
    next: str | None


def page_of(
    service: Service, keys: NDArray[np.intp], shape: Sequence[int], limit: int, after: str | None
) -> Page:
    """Return a page of ``keys``, ascending places in an array [from, to] or [from, to, class] of ``shape``
    laid flat. A cursor names ids, so that it holds while nodes come; when its own are gone, that is 410.
    """
    begin = 0
    if after is not None:
        begin = int(np.searchsorted(keys, _place(service, after, shape), side="right"))
    found = keys[begin : begin + limit]
    if begin + limit >= len(keys):
        return Page(found, None)
    a, b, *number = (int(index) for index in np.unravel_index(int(found[-1]), tuple(shape)))
    vertices = service.core.topology.vertices
    return Page(found, "-".join(map(str, (vertices[a].id, vertices[b].id, *number))))


def _place(service: Service, cursor: str, shape: Sequence[int]) -> int:
    if not _CURSOR.fullmatch(cursor) or cursor.count("-") != len(shape) - 1:
        raise HTTPException(422, f"{cursor!r} is no cursor; give back what `next` of the page before says")
    a, b, *number = map(int, cursor.split("-"))
    index = service.core.topology.index
    if NodeId(a) not in index or NodeId(b) not in index or any(n >= shape[2] for n in number):
        raise HTTPException(410, "the nodes at which the page before ended are gone; begin anew")
    return int(np.ravel_multi_index((index[NodeId(a)], index[NodeId(b)], *number), tuple(shape)))


def find_node(service: Service, name: str) -> NodeId:
    for node, member in service.members.items():
        if member.node.metadata.name == name:
            return node
    raise NotAMember(f"there is no node named {name!r}")


def find_class(service: Service, name: str) -> int:
    names = [one.name for one in service.core.services]
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    raise HTTPException(404, f"there is no class {name!r}; there are {', '.join(names)}")


def unix_seconds(text: str) -> float:
    """Return the time that ``text`` names; without a zone it is UTC, without a fraction the whole second."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        problem = f"{text!r} is no time; 2026-05-04T12:00:00Z is, and so are Unix seconds"
        raise HTTPException(422, problem) from error
    start_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return start_s if moment.microsecond else start_s + _LAST_OF_A_SECOND
