"""Writing the little TOML that configuration files of daemons need. Pure; called by `daemons`."""

import json
from collections.abc import Mapping
from typing import Any, cast


def encode(tables: Mapping[str, Any]) -> str:
    """Tables, and lists of tables, of plain values: texts, numbers, truth values and lists of them."""
    lines: list[str] = []
    for name, value in tables.items():
        many = isinstance(value, list)
        for table in cast("list[Mapping[str, Any]]", value if many else [value]):
            lines.append(f"[[{name}]]" if many else f"[{name}]")
            lines += [f"{key} = {_value(inner)}" for key, inner in table.items()]
            lines.append("")
    return "\n".join(lines)


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            # JSON's escapes are a part of TOML's, but for characters that TOML wants escaped and JSON does
            # not.
            return json.dumps(value).replace("\x7f", "\\u007f")
        case list() | tuple():
            return "[" + ", ".join(_value(item) for item in cast("list[object]", value)) + "]"
        case _:
            raise ValueError(f"{value!r} has no place in a configuration file")
