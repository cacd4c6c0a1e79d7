"""What a lab promises, read from ``expect.yml``: assertions with bounds, and their judgement. Pure but for
reading.

    settle: 30s                       # how long the mesh may take before the first assertion; default 0s
    expect:
      - name: the short way is taken
        from: paris
        to: madrid
        over: overlay                 # underlay, underlay6, overlay (default), overlay6
        rtt: 20ms..26ms               # median of the probes; either end of a range may be left out
        loss: ..1%
        outage: ..150ms               # longest time without an answer
        path: [paris, madrid]
        probes: 200                   # default 100
        every: 10ms                   # default 10ms
        during: {link: "paris:madrid", impair: {loss: 8%}}    # from the first third of the probes on

Called by `check`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast, get_args

from sim.lab.document import Cursor, read
from sim.lab.units import parse_count, parse_ratio, parse_time_ns

_T = TypeVar("_T")
Over = Literal["underlay", "underlay6", "overlay", "overlay6"]

_FILE_KEYS = ("settle", "expect")
_DURING_KEYS = ("link", "impair")
_PROBES = 100
_EVERY_NS = 10_000_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """A range with both ends included; None: open. ``text`` is how the file puts it."""

    low: float | None
    high: float | None
    text: str

    def hold(self, value: float | None) -> bool:
        """Whether a measured value lies within; one that could not be measured does not."""
        if value is None:
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class During:
    """A change of a link's impairments while the probes run; undone afterwards."""

    link: str
    words: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Assertion:
    """``rtt`` and ``outage`` in ns, ``loss`` as a ratio; None: not asserted."""

    name: str
    source: str
    target: str
    over: Over = "overlay"
    rtt: Bounds | None = None
    loss: Bounds | None = None
    outage: Bounds | None = None
    path: tuple[str, ...] | None = None
    probes: int = _PROBES
    every_ns: int = _EVERY_NS
    during: During | None = None


@dataclass(frozen=True, slots=True)
class Expectations:
    settle_ns: int
    assertions: tuple[Assertion, ...]


def read_expectations(file: Path, nodes: list[str]) -> Expectations:
    """Read and check ``expect.yml`` of a lab with these nodes. Raises :class:`sim.lab.errors.FileFault`."""
    return parse_expectations(read(file), nodes)


def parse_expectations(document: Cursor, nodes: list[str]) -> Expectations:
    keys = document.mapping(_FILE_KEYS)
    settle_ns = _parsed(keys["settle"], parse_time_ns) if "settle" in keys else 0
    entries = keys["expect"].items() if "expect" in keys else []
    if not entries:
        raise document.fault("nothing is expected")
    return Expectations(settle_ns, tuple(_assertion(entry, nodes) for entry in entries))


_ASSERTION_KEYS = ("name", "from", "to", "over", "rtt", "loss", "outage", "path", "probes", "every", "during")


def _assertion(entry: Cursor, nodes: list[str]) -> Assertion:
    keys = entry.mapping(_ASSERTION_KEYS)
    for key in ("name", "from", "to"):
        if key not in keys:
            raise entry.fault(f"the key {key!r} is missing")
    if not keys.keys() & {"rtt", "loss", "outage", "path"}:
        raise entry.fault("asserts nothing: give it one of rtt, loss, outage, path")
    over = keys["over"].text() if "over" in keys else "overlay"
    if over not in get_args(Over):
        raise keys["over"].fault(f"{over!r} is none of {', '.join(get_args(Over))}")
    path = keys.get("path")
    return Assertion(
        name=keys["name"].text(),
        source=_node(keys["from"], nodes),
        target=_node(keys["to"], nodes),
        over=cast("Over", over),
        rtt=_bounds(keys.get("rtt"), parse_time_ns),
        loss=_bounds(keys.get("loss"), parse_ratio),
        outage=_bounds(keys.get("outage"), parse_time_ns),
        path=tuple(_node(hop, nodes) for hop in path.items()) if path else None,
        probes=_parsed(keys["probes"], parse_count) if "probes" in keys else _PROBES,
        every_ns=max(1, _parsed(keys["every"], parse_time_ns)) if "every" in keys else _EVERY_NS,
        during=_during(keys["during"]) if "during" in keys else None,
    )


def _node(cursor: Cursor, nodes: list[str]) -> str:
    if cursor.text() not in nodes:
        raise cursor.fault(f"there is no node {cursor.value!r}; nodes: {', '.join(nodes)}")
    return cursor.text()


def _bounds(cursor: Cursor | None, parse: Callable[[object], float]) -> Bounds | None:
    if cursor is None:
        return None
    low, dots, high = cursor.text().partition("..")
    if not dots or not (low or high):
        raise cursor.fault(f"{cursor.value!r} is not a range LOW..HIGH with one end at least")
    try:
        return Bounds(parse(low) if low else None, parse(high) if high else None, cursor.text())
    except ValueError as error:
        raise cursor.fault(str(error)) from None


def _during(cursor: Cursor) -> During:
    keys = cursor.mapping(_DURING_KEYS)
    for key in _DURING_KEYS:
        if key not in keys:
            raise cursor.fault(f"the key {key!r} is missing")
    words = {key: inner.value for key, inner in keys["impair"].mapping().items()}
    return During(keys["link"].text(), words)


def _parsed(cursor: Cursor, parse: Callable[[object], _T]) -> _T:
    try:
        return parse(cursor.value)
    except ValueError as error:
        raise cursor.fault(str(error)) from None
