"""Samples of all directed links as dense arrays: node i's reports about node j stand at [i, j]. Pure.

Three views of the same telemetry are kept: the *latest* fresh sample of each link, a *history* of time
bins, one per telemetry interval, and the codes that make a *frame* for the archive. Frames that fall into
one bin (an urgent one before the regular one) are pooled by their sample counts, so that a burst of urgent
frames does not push history out. A frame without a sample leaves nothing: what a dead peer last measured
must not look like news.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from controller.topology.frames import CAPACITY, FIGURES, LOAD, LinkFrame, encode_figures
from controller.topology.quantise import F32 as F32
from controller.topology.quantise import Codes
from controller.topology.reports import JITTER, LOSS_IN, LOSS_OUT, RTT_MEAN, RTT_MIN, Report, report_of
from overlayd.model.ids import NodeId
from overlayd.protocol.controller import Telemetry
from overlayd.protocol.scales import UNKNOWN

I64: TypeAlias = NDArray[np.int64]
Bool: TypeAlias = NDArray[np.bool_]

NEVER = np.iinfo(np.int64).min // 2
"""A time before all times: every age against it is huge, and no subtraction overflows."""

MAX_RTT_MS = 60_000.0
_IDS = 0x10000
DEFAULT_BIN_NS = 15_000_000_000
DEFAULT_BINS = 20
FRESH_BINS = 3
FRESH_AT_LEAST_NS = 15_000_000_000
"""A link whose last sample is older than this many bins, and this, is no evidence."""


@dataclass(frozen=True, slots=True)
class Vertex:
    """A node as far as paths are concerned. ``price_per_gb`` is what a GB that it sends costs, ``region``
    where it is in an operator's words, ``capacity_bps`` what it can send in all; None: not known.
    """

    id: NodeId
    name: str
    relay: bool
    price_per_gb: float = 0.0
    region: str = ""
    capacity_bps: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What one telemetry frame changed. ``went_down`` and ``came_up`` are indices of peers; ``refused``
    counts bad entries.
    """

    reporter: int
    went_down: tuple[int, ...]
    came_up: tuple[int, ...]
    first_evidence: tuple[int, ...]
    refused: int


@dataclass(slots=True)
class Latest:
    """The newest fresh sample of each link, [reporter, peer]; NaN and :data:`NEVER` where there was none
    yet.

    ``up`` is 1, 0 or −1 (never said); ``at_ns`` is when the sample arrived, ``said_ns`` when the
    reporter last spoke of it.
    """

    rtt_ms: F32
    rtt_min_ms: F32
    jitter_ms: F32
    loss_out: F32
    loss_in: F32
    count: F32
    at_ns: I64
    said_ns: I64
    up: NDArray[np.int8]

    @classmethod
    def empty(cls, n: int) -> "Latest":
        def nan() -> F32:
            return np.full((n, n), np.nan, np.float32)

        never = np.full((n, n), NEVER, np.int64)
        count = np.zeros((n, n), np.float32)
        return cls(
            nan(), nan(), nan(), nan(), nan(), count, never, never.copy(), np.full((n, n), -1, np.int8)
        )


@dataclass(slots=True)
class History:
    """Pooled samples per bin, [reporter, peer, bin]; ``bin_of`` [reporter, bin] tells which bin a column
    holds (−1: none).
    """

    rtt_ms: F32
    jitter_ms: F32
    loss_out: F32
    loss_in: F32
    count: F32
    bin_of: I64

    @classmethod
    def empty(cls, n: int, bins: int) -> "History":
        def nan() -> F32:
            return np.full((n, n, bins), np.nan, np.float32)

        count = np.zeros((n, n, bins), np.float32)
        return cls(nan(), nan(), nan(), nan(), count, np.full((n, bins), -1, np.int64))


