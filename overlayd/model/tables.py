"""What is wrong with the tables of a configuration file, in words: unknown keys, numbers out of range. Pure.

For hosts, controllers and labs alike.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any, cast, get_args, get_origin

import msgspec
from msgspec import inspect

_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def unknown(known: Iterable[str], key: str) -> str:
    """Return what to say of ``key``, which is none of ``known``: the nearest of them, or all."""
    names = list(known)
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(names)}"


def unknown_key(
    tables: Mapping[str, Any], struct: type[msgspec.Struct], path: str = ""
) -> tuple[str, str] | None:
    """Return the first key that ``struct`` does not have (``uplink[0].adress``), and what to say of it."""
    types = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in tables.items():
        if key not in types:
            return f"{path}{key}", unknown(types, key)
        kind = get_origin(types[key])
        inner = types[key]
        if kind in (tuple, dict):
            inner = get_args(inner)[-1 if kind is dict else 0]
        elif kind is UnionType:  # a section that may be left out
            inner = get_args(inner)[0]
        if not (isinstance(inner, type) and issubclass(inner, msgspec.Struct)):
            continue
        below = [(f"{path}{key}.", value)]
        if isinstance(value, list):
            below = [(f"{path}{key}[{i}].", item) for i, item in enumerate(cast("list[Any]", value))]
        elif kind is dict and isinstance(value, dict):
            below = [(f"{path}{key}.{name}.", item) for name, item in cast("dict[str, Any]", value).items()]
        for place, item in below:
            if isinstance(item, dict) and (found := unknown_key(cast("dict[str, Any]", item), inner, place)):
                return found
    return None


def out_of_range(tables: Mapping[str, Any], struct: type[msgspec.Struct], place: str) -> str | None:
    """Return what to say of the number at ``place`` (``uplink[0].port``): itself and its bounds.

    None for what is no number, or has no bounds.
    """
    value: Any = tables
    kind: inspect.Type = inspect.type_info(struct)
    for index, key in _STEP.findall(place):
        if index and isinstance(kind, inspect.VarTupleType):
            value, kind = value[int(index)], kind.item_type
            continue
        if isinstance(kind, inspect.DictType):
            value, kind = value.get(key), kind.value_type
            continue
        fields = kind.fields if isinstance(kind, inspect.StructType) else ()
        found = next((field.type for field in fields if field.encode_name == key), None)
        if found is None or key not in value:
            return None
        value, kind = value[key], _certain(found)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not isinstance(kind, inspect.IntType | inspect.FloatType):
        return None
    if isinstance(kind, inspect.IntType) and isinstance(value, float):
        return None
    limits = (("at least", kind.ge), ("above", kind.gt), ("at most", kind.le), ("below", kind.lt))
    bounds = ", ".join(f"{word} {limit}" for word, limit in limits if limit is not None)
    return f"{value} is out of range: {bounds}" if bounds else None


def _certain(kind: inspect.Type) -> inspect.Type:
    """Return ``X`` of ``X | None``."""
    if not isinstance(kind, inspect.UnionType):
        return kind
    return next((one for one in kind.types if not isinstance(one, inspect.NoneType)), kind)
