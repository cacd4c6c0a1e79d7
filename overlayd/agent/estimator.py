"""What the engine's reports say about links and paths, over a short and a long window.

Pure; fed by the machine.

Only fresh samples count: a report without a sample is no evidence, neither of health nor of sickness, and
an estimate whose newest sample is older than :data:`STALE_NS` (of a link :data:`LINK_STALE_NS`: the engine
tells of idle ones every five seconds) says nothing at all. (A dead device that repeats its last values looks
like a perfect relay.)

Times are nanoseconds of the agent's monotonic clock; RTTs milliseconds; ratios 0..1.
"""

import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from overlayd.model.ids import LinkId, NodeId, Path
from overlayd.protocol import engine

SHORT_NS = 3_000_000_000
LONG_NS = 60_000_000_000
STALE_NS = 5_000_000_000
LINK_STALE_NS = 12_000_000_000
FORGET_NS = 120_000_000_000
_REPORTS = 64
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Estimate:
    """A link or a path as it is now.

    ``at_ns`` is when the newest sample came; None where there was no fresh sample.

    ``rtt_ms`` is the mean of the newest report, ``rtt_short_ms`` that of the short window, which holds the
    newest report at least,
    ``rtt_long_ms`` the median and ``rtt_low_ms`` the least report of the long one. ``loss_ratio`` is the
    mean of the short window, ``loss_long_ratio`` of the long one; ``loss_floor_ratio`` is what the loss
    is at least, given how little was sent, by the newest report or by the short window.
    """

    at_ns: int
    rtt_ms: float | None
    rtt_short_ms: float | None
    rtt_long_ms: float | None
    rtt_low_ms: float | None
    loss_ratio: float | None
    loss_floor_ratio: float | None
    loss_long_ratio: float | None


@dataclass(frozen=True, slots=True)
class RepairFigures:
    """Repair on one link for one class over the long window, in both directions.

    ``lost_ratio`` is what the repair of the incoming direction gave up; ``repair_ratio`` and
    ``retransmitted_ratio`` are frames sent in addition per source frame of the outgoing direction.
    ``burst_length`` is the mean run of frames that were missed, and ``added_p50_ms``, ``added_p99_ms`` are
    quantiles of how long those that came were waited for, both incoming. None: nothing was sent or received.
    """

    lost_ratio: float | None
    recovered_ratio: float | None
    repair_ratio: float | None
    retransmitted_ratio: float | None
    burst_length: float | None = None
    added_p50_ms: float | None = None
    added_p99_ms: float | None = None

    @property
    def raw_loss_ratio(self) -> float | None:
        """What did not arrive of its own accord."""
        if self.lost_ratio is None or self.recovered_ratio is None:
            return None
        return self.lost_ratio + self.recovered_ratio


