"""Writing the TOML that configuration files of daemons need. Pure; called by `daemons`."""

import json
import re
from collections.abc import Mapping
from typing import Any, cast

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def encode(table: Mapping[str, Any]) -> str:
    """A file of values, tables and lists of tables; values are texts, numbers, truth values and lists of
    them.
    """
    return "".join(_lines(table, ()))


def _lines(table: Mapping[str, Any], above: tuple[str, ...]) -> list[str]:
    """Values first: what follows a heading belongs to its table."""
    below = {name: tables for name, value in table.items() if (tables := _tables(value))}
    lines = [f"{_key(name)} = {_value(value)}\n" for name, value in table.items() if name not in below]
    for name, (heading, tables) in below.items():
        place = (*above, name)
        for one in tables:
            lines += ["\n", heading.format(".".join(map(_key, place))), "\n", *_lines(one, place)]
    return lines


def _tables(value: object) -> tuple[str, list[Mapping[str, Any]]] | None:
    """The tables that a value is, and how their heading is written; None where it is none."""
    match value:
        case Mapping():
            return "[{}]", [cast("Mapping[str, Any]", value)]
        case list() if value and isinstance(value[0], Mapping):
            return "[[{}]]", cast("list[Mapping[str, Any]]", value)
        case _:
            return None


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    # JSON's escapes are a part of TOML's, but for characters that TOML wants escaped and JSON does not.
    return json.dumps(value).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return _text(value)
        case list() | tuple():
            return "[" + ", ".join(map(_value, cast("list[object]", value))) + "]"
        case _:
            raise ValueError(f"{value!r} has no place in a configuration file")
