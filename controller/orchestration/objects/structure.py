"""Bringing an object into the shape of its schema: the unknown goes, what is left out gets its default. Pure.

Source: Kubernetes' structural schemas (pruning, defaulting); a ``null`` where the schema allows none counts
as left out if there is a default, as there.
"""

import copy
import difflib
from typing import Any, NamedTuple

from controller.orchestration.objects.schema import Schema, is_list, is_object


class Unknown(NamedTuple):
    """A field that is not declared; ``near``: one that is and has nearly that name, or empty."""

    path: str
    near: str


def prune(schema: Schema, value: Any, path: str = "") -> list[Unknown]:
    """Remove fields that ``schema`` does not declare, in place; return which they were."""
    unknown: list[Unknown] = []
    if schema.open:
        return unknown
    if is_object(value):
        fields = value
        for key in sorted(fields):
            below = schema.child(key)
            place = f"{path}.{key}" if path else key
            if below is None:
                near = difflib.get_close_matches(key, schema.properties, n=1, cutoff=0.75)
                unknown.append(Unknown(place, near[0] if near else ""))
                del fields[key]
            else:
                unknown += prune(below, fields[key], place)
    elif is_list(value) and schema.items is not None:
        for place, item in enumerate(value):
            unknown += prune(schema.items, item, f"{path}[{place}]")
    return unknown


def fill(schema: Schema, value: Any) -> None:
    """Put defaults where a field is left out, in place."""
    if is_object(value):
        fields = value
        for key, below in schema.properties.items():
            if below.default is not None and fields.get(key) is None:
                fields[key] = copy.copy(below.default)
        for key, item in fields.items():
            if (below := schema.child(key)) is not None:
                fill(below, item)
    elif is_list(value) and schema.items is not None:
        for item in value:
            fill(schema.items, item)
