"""What the controller is told of links and paths: a frame each interval, and at once what degrades.

Pure; fed and polled by the machine.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypeAlias

from overlayd.agent.estimator import Estimate
from overlayd.model.ids import NodeId, Path
from overlayd.protocol import engine
from overlayd.protocol.controller import LinkSample, PathSample, Telemetry

URGENT_APART_NS = 1_000_000_000
LOSS_LEVELS = (0.02, 0.05)
_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1e6
_REPORT_SECONDS = 1.0
_FRAME_REPORTS = 64
"""A frame sums up this many reports at most: nothing piles up while there is no controller to tell."""

Estimated: TypeAlias = Callable[[engine.LinkReport], Estimate | None]
"""The estimate of a reported link as of now; None without a fresh sample."""


class Reporter:
    """Sums reports up to frames and watches for degradation, per neighbour (its best living link).

    ``phase``, 0..1: the share of an interval that the first frame takes, so that a mesh whose agents start
    together, or reconnect together, does not tell its controller everything in the same second.
    """

    def __init__(self, phase: float = 1.0) -> None:
        self._phase = phase
        self._share = phase
        self._since: int | None = None
        self._asked = False
        self._links: dict[NodeId, deque[engine.LinkReport | None]] = {}
        self._paths: dict[tuple[NodeId, int, Path], deque[engine.PathReport]] = {}
        self._newest: dict[NodeId, engine.LinkReport | None] = {}
        self._watches: dict[NodeId, _Watch] = {}
        self._alarmed: set[NodeId] = set()
        self._urgent_at: int | None = None

    def note_links(
        self, best: Mapping[NodeId, engine.LinkReport | None], estimate: Estimated, now: int
    ) -> None:
        """Take one report: for the neighbours it is about the link in use (None: all are down).

        ``estimate`` is asked about links that look other than they did.
        """
        if self._since is None:
            self._since = now - _NS_PER_S
        for peer, report in best.items():
            self._newest[peer] = report
            reports = self._links.get(peer)
            if reports is None:
                reports = self._links[peer] = deque(maxlen=_FRAME_REPORTS)
            reports.append(report)
            watch = self._watches.get(peer)
            if watch is None:
                watch = self._watches[peer] = _Watch()
            if watch.note(report, estimate):
                self._alarmed.add(peer)

    def keep(self, peers: Set[NodeId]) -> None:
        """Forget all neighbours but these."""
        for known in (self._links, self._newest, self._watches):
            for peer in known.keys() - peers:
                del known[peer]

    def note_paths(self, reports: Iterable[engine.PathReport]) -> None:
        """Take one report of the paths that are measured."""
        for report in reports:
            key = (NodeId(report.destination), report.class_, tuple(NodeId(node) for node in report.path))
            self._paths.setdefault(key, deque(maxlen=_FRAME_REPORTS)).append(report)

    def alarm(self, peer: NodeId) -> None:
        """Have ``peer`` reported at once."""
        self._alarmed.add(peer)

    def start(self) -> None:
        """Make the next frame due: the controller has just connected."""
        self._asked = True

    def poll(self, interval_s: float, now: int) -> list[Telemetry]:
        """Return what is due.

        Urgent frames hold the newest second of the neighbours that changed, at most one a second.
        """
        frames: list[Telemetry] = []
        if self._alarmed and (self._urgent_at is None or now - self._urgent_at >= URGENT_APART_NS):
            frames.append(self._urgent())
            self._urgent_at = now
        if self._since is not None and self._links:
            elapsed_s = (now - self._since) / _NS_PER_S
            if self._asked or elapsed_s >= interval_s * self._share:
                frames.append(self._frame(elapsed_s))
                self._share = self._phase if self._asked else 1.0
                self._since, self._asked = now, False
        return frames

    def _urgent(self) -> Telemetry:
        alarmed, self._alarmed = self._alarmed, set()
        links = tuple(
            _link_sample(peer, [self._newest[peer]]) for peer in sorted(alarmed) if peer in self._newest
        )
        return Telemetry(urgent=True, frame_seconds=_REPORT_SECONDS, links=links)

    def _frame(self, elapsed_s: float) -> Telemetry:
        links, self._links = self._links, {}
        paths, self._paths = self._paths, {}
        return Telemetry(
            urgent=False,
            frame_seconds=elapsed_s,
            links=tuple(
                _link_sample(peer, reports, max(round(elapsed_s * _NS_PER_S), 1))
                for peer, reports in sorted(links.items())
            ),
            paths=tuple(_path_sample(*key, reports) for key, reports in sorted(paths.items())),
        )


@dataclass(slots=True)
class _Watch:
    """The state of one neighbour as it was last reported.

    Levels fall with a margin, so that noise does not ring. ``usual_ms`` is the usual RTT as of the last
    closer look; None: look closer at the next report.
    """

    up: bool | None = None
    loss_level: int = 0
    slow: bool = False
    usual_ms: float | None = None

    def note(self, report: engine.LinkReport | None, estimate: Estimated) -> bool:
        """Tell whether this is news: up, down, more loss, or slower than usual."""
        up = report is not None and report.up
        news = self.up is not None and up != self.up
        self.up = up
        if report is None or self._as_ever(report):
            return news
        return self._look(estimate(report)) or news

    def _as_ever(self, report: engine.LinkReport) -> bool:
        """Nothing was lost and the RTT is near the usual one: a closer look would find no news."""
        if self.usual_ms is None or self.slow or self.loss_level or report.loss_out_ratio:
            return False
        if report.rtt_mean_ns is None:
            return True
        return 0.8 * self.usual_ms <= report.rtt_mean_ns / _NS_PER_MS <= 1.25 * self.usual_ms

    def _look(self, estimate: Estimate | None) -> bool:
        if estimate is None:
            return False
        level = sum((estimate.loss_floor_ratio or 0.0) >= bound for bound in LOSS_LEVELS)
        keep = sum((estimate.loss_ratio or 0.0) >= bound / 2 for bound in LOSS_LEVELS)
        news = level > self.loss_level
        self.loss_level = max(level, min(keep, self.loss_level))
        self.usual_ms = estimate.rtt_long_ms
        if estimate.rtt_ms is not None and estimate.rtt_long_ms is not None:
            slow = estimate.rtt_ms > 1.5 * estimate.rtt_long_ms + 10
            news = news or (slow and not self.slow)
            self.slow = slow or (self.slow and estimate.rtt_ms > 1.2 * estimate.rtt_long_ms + 5)
        return news


def _link_sample(
    peer: NodeId, reports: Sequence[engine.LinkReport | None], frame_ns: int = _NS_PER_S
) -> LinkSample:
    """Sum up the reports of a frame of that length; None: no link to ``peer`` was up."""
    seen = [report for report in reports if report is not None]
    newest = reports[-1]
    # One pass: a frame of a mesh has many links, of which most are idle and have three reports.
    samples = delivered_bps = 0
    rtts: list[int] = []
    least_ns: int | None = None
    rtt, jitter, loss_out, loss_in = _Mean(), _Mean(), _Mean(), _Mean()
    for report in seen:
        delivered_bps += report.delivered_bps
        weight = report.samples
        if weight == 0:
            continue
        samples += weight
        rtt.add(report.rtt_mean_ns, weight)
        jitter.add(report.jitter_out_ns, weight)
        loss_out.add(report.loss_out_ratio, weight)
        loss_in.add(report.loss_in_ratio, weight)
        if report.rtt_mean_ns is not None:
            rtts.append(report.rtt_mean_ns)
        if report.rtt_min_ns is not None and (least_ns is None or report.rtt_min_ns < least_ns):
            least_ns = report.rtt_min_ns
    rtts.sort()
    return LinkSample(
        peer=peer,
        up=newest is not None and newest.up,
        samples=samples,
        rtt_min_ms=_ms(least_ns),
        rtt_mean_ms=_ms(rtt.value),
        jitter_ms=_ms(jitter.value),
        loss_out_ratio=loss_out.value,
        loss_in_ratio=loss_in.value,
        delivered_bps=round(delivered_bps / max(len(seen), 1)),
        rtt_q50_ms=_ms(_quantile(rtts, 0.5)),
        rtt_q90_ms=_ms(_quantile(rtts, 0.9)),
        residual_in_ratio=_residual(seen),
        capacity_bps=next((report.budget_bps for report in reversed(seen) if report.budget_bps), None),
        load_bps=_load_bps(seen, frame_ns),
    )


def _residual(reports: Sequence[engine.LinkReport]) -> float | None:
    """Return what repair gave up of what was to come in; None: nothing was to come, or there was no repair.

    Counters are the engine's since its start: ends are compared only within one link and one run.
    """
    if len(reports) < 2 or reports[0].link != reports[-1].link:
        return None
    before = {repair.class_: repair for repair in reports[0].repair}
    lost = expected = 0
    for now in reports[-1].repair:
        then = before.get(now.class_, _NO_REPAIR)
        if _received(now) < _received(then) or now.lost < then.lost:
            return None
        lost += now.lost - then.lost
        expected += _received(now) - _received(then) + now.lost - then.lost
    return lost / expected if expected > 0 else None


def _received(repair: engine.RepairReport) -> int:
    return repair.received + repair.recovered_by_retransmission + repair.recovered_by_code


_NO_REPAIR = engine.RepairReport(0, 0, 0, 0, 0, 0, 0, 0)


def _load_bps(reports: Sequence[engine.LinkReport], frame_ns: int) -> int | None:
    """Return the mean rate of what was sent between the first and the last report of a frame."""
    if len(reports) < 2 or reports[0].link != reports[-1].link:
        return None
    sent = reports[-1].sent_bytes - reports[0].sent_bytes
    # A frame of k reports spans k - 1 of their intervals.
    return sent * 8 * _NS_PER_S * len(reports) // (frame_ns * (len(reports) - 1)) if sent >= 0 else None


def _quantile(ordered: Sequence[int], q: float) -> int | None:
    """Return the ⌈q·n⌉-th smallest; None of nothing."""
    return ordered[max(math.ceil(q * len(ordered)) - 1, 0)] if ordered else None


def _path_sample(
    destination: NodeId, class_id: int, path: Path, reports: Sequence[engine.PathReport]
) -> PathSample:
    """Sum up the reports of a frame."""
    rtt, loss = _Mean(), _Mean()
    for report in reports:
        if report.samples > 0:
            rtt.add(report.rtt_mean_ns, report.samples)
            loss.add(report.loss_ratio, report.samples)
    return PathSample(destination, class_id, path, reports[-1].active, _ms(rtt.value), loss.value)


class _Mean:
    """A weighted mean of what is not None; None of nothing."""

    __slots__ = ("_total", "_weight")

    def __init__(self) -> None:
        self._total = self._weight = 0.0

    def add(self, value: float | None, weight: int) -> None:
        if value is not None:
            self._total += value * weight
            self._weight += weight

    @property
    def value(self) -> float | None:
        return self._total / self._weight if self._weight else None


def _ms(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / _NS_PER_MS
