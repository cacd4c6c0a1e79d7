"""Objects as a table: what ``kubectl get`` shows, each cell by a column's JSON path. Pure.

Of JSON paths there is what columns use: fields, ``[*]``, and ``[?(@.field=="text")]``.
"""

import re
from datetime import UTC, datetime
from functools import cache
from typing import Any

from controller.orchestration.objects.kinds import Column, Kind
from controller.orchestration.objects.schema import Object, is_list, is_object

_NAME = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources "
    "may allow a "
    "client to request the generation of an appropriate name automatically. Name is primarily intended "
    "for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_AGE = Column(
    "Age",
    "date",
    ".metadata.creationTimestamp",
    "CreationTimestamp is when the object was made by the server. It is represented in RFC3339 form and "
    "is in UTC.",
)
_STEP = re.compile(r'\.(?P<name>[\w-]+)|(?P<all>\[\*\])|\[\?\(@\.(?P<key>[\w-]+)=="(?P<value>[^"]*)"\)\]')


def columns(kind: Kind) -> list[Object]:
    """Return the table's column definitions."""
    made: list[Object] = [
        {"name": "Name", "type": "string", "format": "name", "description": _NAME, "priority": 0}
    ]
    for column in kind.columns or (_AGE,):
        description = (
            column.description or f"Custom resource definition column (in JSONPath format): {column.path}"
        )
        made.append(
            {
                "name": column.name,
                "type": column.type,
                "format": "",
                "description": description,
                "priority": column.priority,
            }
        )
    return made


def row(kind: Kind, value: Object, now: float, include: str) -> Object:
    """Return an object's row. ``include`` is what of the object goes along: None, Metadata or Object."""
    cells: list[Any] = [value["metadata"]["name"]]
    cells += [_cell(column, value, now) for column in kind.columns or (_AGE,)]
    if include == "None":
        return {"cells": cells, "object": None}
    whole = value if include == "Object" else partial(value)
    return {"cells": cells, "object": whole}


def partial(value: Object) -> Object:
    """Return an object's metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]}


def found(value: Any, path: str) -> list[Any]:
    """Return what a JSON path finds."""
    here: list[Any] = [value]
    for name, key, wanted in _steps(path):
        there: list[Any] = []
        for one in here:
            if name is not None:
                if is_object(one) and name in one:
                    there.append(one[name])
            elif is_list(one):
                there += one if key is None else [item for item in one if item.get(key) == wanted]
        here = there
    return here


@cache
def _steps(path: str) -> list[tuple[str | None, str | None, str | None]]:
    """Return the steps of a path: a field's name; or of a list the items whose field ``key`` is ``wanted``,
    all where there is no key.
    """
    return [(step["name"], step["key"], step["value"]) for step in _STEP.finditer(path)]


def age(stamp: str, now: float) -> str:
    """Return how long ago ``stamp`` (RFC 3339) was at ``now`` (Unix seconds), as kubectl tells it."""
    try:
        then = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        return "<invalid>"
    seconds = int(now - then.replace(tzinfo=then.tzinfo or UTC).timestamp())
    return duration(seconds)


def duration(seconds: int) -> str:
    """Return seconds with two or three digits that matter. Source: apimachinery's ``HumanDuration``."""
    if seconds < -1:
        return "<invalid>"
    seconds = max(0, seconds)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    if days < 8 * 365:
        years, rest = days // 365, days % 365
        return f"{years}y{rest}d" if rest else f"{years}y"
    return f"{days // 365}y"


def _cell(column: Column, value: Object, now: float) -> Any:
    if column.shown is not None:
        return column.shown(value, now)
    values = found(value, column.path)
    if not values or values[0] is None:
        return None
    first = values[0]
    match column.type:
        case "date":
            return age(first, now)
        case "string" if is_object(first):
            reference = first
            return f"{str(reference.get('kind', '')).lower()}/{reference.get('name', '')}"
        case "string":
            return str(first)
        case _:
            return first
