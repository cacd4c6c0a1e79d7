"""What a lab promises, read from ``expect.yml``: assertions with bounds, and their judgement. Pure but for
reading.

    settle: 30s                       # how long the mesh may take to come to what is asserted; default 0s
    expect:
      - name: the short way is taken
        from: paris
        to: madrid
        over: overlay                 # underlay, underlay6, overlay (default), overlay6
        rtt: 20ms..26ms               # median of the probes; either end of a range may be left out
        loss: ..1%
        outage: ..150ms               # longest time without an answer
        goodput: 40mbit..             # of one TCP stream
        path: [paris, madrid]
        probes: 200                   # default 100
        every: 10ms                   # default 10ms
        size: 1380                    # bytes of a probe's IP packet; default 92
        seconds: 4                    # of the TCP stream; default 3
        during:                       # from the first third of the probes on; undone afterwards
          - {link: "paris:madrid", impair: {loss: 8%}}
          - {kill: rome}              # a node's daemons, or the controller: at once; back afterwards
          - {restart: rome}           # told to end, and started anew
          - {restart: rome/agent}     # one of its two processes

Rates and paths of an assertion with ``during`` are those while the disturbance lasts. Called by `check`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast, get_args

from sim.lab.document import Cursor, read
from sim.lab.units import parse_count, parse_rate_bps, parse_ratio, parse_time_ns

_T = TypeVar("_T")
Over = Literal["underlay", "underlay6", "overlay", "overlay6"]

Role = Literal["all", "agent", "engine"]

CONTROLLER = "controller"
_FILE_KEYS = ("settle", "expect")
_ACT_KEYS = ("link", "impair", "kill", "restart")
_FIGURES = ("rtt", "loss", "outage", "goodput", "path")
_PROBES = 100
_EVERY_NS = 10_000_000
_SIZE_BYTES = 92
_SECONDS = 3


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
class Impaired:
    """A link whose impairments change."""

    link: str
    words: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Killed:
    """Daemons that end at once and stay away: those of a node, or the controller."""

    name: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """Daemons that are told to end and come back: those of a node, one of them, or the controller."""

    name: str
    role: Role = "all"


Act = Impaired | Killed | Restarted


@dataclass(frozen=True, slots=True)
class Assertion:
    """``rtt`` and ``outage`` in ns, ``loss`` as a ratio, ``goodput`` in bit/s; None: not asserted."""

    name: str
    source: str
    target: str
    over: Over = "overlay"
    rtt: Bounds | None = None
    loss: Bounds | None = None
    outage: Bounds | None = None
    goodput: Bounds | None = None
    path: tuple[str, ...] | None = None
    probes: int = _PROBES
    every_ns: int = _EVERY_NS
    size_bytes: int = _SIZE_BYTES
    seconds: int = _SECONDS
    during: tuple[Act, ...] = ()

    @property
    def wants_answers(self) -> bool:
        """Whether probes have to be answered: not where loss is what is wanted."""
        return self.loss is None or not self.loss.low


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


_ASSERTION_KEYS = (
    "name", "from", "to", "over", *_FIGURES, "probes", "every", "size", "seconds", "during",
)  # fmt: skip


def _assertion(entry: Cursor, nodes: list[str]) -> Assertion:
    keys = entry.mapping(_ASSERTION_KEYS)
    for key in ("name", "from", "to"):
        if key not in keys:
            raise entry.fault(f"the key {key!r} is missing")
    if not keys.keys() & set(_FIGURES):
        raise entry.fault(f"asserts nothing: give it one of {', '.join(_FIGURES)}")
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
        goodput=_bounds(keys.get("goodput"), parse_rate_bps),
        path=tuple(_node(hop, nodes) for hop in path.items()) if path else None,
        probes=_parsed(keys["probes"], parse_count) if "probes" in keys else _PROBES,
        every_ns=max(1, _parsed(keys["every"], parse_time_ns)) if "every" in keys else _EVERY_NS,
        size_bytes=_parsed(keys["size"], parse_count) if "size" in keys else _SIZE_BYTES,
        seconds=_parsed(keys["seconds"], parse_count) if "seconds" in keys else _SECONDS,
        during=tuple(_act(act, nodes) for act in keys["during"].items()) if "during" in keys else (),
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


def _act(cursor: Cursor, nodes: list[str]) -> Act:
    keys = cursor.mapping(_ACT_KEYS)
    match sorted(keys):
        case ["impair", "link"]:
            words = {key: inner.value for key, inner in keys["impair"].mapping().items()}
            return Impaired(keys["link"].text(), words)
        case ["kill"]:
            return Killed(_process(keys["kill"], keys["kill"].text(), nodes))
        case ["restart"]:
            name, _, role = keys["restart"].text().partition("/")
            if role not in ("", "agent", "engine"):
                raise keys["restart"].fault(f"{role!r} is none of agent, engine")
            return Restarted(_process(keys["restart"], name, nodes), role or "all")
        case _:
            raise cursor.fault("has to be {link: …, impair: …}, {kill: …} or {restart: …}")


def _process(cursor: Cursor, name: str, nodes: list[str]) -> str:
    if name not in (*nodes, CONTROLLER):
        raise cursor.fault(f"there is no node {name!r}; nodes: {', '.join(nodes)}, or {CONTROLLER}")
    return name


def _parsed(cursor: Cursor, parse: Callable[[object], _T]) -> _T:
    try:
        return parse(cursor.value)
    except ValueError as error:
        raise cursor.fault(str(error)) from None
