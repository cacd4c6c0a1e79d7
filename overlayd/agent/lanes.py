"""From the reports of an engine's shards to one view of each link and path.

A link has a lane for each shard, with sessions, probes and liveness of its own. Whether the hop lives is lane
0's to say: it carries what another lane cannot. What was measured counts from every lane that lives, weighed
by its samples, for only a lane with traffic is probed often. Totals are sums. Pure; fed by the machine.

Times are nanoseconds of the agent's monotonic clock.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Generic, TypeVar

import msgspec

from overlayd.protocol import engine

APART_NS = 900_000_000
"""Lane 0 is passed on as it comes; what others measured is gathered for so long."""
SAME_NS = 2_000_000_000
"""A switch that lanes made within this is one."""

_Report = TypeVar("_Report", engine.LinkReport, engine.PathReport)
_Counts = TypeVar("_Counts", engine.RepairReport, engine.QueueReport)


class Lanes:
    """What each lane said last. With one shard everything passes as it is."""

    def __init__(self) -> None:
        self._several = False
        self._links = _Gathered[engine.LinkReport](_merged_links)
        self._paths = _Gathered[engine.PathReport](_merged_paths)
        self._counters: dict[int, engine.CountersReport] = {}
        self._switches: dict[Hashable, int] = {}

    def forget(self) -> None:
        """Drop everything: the engine was restarted."""
        self.__init__()

    def links(self, event: engine.Links, now: int) -> Sequence[engine.LinkReport]:
        """Return what is known anew of links."""
        self._several = self._several or event.lane > 0
        if not self._several:
            return event.links
        return self._links.note(event.lane, ((report.link, report) for report in event.links), now)

    def paths(self, event: engine.Paths, now: int) -> Sequence[engine.PathReport]:
        """Return what is known anew of paths."""
        self._several = self._several or event.lane > 0
        if not self._several:
            return event.paths
        keyed = (((report.destination, report.class_, report.path), report) for report in event.paths)
        return self._paths.note(event.lane, keyed, now)

    def counters(self, event: engine.Counters) -> engine.CountersReport:
        """Return the totals of all shards."""
        self._counters[event.lane] = event.counters
        return summed(self._counters.values())

    def of_shards(self) -> dict[int, engine.CountersReport]:
        """Return what each shard counted last."""
        return dict(sorted(self._counters.items()))

    def is_news(self, switch: engine.Switch, now: int) -> bool:
        """Tell whether no other lane has just made the same switch."""
        self._switches = {key: at for key, at in self._switches.items() if now - at < SAME_NS}
        key = (switch.destination, switch.class_, switch.from_, switch.to)
        known = key in self._switches
        self._switches[key] = now
        return not known


def summed(reports: Iterable[engine.CountersReport]) -> engine.CountersReport:
    """Return the sums of counters."""
    total = engine.CountersReport(0, 0, 0, 0, 0, {})
    for report in reports:
        drops = dict(total.drops)
        for reason, count in report.drops.items():
            drops[reason] = drops.get(reason, 0) + count
        total = engine.CountersReport(
            packets_in=total.packets_in + report.packets_in,
            packets_out=total.packets_out + report.packets_out,
            datagrams_in=total.datagrams_in + report.datagrams_in,
            datagrams_out=total.datagrams_out + report.datagrams_out,
            relayed=total.relayed + report.relayed,
            drops=drops,
            stranded=total.stranded + report.stranded,
            congestion_marks=total.congestion_marks + report.congestion_marks,
            advised=total.advised + report.advised,
            order_waited=total.order_waited + report.order_waited,
            order_given_up=total.order_given_up + report.order_given_up,
            probing=_probing(total.probing, report.probing),
        )
    return total


def _probing(one: engine.Probing | None, other: engine.Probing | None) -> engine.Probing | None:
    """Shards share a budget; the slowest tells how often."""
    if one is None or other is None:
        return one or other
    return engine.Probing(
        bytes=one.bytes + other.bytes,
        rate=one.rate + other.rate,
        budget=one.budget + other.budget,
        in_use_ns=max(one.in_use_ns, other.in_use_ns),
        idle_ns=max(one.idle_ns, other.idle_ns),
    )


class _Gathered(Generic[_Report]):
    """Reports by what they are of and by lane, until they are told as one."""

    def __init__(self, merge: "Callable[[dict[int, _Report], dict[int, _Report]], _Report | None]") -> None:
        self._merge = merge
        self._newest: dict[Hashable, dict[int, _Report]] = {}
        self._pending: dict[Hashable, dict[int, _Report]] = {}
        self._told: dict[Hashable, int] = {}

    def note(self, lane: int, reports: Iterable[tuple[Hashable, _Report]], now: int) -> list[_Report]:
        told: list[_Report] = []
        for key, report in reports:
            newest = self._newest.setdefault(key, {})
            newest[lane] = report
            pending = self._pending.setdefault(key, {})
            pending[lane] = report
            if lane > 0 and now - self._told.get(key, -APART_NS) < APART_NS:
                continue
            merged = self._merge(newest, pending)
            pending.clear()
            if merged is not None:
                self._told[key] = now
                told.append(merged)
        return told


def _merged_links(
    newest: dict[int, engine.LinkReport], pending: dict[int, engine.LinkReport]
) -> engine.LinkReport | None:
    first = newest.get(0)
    if first is None:
        return None  # nothing is known of the hop yet
    if not first.up:
        return pending.get(0)
    fresh = [report for report in pending.values() if report.up]
    if not fresh:
        return None
    lanes = newest.values()
    return msgspec.structs.replace(
        first,
        samples=sum(report.samples for report in fresh),
        rtt_min_ns=_least(fresh),
        rtt_mean_ns=_whole(_mean(fresh, "rtt_mean_ns")),
        jitter_out_ns=_whole(_mean(fresh, "jitter_out_ns")),
        jitter_in_ns=_whole(_mean(fresh, "jitter_in_ns")),
        loss_out_ratio=_mean(fresh, "loss_out_ratio"),
        loss_in_ratio=_mean(fresh, "loss_in_ratio"),
        delivered_bps=sum(report.delivered_bps for report in lanes if report.up),
        sent_bytes=sum(report.sent_bytes for report in lanes),
        received_bytes=sum(report.received_bytes for report in lanes),
        repair=_by_class(repair for lane in lanes for repair in lane.repair),
        queues=_by_class(queue for lane in lanes for queue in lane.queues),
    )


def _merged_paths(
    newest: dict[int, engine.PathReport], pending: dict[int, engine.PathReport]
) -> engine.PathReport | None:
    """A path that another lane calls dead may be dead there only: that lane's traffic is lane 0's now."""
    fresh = {lane: report for lane, report in sorted(pending.items()) if lane == 0 or report.alive}
    if not fresh:
        return None
    reports = list(fresh.values())
    return msgspec.structs.replace(
        reports[0],
        samples=sum(report.samples for report in reports),
        rtt_min_ns=_least(reports),
        rtt_mean_ns=_whole(_mean(reports, "rtt_mean_ns")),
        loss_ratio=_mean(reports, "loss_ratio"),
    )


def _by_class(reports: Iterable[_Counts]) -> tuple[_Counts, ...]:
    sums: dict[int, _Counts] = {}
    for report in reports:
        total = sums.get(report.class_)
        if total is not None:
            counts = {
                field: getattr(total, field) + getattr(report, field)
                for field in report.__struct_fields__
                if field not in ("class_", "waits")
            }
            waits = tuple(map(sum, zip(total.waits, report.waits, strict=True)))
            report = msgspec.structs.replace(total, **counts, waits=waits)
        sums[report.class_] = report
    return tuple(sums[class_id] for class_id in sorted(sums))


def _least(reports: Iterable[engine.LinkReport | engine.PathReport]) -> int | None:
    return min((report.rtt_min_ns for report in reports if report.rtt_min_ns is not None), default=None)


def _mean(reports: Iterable[Any], field: str) -> float | None:
    """Weighed by samples; a report without the figure has no weight."""
    get = attrgetter(field)
    known = [(get(report), report.samples) for report in reports if get(report) is not None]
    weight = sum(samples for _, samples in known)
    if not weight:
        return known[0][0] if known else None
    return sum(value * samples for value, samples in known) / weight


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
