"""Routes of one ingress as deflated columns: a thousand destinations in four classes in some ten kilobytes.

Spoken where both ends offer the subprotocol :data:`SUBPROTOCOL`; an older agent gets the same routes one by
one in `controller.Mesh`. A route comes with its own paths and their figures; words are made from these by who
shows them, but for the reason of a primary that was changed, which is told. The writer is
`controller.core.rows`, which also keeps routes so. Pure; standard library and msgspec only.
"""

import math
import struct
import zlib
from typing import Final, cast

import msgspec

from overlayd.model.ids import ClassId, NodeId, Path
from overlayd.model.route import Candidate, Route, Verdict
from overlayd.protocol.controller import Mesh

SUBPROTOCOL = "overlayd.v1.routes"
"""Includes what `compact.SUBPROTOCOL` says of telemetry."""

PATHS: Final = 3
RELAYS: Final = 2
FIGURES: Final = ("cost", "forecast_rtt_ms", "forecast_loss_ratio", "measured_rtt_ms", "measured_loss_ratio")
"""Of each path, named as in a `Candidate`, in the order of their columns; 16-bit floats (an error of 0.05 %),
NaN where not known.
"""

ROUTE_BYTES: Final = 2 + 1 + 1 + 8 + 2 * PATHS * (RELAYS + len(FIGURES))
_NO_RELAY = 0


class BadColumns(ValueError):
    """The bytes are no routes."""


class RouteColumns(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """``body`` deflated, all numbers little-endian, each column ``number`` long: destination (16 bits), class
    (8), paths that there are (8, a bit each, the primary is the lowest), when the primary was chosen (64-bit
    float, Unix seconds), path by path the ids of its relays (16 bits, 0: none), path by path its figures.

    ``reasons`` are of primaries that were changed, by their place.
    """

    number: int
    body: bytes
    reasons: dict[int, str] = {}


NO_ROUTES: Final = RouteColumns(0, zlib.compress(b""))


class CompactMesh(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="compact-mesh"
):
    """``mesh`` without routes, and these."""

    mesh: Mesh
    routes: RouteColumns


def mesh_of(message: CompactMesh) -> Mesh:
    """Return what an older agent would have been sent. Raises :class:`BadColumns`."""
    return msgspec.structs.replace(message.mesh, routes=routes_of(message.routes))


def routes_of(columns: RouteColumns) -> tuple[Route, ...]:
    """Return the routes. Raises :class:`BadColumns`."""
    k = columns.number
    read = _Reader(inflated(columns), k)
    destinations, classes, present, decided_at = read.ints("H"), read.ints("B"), read.ints("B"), read("d")
    relays = [[read.ints("H") for _ in range(RELAYS)] for _ in range(PATHS)]
    figures = [list(zip(*[read("e") for _ in FIGURES], strict=True)) for _ in range(PATHS)]
    routes: list[Route] = []
    for i in range(k):
        destination, paths, candidates = NodeId(destinations[i]), list[Path](), list[Candidate]()
        for number in range(PATHS):
            if not present[i] >> number & 1:
                continue
            over = [NodeId(column[i]) for column in relays[number] if column[i] != _NO_RELAY]
            path = (*over, destination)
            verdict = Verdict.BACKUP if paths else Verdict.PRIMARY
            paths.append(path)
            told = zip(FIGURES, figures[number][i], strict=True)
            known = {figure: value if math.isfinite(value) else None for figure, value in told}
            candidates.append(Candidate(path, verdict, "", **known))
        if not paths:
            raise BadColumns(f"a route to {destination} without a path")
        reason = columns.reasons.get(i, "")
        routes.append(
            Route(destination, ClassId(classes[i]), tuple(paths), tuple(candidates), reason, decided_at[i])
        )
    return tuple(routes)


def inflated(columns: RouteColumns) -> bytes:
    """Return the body's bytes. Raises :class:`BadColumns`."""
    size = ROUTE_BYTES * columns.number
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(columns.body, size + 1)
    except zlib.error as error:
        raise BadColumns(f"routes cannot be inflated: {error}") from error
    if len(raw) != size or not inflater.eof:
        raise BadColumns(f"{columns.number} routes are not {len(raw)} bytes")
    return raw


class _Reader:
    """Takes one column after the other."""

    def __init__(self, raw: bytes, number: int) -> None:
        self._raw, self._number, self._at = raw, number, 0

    def __call__(self, kind: str) -> tuple[float, ...]:
        form = f"<{self._number}{kind}"
        column = struct.unpack_from(form, self._raw, self._at)
        self._at += struct.calcsize(form)
        return column

    def ints(self, kind: str) -> tuple[int, ...]:
        return cast("tuple[int, ...]", self(kind))