class Estimator:
    """All links and paths of this node."""

    def __init__(self) -> None:
        self._links: dict[LinkId, _LinkHistory] = {}
        self._links_to: dict[NodeId, list[LinkId]] = {}
        self._paths: dict[tuple[NodeId, int, Path], _PathHistory] = {}
        self._active: dict[tuple[NodeId, int], Path] = {}

    def note_links(self, reports: Iterable[engine.LinkReport], now: int) -> None:
        """Take a report of some links; the others have nothing new to tell."""
        same = True
        for report in reports:
            history = self._links.get(LinkId(report.link))
            if history is None or history.latest.peer != report.peer:
                same = False
                history = self._links[LinkId(report.link)] = _LinkHistory(report)
            history.note(report, now)
        if not same:
            self._sort()

    def keep(self, links: Collection[LinkId]) -> None:
        """Forget all links but these."""
        self._links = {link: history for link, history in self._links.items() if link in links}
        self._sort()

    def note_link_state(self, link: LinkId, up: bool) -> None:
        """Take an event that came before its report."""
        if link in self._links:
            self._links[link].up = up

    def note_paths(self, reports: Iterable[engine.PathReport], now: int) -> None:
        """Take a report of the paths that are measured; the others age."""
        for report in reports:
            key = (NodeId(report.destination), report.class_, tuple(NodeId(node) for node in report.path))
            history = self._paths.get(key)
            if history is None:
                history = self._paths[key] = _PathHistory(report)
            history.note(report, now)
            if report.active:
                self._active[key[:2]] = key[2]
        self._paths = {key: path for key, path in self._paths.items() if now - path.reported_ns < FORGET_NS}

    def _sort(self) -> None:
        self._links_to = {}
        for link, history in self._links.items():
            self._links_to.setdefault(NodeId(history.latest.peer), []).append(link)

    def forget(self) -> None:
        """Drop everything: the engine was restarted, and its counters start anew."""
        self._links.clear()
        self._links_to.clear()
        self._paths.clear()
        self._active.clear()

    def links(self) -> Mapping[LinkId, engine.LinkReport]:
        """Return the newest report of each link."""
        return {link: history.latest for link, history in self._links.items()}

    def is_up(self, link: LinkId) -> bool:
        """Tell whether the engine last called the link up."""
        return link in self._links and self._links[link].up

    def link(self, link: LinkId, now: int) -> Estimate | None:
        """Return the outgoing direction of ``link``; None without a fresh sample."""
        history = self._links.get(link)
        return history.estimate(now) if history else None

    def rates(self, link: LinkId, now: int) -> tuple[float, float] | None:
        """Return bits per second sent and received over ``link`` lately; None: not told lately."""
        history = self._links.get(link)
        return history.rates(now) if history else None

    def repair(self, link: LinkId, class_id: int, now: int) -> RepairFigures | None:
        """Return what repair did on ``link`` for a class over the long window; None: nothing."""
        history = self._links.get(link)
        return history.repair(class_id, now) if history else None

    def best_link(self, peer: NodeId, preference: Mapping[LinkId, int]) -> LinkId | None:
        """Return the link to ``peer`` that the engine uses.

        Of those that are up it is the one with the least preference, then id; None if all are down.
        """
        links = self._links_to.get(peer, ())
        if len(links) == 1:
            return links[0] if self._links[links[0]].up else None
        living = [link for link in links if self._links[link].up]
        if len(living) < 2:
            return living[0] if living else None
        return min(living, key=lambda link: (preference.get(link, 0xFF), link))

    def best_reports(
        self, peers: Iterable[NodeId], preference: Mapping[LinkId, int]
    ) -> dict[NodeId, engine.LinkReport | None]:
        """Return the newest report of the best link to each of ``peers``; None where none is up."""
        best: dict[NodeId, engine.LinkReport | None] = {}
        for peer in peers:
            link = self.best_link(peer, preference)
            best[peer] = None if link is None else self._links[link].latest
        return best

    def all_down(self, peer: NodeId) -> bool:
        """Tell whether there are reports of links to ``peer``, and every one of them is down."""
        links = self._links_to.get(peer, ())
        if len(links) == 1:
            return not self._links[links[0]].up
        return bool(links) and not any(self._links[link].up for link in links)

    def path(self, destination: NodeId, class_id: int, path: Path, now: int) -> Estimate | None:
        """Return the end-to-end estimate; None without a fresh sample of this class."""
        history = self._paths.get((destination, class_id, path))
        return history.estimate(now) if history else None

    def path_report(
        self, destination: NodeId, class_id: int, path: Path, now: int
    ) -> engine.PathReport | None:
        """Return the newest report if it is not stale."""
        history = self._paths.get((destination, class_id, path))
        return history.latest if history and now - history.reported_ns <= STALE_NS else None

    def active_path(self, destination: NodeId, class_id: int, now: int) -> Path | None:
        """Return the path that the engine says packets take now; None if it did not say so lately."""
        path = self._active.get((destination, class_id))
        return path if path and self.path_report(destination, class_id, path, now) else None

    def in_use(self, now: int) -> Iterator[tuple[NodeId, int]]:
        """Yield each destination and class that the engine says packets went to lately."""
        return (key for key in self._active if self.active_path(*key, now))


