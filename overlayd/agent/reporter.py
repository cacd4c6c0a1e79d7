"""What the controller is told of links and paths: a frame each interval, and at once what degrades.

Pure; fed and polled by the machine.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from overlayd.agent.estimator import Estimate
from overlayd.model.ids import NodeId, Path
from overlayd.protocol import engine
from overlayd.protocol.controller import LinkSample, PathSample, Telemetry

URGENT_APART_NS = 1_000_000_000
LOSS_LEVELS = (0.02, 0.05)
_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1e6
_REPORT_SECONDS = 1.0


class Reporter:
    """Sums reports up to frames and watches for degradation, per neighbour (its best living link)."""

    def __init__(self) -> None:
        self._since: int | None = None
        self._asked = False
        self._links: dict[NodeId, _LinkSum] = {}
        self._paths: dict[tuple[NodeId, int, Path], _PathSum] = {}
        self._newest: dict[NodeId, LinkSample] = {}
        self._watches: dict[NodeId, _Watch] = {}
        self._alarmed: set[NodeId] = set()
        self._urgent_at: int | None = None

    def note_links(
        self,
        best: Mapping[NodeId, engine.LinkReport | None],
        estimates: Mapping[NodeId, Estimate | None],
        now: int,
    ) -> None:
        """Take one report: for each neighbour the link in use (None: all are down) and its estimate."""
        if self._since is None:
            self._since = now - _NS_PER_S
        self._watches = {peer: self._watches.get(peer, _Watch()) for peer in best}
        for peer, report in best.items():
            total = self._links.setdefault(peer, _LinkSum())
            total.add(report)
            single = _LinkSum()
            single.add(report)
            self._newest[peer] = single.sample(peer)
            if self._watches[peer].note(report is not None and report.up, estimates.get(peer)):
                self._alarmed.add(peer)

    def note_paths(self, reports: Iterable[engine.PathReport]) -> None:
        """Take one report of the paths that are measured."""
        for report in reports:
            key = (NodeId(report.destination), report.class_, tuple(NodeId(node) for node in report.path))
            self._paths.setdefault(key, _PathSum()).add(report)

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
            if self._asked or elapsed_s >= interval_s:
                frames.append(self._frame(elapsed_s))
                self._since, self._asked = now, False
        return frames

    def _urgent(self) -> Telemetry:
        alarmed, self._alarmed = self._alarmed, set()
        links = tuple(self._newest[peer] for peer in sorted(alarmed) if peer in self._newest)
        return Telemetry(urgent=True, frame_seconds=_REPORT_SECONDS, links=links)

    def _frame(self, elapsed_s: float) -> Telemetry:
        links, self._links = self._links, {}
        paths, self._paths = self._paths, {}
        return Telemetry(
            urgent=False,
            frame_seconds=elapsed_s,
            links=tuple(total.sample(peer) for peer, total in sorted(links.items())),
            paths=tuple(total.sample(*key) for key, total in sorted(paths.items())),
        )


@dataclass(slots=True)
class _Watch:
    """The state of one neighbour that was last reported; levels fall with a margin, so that noise does not
    ring.
    """

    up: bool | None = None
    loss_level: int = 0
    slow: bool = False

    def note(self, up: bool, estimate: Estimate | None) -> bool:
        """Tell whether this is news: up, down, more loss, or slower than usual."""
        news = self.up is not None and up != self.up
        self.up = up
        if estimate is None:
            return news
        level = sum((estimate.loss_floor_ratio or 0.0) >= bound for bound in LOSS_LEVELS)
        keep = sum((estimate.loss_ratio or 0.0) >= bound / 2 for bound in LOSS_LEVELS)
        news = news or level > self.loss_level
        self.loss_level = max(level, min(keep, self.loss_level))
        if estimate.rtt_ms is not None and estimate.rtt_long_ms is not None:
            slow = estimate.rtt_ms > 1.5 * estimate.rtt_long_ms + 10
            news = news or (slow and not self.slow)
            self.slow = slow or (self.slow and estimate.rtt_ms > 1.2 * estimate.rtt_long_ms + 5)
        return news


@dataclass(slots=True)
class _Mean:
    total: float = 0.0
    weight: float = 0.0

    def add(self, value: float | None, weight: float) -> None:
        if value is not None:
            self.total += value * weight
            self.weight += weight

    @property
    def value(self) -> float | None:
        return self.total / self.weight if self.weight else None


class _LinkSum:
    def __init__(self) -> None:
        self._up = False
        self._samples = 0
        self._rtt_min_ns: int | None = None
        self._rtt, self._jitter, self._loss_out, self._loss_in, self._delivered = (_Mean() for _ in range(5))

    def add(self, report: engine.LinkReport | None) -> None:
        self._up = report is not None and report.up
        if report is None:
            return
        self._delivered.add(report.delivered_bps, 1.0)
        weight = report.samples
        if weight <= 0:
            return
        self._samples += weight
        self._rtt.add(report.rtt_mean_ns, weight)
        self._jitter.add(report.jitter_out_ns, weight)
        self._loss_out.add(report.loss_out_ratio, weight)
        self._loss_in.add(report.loss_in_ratio, weight)
        if report.rtt_min_ns is not None:
            self._rtt_min_ns = min(self._rtt_min_ns or report.rtt_min_ns, report.rtt_min_ns)

    def sample(self, peer: NodeId) -> LinkSample:
        return LinkSample(
            peer=peer,
            up=self._up,
            samples=self._samples,
            rtt_min_ms=_ms(self._rtt_min_ns),
            rtt_mean_ms=_ms(self._rtt.value),
            jitter_ms=_ms(self._jitter.value),
            loss_out_ratio=self._loss_out.value,
            loss_in_ratio=self._loss_in.value,
            delivered_bps=round(self._delivered.value or 0),
        )


class _PathSum:
    def __init__(self) -> None:
        self._active = False
        self._rtt, self._loss = _Mean(), _Mean()

    def add(self, report: engine.PathReport) -> None:
        self._active = report.active
        if report.samples > 0:
            self._rtt.add(report.rtt_mean_ns, report.samples)
            self._loss.add(report.loss_ratio, report.samples)

    def sample(self, destination: NodeId, class_id: int, path: Path) -> PathSample:
        return PathSample(destination, class_id, path, self._active, _ms(self._rtt.value), self._loss.value)


def _ms(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / _NS_PER_MS