@dataclass(slots=True)
class Topology:
    """Nodes in a fixed order (that of arrival) and their samples. ``bin_ns`` is the telemetry interval."""

    bin_ns: int = DEFAULT_BIN_NS
    bins: int = DEFAULT_BINS
    vertices: list[Vertex] = field(default_factory=list[Vertex])
    index: dict[NodeId, int] = field(default_factory=dict[NodeId, int])
    latest: Latest = field(default_factory=lambda: Latest.empty(0))
    history: History = field(init=False)
    _codes: Codes = field(init=False)
    _index_of: I64 = field(init=False)

    def __post_init__(self) -> None:
        self.history = History.empty(0, self.bins)
        self._codes = np.zeros((FIGURES, 0, 0), np.uint8)
        self._index_of = np.full(_IDS, -1, np.int64)

    def __len__(self) -> int:
        return len(self.vertices)

    @property
    def fresh_ns(self) -> int:
        """A sample older than this is no evidence."""
        return max(FRESH_BINS * self.bin_ns, FRESH_AT_LEAST_NS)

    def add(self, vertices: Sequence[Vertex]) -> None:
        """Take nodes in; one that is known is changed in place."""
        new = [v for v in vertices if v.id not in self.index]
        for vertex in vertices:
            if vertex.id in self.index:
                self.vertices[self.index[vertex.id]] = vertex
        if not new:
            return
        before = len(self.vertices)
        self.vertices.extend(new)
        self._reindex()
        old_latest, old_history = self.latest, self.history
        self.latest, self.history = Latest.empty(len(self)), History.empty(len(self), self.bins)
        for name in Latest.__slots__:
            getattr(self.latest, name)[:before, :before] = getattr(old_latest, name)
        old_codes, self._codes = self._codes, np.zeros((FIGURES, len(self), len(self)), np.uint8)
        self._codes[:, :before, :before] = old_codes
        if before:
            for name in ("rtt_ms", "jitter_ms", "loss_out", "loss_in", "count"):
                getattr(self.history, name)[:before, :before] = getattr(old_history, name)
            self.history.bin_of[:before] = old_history.bin_of

    def remove(self, node: NodeId) -> int | None:
        """Forget a node; later indices move down by one. Returns the index it had, None if it was not
        known.
        """
        gone = self.index.get(node)
        if gone is None:
            return None
        del self.vertices[gone]
        self._reindex()
        for name in Latest.__slots__:
            array = np.delete(np.delete(getattr(self.latest, name), gone, 0), gone, 1)
            setattr(self.latest, name, array)
        for name in ("rtt_ms", "jitter_ms", "loss_out", "loss_in", "count"):
            array = np.delete(np.delete(getattr(self.history, name), gone, 0), gone, 1)
            setattr(self.history, name, array)
        self.history.bin_of = np.delete(self.history.bin_of, gone, 0)
        self._codes = np.delete(np.delete(self._codes, gone, 1), gone, 2)
        return gone

    def observe(self, node: NodeId, said: Telemetry | Report, now_ns: int) -> Observation | None:
        """Take in what ``node`` says of its links; None from a node that is not known.

        Entries about unknown peers or about itself, and figures that no link can have, are left out and
        counted.
        """
        reporter = self.index.get(node)
        if reporter is None:
            return None
        report = said if isinstance(said, Report) else report_of(said)
        column = self._open_bin(reporter, now_ns)
        everyone = self._index_of[report.peers]
        stranger = (everyone < 0) | (everyone == reporter)
        peers, says_up = everyone[~stranger], report.up[~stranger]
        samples, figures = report.samples[~stranger], report.figures[:, ~stranger]
        was = self.latest.up[reporter, peers]
        self.latest.up[reporter, peers] = says_up
        self.latest.said_ns[reporter, peers] = now_ns
        sampled = (samples > 0) & ~np.isnan(figures[RTT_MEAN])
        with np.errstate(invalid="ignore"):
            rtts = figures[[RTT_MEAN, RTT_MIN, JITTER]]
            possible = (rtts[0] > 0) & ~((rtts < 0) | (rtts > MAX_RTT_MS)).any(axis=0)
        good = sampled & possible
        first = self._take(reporter, column, peers[good], samples[good], figures[:, good], now_ns)
        return Observation(
            reporter,
            went_down=tuple(peers[(was == 1) & ~says_up].tolist()),
            came_up=tuple(peers[(was == 0) & says_up].tolist()),
            first_evidence=first,
            refused=int(stranger.sum() + (sampled & ~possible).sum()),
        )

    def frame(self, now_ns: int) -> LinkFrame:
        """Return what is known of all links now, for history."""
        codes = np.where(self.fresh(now_ns), self._codes, np.uint8(UNKNOWN))
        return LinkFrame(tuple(vertex.id for vertex in self.vertices), codes)

    def rates(self, now_ns: int) -> tuple[F32, F32]:
        """Return capacity and load of each [from, to] in bit/s, as senders say; NaN where unknown."""
        frame = self.frame(now_ns)
        return frame.figure(CAPACITY), frame.figure(LOAD)

    def fresh(self, now_ns: int) -> Bool:
        """Return for each [reporter, peer] whether the reporter has a sample that still counts."""
        return (now_ns - self.latest.at_ns) <= self.fresh_ns

    def said_down(self, now_ns: int) -> Bool:
        """Return for each [reporter, peer] whether the reporter lately said that the link is down."""
        return (self.latest.up == 0) & ((now_ns - self.latest.said_ns) <= self.fresh_ns)

    def reporting(self, now_ns: int) -> Bool:
        """Return for each node whether it lately spoke of any link."""
        if not len(self):
            return np.zeros(0, np.bool_)
        return (now_ns - self.latest.said_ns.max(axis=1)) <= self.fresh_ns

    def _open_bin(self, reporter: int, now_ns: int) -> int:
        number = now_ns // self.bin_ns
        column = number % self.bins
        if self.history.bin_of[reporter, column] != number:
            self.history.bin_of[reporter, column] = number
            self.history.count[reporter, :, column] = 0.0
            for array in (
                self.history.rtt_ms,
                self.history.jitter_ms,
                self.history.loss_out,
                self.history.loss_in,
            ):
                array[reporter, :, column] = np.nan
        return int(column)

    def _take(
        self,
        reporter: int,
        column: int,
        peers: NDArray[np.intp],
        count: I64,
        figures: F32,
        now_ns: int,
    ) -> tuple[int, ...]:
        """Make checked figures the latest samples and pool them into the open bin; return peers that are
        measured at last.
        """
        latest, history = self.latest, self.history
        first = peers[latest.at_ns[reporter, peers] == NEVER]
        rtt, minimum = figures[RTT_MEAN], figures[RTT_MIN]
        loss = np.clip(figures[[LOSS_OUT, LOSS_IN]], 0.0, 1.0)
        latest.at_ns[reporter, peers] = now_ns
        latest.rtt_ms[reporter, peers] = rtt
        latest.rtt_min_ms[reporter, peers] = np.where(np.isnan(minimum), rtt, minimum)
        latest.jitter_ms[reporter, peers] = np.nan_to_num(figures[JITTER], nan=0.0)
        latest.loss_out[reporter, peers] = loss[0]
        latest.loss_in[reporter, peers] = loss[1]
        latest.count[reporter, peers] = count
        self._codes[:, reporter, peers] = encode_figures(figures, self._codes[:, reporter, peers])
        before = history.count[reporter, peers, column]
        history.count[reporter, peers, column] = before + count
        share = count / (before + count)
        for name in ("rtt_ms", "jitter_ms", "loss_out", "loss_in"):
            pooled: F32 = getattr(history, name)
            old: F32 = pooled[reporter, peers, column]
            new: F32 = getattr(latest, name)[reporter, peers]
            mixed = old + share * (new - old)
            pooled[reporter, peers, column] = np.where(
                np.isnan(old), new, np.where(np.isnan(new), old, mixed)
            )
        return tuple(first.tolist())

    def _reindex(self) -> None:
        self.index = {vertex.id: i for i, vertex in enumerate(self.vertices)}
        self._index_of[:] = -1
        self._index_of[[vertex.id for vertex in self.vertices]] = np.arange(len(self.vertices))