def loss_floor(ratio: float, count: float) -> float:
    """Return what the true loss is at least, if ``ratio`` of ``count`` was lost.

    Wilson's lower bound with about 90 % confidence: one lost probe of two is no proof of a bad link, 8
    of 100 are.
    """
    if count <= 0:
        return 0.0
    z = 1.28
    centre = ratio + z * z / (2 * count)
    spread = z * math.sqrt(ratio * (1 - ratio) / count + z * z / (4 * count * count))
    return min(max((centre - spread) / (1 + z * z / count), 0.0), ratio)


class _Sample(NamedTuple):
    """One report with fresh probes. ``sent`` is what its loss is a share of; None: not measured."""

    at_ns: int
    rtt_ns: int | None
    loss: float | None
    samples: int
    sent: float


class _Window:
    """The newest samples, and the estimate made of them: asked for seldom, so made when asked."""

    def __init__(self, stale_ns: int) -> None:
        self._stale_ns = stale_ns
        self._samples: deque[_Sample] = deque(maxlen=_REPORTS)
        self._known: tuple[int, Estimate | None] | None = None

    def note(self, sample: _Sample) -> None:
        self._samples.append(sample)
        self._known = None

    def estimate(self, now: int) -> Estimate | None:
        if self._known is None or self._known[0] != now:
            self._known = (now, self._estimate(now))
        return self._known[1]

    def _estimate(self, now: int) -> Estimate | None:
        if not self._samples or now - self._samples[-1].at_ns > self._stale_ns:
            return None
        rtts = [
            (at, rtt_ns / _NS_PER_MS, samples)
            for at, rtt_ns, _, samples, _ in self._samples
            if rtt_ns is not None and now - at <= LONG_NS
        ]
        losses = [
            (at, min(max(loss, 0.0), 1.0), sent)
            for at, _, loss, _, sent in self._samples
            if loss is not None and now - at <= LONG_NS
        ]
        fresh = bool(rtts) and now - rtts[-1][0] <= self._stale_ns
        short_ns = max(SHORT_NS, now - self._samples[-1].at_ns)
        recent = [(loss, sent) for at, loss, sent in losses if now - at <= short_ns]
        loss = _weighted(recent)
        floors = (
            [loss_floor(*recent[-1]), loss_floor(loss, sum(sent for _, sent in recent))]
            if loss is not None
            else []
        )
        return Estimate(
            at_ns=self._samples[-1].at_ns,
            rtt_ms=rtts[-1][1] if fresh else None,
            rtt_short_ms=_weighted([(rtt, weight) for at, rtt, weight in rtts if now - at <= short_ns]),
            rtt_long_ms=_median([rtt for _, rtt, _ in rtts]) if fresh else None,
            rtt_low_ms=min(rtt for _, rtt, _ in rtts) if fresh else None,
            loss_ratio=loss,
            loss_floor_ratio=max(floors, default=None),
            loss_long_ratio=_weighted([(loss, sent) for _, loss, sent in losses]),
        )


