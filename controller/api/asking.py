"""What questions of the API have in common: names of nodes and classes, and moments. Reads the service."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import HTTPException, Query

from controller.api.models import Problem
from controller.enrolment.errors import NotAMember
from controller.server.service import Service
from overlayd.model.ids import NodeId

_LAST_OF_A_SECOND = 0.999999
"""Moments are shown in whole seconds: what happened in one is to be found by it."""

MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}

ClassName = Annotated[str | None, Query(alias="class", description="Name or number of a class of service.")]
NodeName = Annotated[str, Query(description="Name of a node.")]
OptionalName = Annotated[str | None, Query(description="Name of a node.")]
MomentText = Annotated[str | None, Query(description="RFC 3339, or Unix seconds; default: now.")]


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
