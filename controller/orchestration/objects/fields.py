"""Sets of fields: which an object has, which differ between two, and how ``managedFields`` writes them. Pure.

A path is a tuple of the elements that ``FieldsV1`` uses: ``f:NAME`` of a field, ``k:{KEYS}`` and
``v:VALUE`` of an item of a list that is merged by keys or by value. What is one value (atomic) is a path
without paths below it. Source: structured-merge-diff v6, ``typed`` and ``fieldpath``.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from controller.orchestration.objects.schema import Object, Schema, is_list, is_object
from controller.orchestration.objects.validation import identity

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = frozenset[Path]

NONE: FieldSet = frozenset()
_META = (
    "clusterName",
    "creationTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
)
UNOWNED: FieldSet = frozenset(
    [("f:apiVersion",), ("f:kind",), ("f:metadata",), *(("f:metadata", f"f:{key}") for key in _META)]
)
"""What nobody owns: it identifies the object, or is the server's."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a change did to fields; containers that came or went stand among them."""

    added: FieldSet = NONE
    modified: FieldSet = NONE
    removed: FieldSet = NONE

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.removed)


def fields_of(schema: Schema, value: Object) -> FieldSet:
    """Return what somebody who applies ``value`` owns."""
    found: set[Path] = set()
    _collect(schema, value, (), found)
    return frozenset(found - UNOWNED)


def difference(schema: Schema, before: Object, after: Object) -> Difference:
    """Return which fields differ."""
    found: dict[str, set[Path]] = {"added": set(), "modified": set(), "removed": set()}
    _compare(schema, before, after, (), found)
    return Difference(*(frozenset(found[key] - UNOWNED) for key in ("added", "modified", "removed")))


def element(schema: Schema, item: Any) -> str:
    """Return the element of a path that stands for ``item`` in its list."""
    key = identity(schema, item)
    prefix = "k:" if schema.list_type == "map" else "v:"
    return prefix + json.dumps(key, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def encode(fields: Iterable[Path]) -> Object:
    """Return a set as ``FieldsV1``."""
    root: Object = {}
    paths = set(fields)
    for path in sorted(paths):
        here = root
        for step in path:
            here = here.setdefault(step, {})
    for path in paths:  # a member that has others below itself says so by "."
        here = root
        for step in path:
            here = here[step]
        if here:
            here["."] = {}
    return _ordered(root)


def decode(document: Object) -> FieldSet:
    """Return the set of a ``FieldsV1``."""
    found: set[Path] = set()
    _decode(document, (), found)
    return frozenset(found)


def dotted(path: Path) -> str:
    """Return a path as messages tell it: ``.spec.ingress[node="paris"].weight``."""
    said = ""
    for step in path:
        head, rest = step[:2], step[2:]
        match head:
            case "f:":
                said += f".{rest}"
            case "k:":
                keys = cast(Object, json.loads(rest))
                listed = ",".join(f"{key}={json.dumps(value)}" for key, value in sorted(keys.items()))
                said += f"[{listed}]"
            case "v:":
                said += f"[={rest}]"
            case _:
                said += f"[{rest}]"
    return said


def told_order(path: Path) -> list[tuple[bool, str]]:
    """Return a key by which paths are told: at each place what ends there first, then what goes on."""
    return [(place < len(path) - 1, step) for place, step in enumerate(path)]


def merges(schema: Schema | None, value: Any) -> bool:
    """Tell whether ``value`` is made of parts that may have owners of their own."""
    if schema is None:
        return is_object(value)
    if is_object(value):
        return not schema.atomic
    return is_list(value) and schema.list_type != "atomic"


def parts(schema: Schema | None, value: Any) -> dict[str, tuple[Schema | None, Any]]:
    """Return a map's or a list's parts by their elements of paths, each with its schema."""
    if is_object(value):
        fields = value
        return {f"f:{key}": (schema.child(key) if schema else None, item) for key, item in fields.items()}
    if schema is None or not is_list(value):
        return {}
    return {element(schema, item): (schema.items, item) for item in value}


def _collect(schema: Schema | None, value: Any, path: Path, found: set[Path]) -> None:
    if not merges(schema, value):
        found.add(path)
        return
    for step, (below, item) in parts(schema, value).items():
        place = (*path, step)
        _collect(below, item, place, found)
        declared = schema is not None and step[2:] in schema.properties and step.startswith("f:")
        if not declared or item is None or item == {}:
            found.add(place)


def _compare(schema: Schema | None, before: Any, after: Any, path: Path, found: dict[str, set[Path]]) -> None:
    """``None`` stands for nothing, as for a ``null``."""
    apart = (before is not None and not merges(schema, before)) or (
        after is not None and not merges(schema, after)
    )
    if apart or not (before or after):
        if before is None:
            found["added"].add(path)
        elif after is None:
            found["removed"].add(path)
        elif before != after:
            found["modified"].add(path)
        return
    old, new = parts(schema, before), parts(schema, after)
    for step in {**old, **new}:
        below = (new.get(step) or old[step])[0]
        _compare(below, old.get(step, (None, None))[1], new.get(step, (None, None))[1], (*path, step), found)
    if path and before is None:
        found["added"].add(path)
    elif path and after is None:
        found["removed"].add(path)


def _decode(document: Object, path: Path, found: set[Path]) -> None:
    for step, below in document.items():
        if step == ".":
            found.add(path)
        elif below:
            _decode(below, (*path, step), found)
        else:
            found.add((*path, step))


def _ordered(node: Object) -> Object:
    return {key: _ordered(node[key]) for key in sorted(node)}
