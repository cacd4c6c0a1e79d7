"""The arithmetic of the demo: from what its end points and the links' counters recorded to figures.

Pure; called by `story`. A stretch is a pair of moments, both in nanoseconds of the monotonic clock. None
stands for "was not measured" and is never taken for a good value.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import NamedTuple

from sim.demo.records import Progress, Record

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Stretch(NamedTuple):
    """From a moment to another."""

    start_ns: int
    end_ns: int

    def __contains__(self, moment: object) -> bool:
        return isinstance(moment, int) and self.start_ns <= moment < self.end_ns


class Way(NamedTuple):
    """One direction of a link of the underlay, by the nodes at its ends."""

    start: str
    end: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What each way has been offered since the lab came up, in bytes of the network layer, at a moment."""

    at_ns: int
    offered: Mapping[Way, int]


@dataclass(frozen=True, slots=True)
class Quality:
    """What an application met in a stretch: round trips in ms, loss of probes 0..1 (there and back)."""

    probes: int
    rtt_p50_ms: float | None
    rtt_p99_ms: float | None
    loss_ratio: float | None


def percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that at least ``share`` (0..1) of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


def quality(record: Record, stretch: Stretch) -> Quality:
    """What the probes that were sent in ``stretch`` met. They must have had the time to come back."""
    numbers = [number for number, sent in record.sent.items() if sent in stretch]
    back = [record.echoes[number] for number in numbers if number in record.echoes]
    rtts = [probe.rtt_ns / NS_PER_MS for probe in back]
    return Quality(
        probes=len(numbers),
        rtt_p50_ms=percentile(rtts, 0.5),
        rtt_p99_ms=percentile(rtts, 0.99),
        loss_ratio=1 - len(back) / len(numbers) if numbers else None,
    )


def longest_gap_ns(arrivals: Iterable[int], stretch: Stretch) -> int | None:
    """The longest time without an arrival that begins in ``stretch``; one that did not end lasts to its end.

    None without any arrival: then it is not known how long the receiver has been waiting.
    """
    within = sorted(moment for moment in arrivals if moment in stretch)
    if not within:
        return None
    return max(after - before for before, after in pairwise([*within, stretch.end_ns]))


def goodput_mbps(progress: Sequence[Progress], stretch: Stretch) -> float | None:
    """The megabits a second that a download got in ``stretch``, as far as it was running then.

    Between two records bytes are taken to come evenly. None if it ran for less than half of the stretch.
    """
    if len(progress) < 2:
        return None
    start_ns = max(stretch.start_ns, progress[0].at_ns)
    end_ns = min(stretch.end_ns, progress[-1].at_ns)
    if 2 * (end_ns - start_ns) < stretch.end_ns - stretch.start_ns or end_ns <= start_ns:
        return None
    bits = 8 * (_bytes_at(progress, end_ns) - _bytes_at(progress, start_ns))
    return bits / (end_ns - start_ns) * 1e3


def left_ns(
    samples: Sequence[Sample], ways: Iterable[Way], since_ns: int, floor_bps: float, window_ns: int
) -> int | None:
    """When traffic had left all of ``ways`` for good: the end of the first window after the last one in
    which any of them was offered ``floor_bps`` (bit/s) or more.

    Windows are at least ``window_ns`` long and begin at ``since_ns`` or later. None where the last window
    was still above it, or there was none.
    """
    ways = tuple(ways)
    left: int | None = None
    after = [sample for sample in samples if sample.at_ns >= since_ns]
    for index, end in enumerate(after):
        start = next((one for one in reversed(after[:index]) if end.at_ns - one.at_ns >= window_ns), None)
        if start is None:
            continue
        rates = [8e9 * (end.offered[way] - start.offered[way]) / (end.at_ns - start.at_ns) for way in ways]
        if max(rates) >= floor_bps:
            left = None
        elif left is None:
            left = end.at_ns
    return left


def true_since(moments: Iterable[tuple[int, bool]]) -> int | None:
    """When that began which has held at every moment since; None where it does not hold at the last one."""
    since: int | None = None
    for at_ns, holds in moments:
        if not holds:
            since = None
        elif since is None:
            since = at_ns
    return since


def path_taken(before: Sample, after: Sample, source: str, target: str) -> tuple[str, ...]:
    """The nodes that most of the bytes from ``source`` to ``target`` passed between two samples.

    From each node it follows the way that was offered most; a way that was offered less than a third of
    the busiest one does not count. Empty if that does not lead to ``target``.
    """
    bytes_of = {way: total - before.offered[way] for way, total in after.offered.items()}
    floor = max(bytes_of.values(), default=0) / 3
    path = [source]
    while path[-1] != target:
        onward = {
            way.end: carried
            for way, carried in bytes_of.items()
            if way.start == path[-1] and way.end not in path and carried > floor
        }
        if not onward:
            return ()
        path.append(max(onward, key=lambda node: onward[node]))
    return tuple(path)


def _bytes_at(progress: Sequence[Progress], moment_ns: int) -> float:
    for before, after in pairwise(progress):
        if before.at_ns <= moment_ns <= after.at_ns:
            passed = moment_ns - before.at_ns
            share = passed / (after.at_ns - before.at_ns) if after.at_ns > before.at_ns else 1.0
            return before.total + share * (after.total - before.total)
    return float(progress[-1].total)