class _LinkHistory:
    def __init__(self, report: engine.LinkReport) -> None:
        self.latest = report
        self.up = report.up
        self._window = _Window(LINK_STALE_NS)
        self._repair: deque[tuple[int, tuple[engine.RepairReport, ...]]] = deque(maxlen=_REPORTS)
        self._bytes: deque[tuple[int, int, int]] = deque()

    def note(self, report: engine.LinkReport, now: int) -> None:
        self.latest = report
        self.up = report.up
        samples = report.samples
        if samples > 0:
            sent = samples + report.delivered_bps / 8 / max(report.mtu, 1)
            self._window.note(_Sample(now, report.rtt_mean_ns, report.loss_out_ratio, samples, sent))
        if report.repair or self._repair:
            self._repair.append((now, report.repair))
        self._bytes.append((now, report.sent_bytes, report.received_bytes))
        while len(self._bytes) > 2 and now - self._bytes[1][0] >= SHORT_NS:
            self._bytes.popleft()

    def rates(self, now: int) -> tuple[float, float] | None:
        (before, sent_before, received_before), (at, sent, received) = self._bytes[0], self._bytes[-1]
        if at == before or now - at > LINK_STALE_NS or sent < sent_before or received < received_before:
            return None
        bits_per_byte_ns = 8e9 / (at - before)
        return (sent - sent_before) * bits_per_byte_ns, (received - received_before) * bits_per_byte_ns

    def estimate(self, now: int) -> Estimate | None:
        return self._window.estimate(now)

    def repair(self, class_id: int, now: int) -> RepairFigures | None:
        newest = _of_class(self.latest.repair, class_id)
        if newest is None:
            return None
        then = next((repair for at, repair in self._repair if now - at <= LONG_NS), ())
        oldest = _of_class(then, class_id)
        if (
            oldest is None
            or oldest is newest
            or oldest.sent > newest.sent
            or oldest.received > newest.received
        ):
            oldest = engine.RepairReport(class_id, 0, 0, 0, 0, 0, 0, 0)
        sent = newest.sent - oldest.sent
        recovered = (newest.recovered_by_retransmission + newest.recovered_by_code) - (
            oldest.recovered_by_retransmission + oldest.recovered_by_code
        )
        lost = newest.lost - oldest.lost
        expected = newest.received - oldest.received + recovered + lost
        waits = tuple(now - then for now, then in zip(newest.waits, oldest.waits, strict=True))
        return RepairFigures(
            burst_length=_ratio(newest.missed - oldest.missed, newest.bursts - oldest.bursts),
            added_p50_ms=_wait_ms(0.5, waits, expected - lost),
            added_p99_ms=_wait_ms(0.99, waits, expected - lost),
            lost_ratio=_ratio(lost, expected),
            recovered_ratio=_ratio(recovered, expected),
            repair_ratio=_ratio(newest.repair_sent - oldest.repair_sent, sent),
            retransmitted_ratio=_ratio(newest.retransmitted - oldest.retransmitted, sent),
        )


class _PathHistory:
    def __init__(self, report: engine.PathReport) -> None:
        self.latest = report
        self.reported_ns = 0
        self._window = _Window(STALE_NS)

    def note(self, report: engine.PathReport, now: int) -> None:
        self.latest = report
        self.reported_ns = now
        samples = report.samples
        if samples > 0:
            self._window.note(_Sample(now, report.rtt_mean_ns, report.loss_ratio, samples, samples))

    def estimate(self, now: int) -> Estimate | None:
        return self._window.estimate(now)


def _of_class(reports: tuple[engine.RepairReport, ...], class_id: int) -> engine.RepairReport | None:
    return next((report for report in reports if report.class_ == class_id), None)


def _wait_ms(share: float, waits: tuple[int, ...], delivered: int) -> float | None:
    """Return a quantile of the wait of all ``delivered`` frames, of which most did not wait at all; a wait is
    taken for evenly spread between the ends it was counted between.
    """
    if delivered <= 0:
        return None
    rank = share * delivered - (delivered - sum(waits))
    if rank <= 0:
        return 0.0
    least = 0
    for count, most in zip(waits, engine.WAITS_MS, strict=False):
        if rank <= count:
            return least + (most - least) * rank / count
        rank, least = rank - count, most
    return float(least)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole > 0 else None


def _weighted(values: list[tuple[float, float]] | list[tuple[float, int]]) -> float | None:
    weight = sum(weight for _, weight in values)
    return sum(value * weight for value, weight in values) / weight if weight else None


def _median(values: list[float]) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
