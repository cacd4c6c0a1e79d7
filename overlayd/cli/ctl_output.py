"""How answers look: aligned tables for people, JSON for programs. I/O: :func:`say` and :func:`emit`
print.

stdout is the answer and nothing else. Colour marks what words say already, on a terminal, never with
``NO_COLOR``.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

NOTHING = "-"
_COLOURS = {"good": "32", "odd": "33", "bad": "31"}


def emit(document: dict[str, Any]) -> None:
    """Print a JSON document on one line."""
    say(json.dumps(document, ensure_ascii=False))


def emit_lines(rows: Iterable[dict[str, Any]], schema: str) -> None:
    """Print each row as a JSON document of its own (jsonl); ``schema`` is that of the whole list."""
    for row in rows:
        emit({**row, "schema": schema})


def say(text: str) -> None:
    """Print to stdout."""
    sys.stdout.write(text + "\n")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns as wide as their widest cell; the last one runs free."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join(lines)


def mark(text: str, mood: str) -> str:
    """Colour whole lines or trailing words: ``mood`` is ``good``, ``odd`` or ``bad``."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_COLOURS[mood]}m{text}\x1b[0m"


def milliseconds(value: float | None) -> str:
    """``20.1 ms``."""
    return NOTHING if value is None else f"{value:.1f} ms"


def percent(ratio: float | None) -> str:
    """``0.4 %``."""
    if ratio is None:
        return NOTHING
    return f"{100 * ratio:.1f} %" if ratio == 0 or ratio >= 0.001 else "< 0.1 %"


def rate(bits_per_second: float) -> str:
    """``12.0 Mbit/s``."""
    for unit, factor in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if bits_per_second >= factor:
            return f"{bits_per_second / factor:.1f} {unit}"
    return f"{bits_per_second:.0f} bit/s"


def duration(seconds: float) -> str:
    """``42 s``, ``3 min``, ``5 h``, ``2 d``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def way(path: Sequence[str]) -> str:
    """``direct``, ``via rome``, ``via rome, oslo``; ``-`` for no path."""
    if not path:
        return NOTHING
    return f"via {', '.join(path[:-1])}" if len(path) > 1 else "direct"


def reached(endpoint: str | None, reflexive: str | None, symmetric: bool) -> str:
    """Where others find an uplink: ``198.51.100.7:51900``, ``203.0.113.7:51900 (NAT)``; ``behind a NAT``
    where nobody has seen it yet.
    """
    if reflexive is None:
        return endpoint or "behind a NAT"
    return f"{reflexive} ({'symmetric NAT' if symmetric else 'NAT'})"
