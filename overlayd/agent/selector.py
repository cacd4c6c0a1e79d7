"""The agent's time scale: within seconds, a path outside its class's bound gives way to a back-up.

Pure; called by the machine.

The rules, for each destination and class:

* Paths stay in the order of the route. Only the path *in use* is judged; back-ups are looked at when one is
  needed.
* A path is *bad* while its figures break the class's :class:`~overlayd.model.service.Bound`. It is left at
  once: when it was bad in all reports for :data:`LEAVE_AFTER_NS`, that is in two reports in a row. Without
  a fresh sample it is neither bad nor healthy.
* It gives way to the first back-up within the bound; else to the first that lives but was not measured;
  else, all being bad, to one at most half as bad; else it stays. One that is held down is no refuge before
  it was healthy for a :data:`TRUSTED_AFTER`th of its hold (a second, doubled with each relapse), unless it
  was left for what is at most a quarter as bad: where all are bad, each looks well now and then.
* The path that was left, and those that were passed over, are *held down*: behind all others until healthy
  for :data:`HOLD_NS`, doubled with each relapse up to :data:`MAX_HOLD_NS`. A break that a path would be left
  for begins the count anew; a shorter one, and time without a sample, only do not count. Who stays
  :data:`FORGIVEN_AFTER` times the hold has no past.
* What the engine left because it was dead is the engine's to take up again, unless it lives and is bad: then
  it is held down too.
* A new route from the controller replaces paths and order, but lifts no hold-down: what this node measures
  on its own traffic is newer than what the controller knew when it decided.
"""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from overlayd.agent.mesh import HeldPath
from overlayd.model.ids import NodeId, Path
from overlayd.model.route import Route
from overlayd.model.service import Bound

LEAVE_AFTER_NS = 900_000_000
HOLD_NS = 60_000_000_000
MAX_HOLD_NS = 32 * HOLD_NS
TRUSTED_AFTER = 60
FORGIVEN_AFTER = 10
RTT_SLACK_MS = 10.0
"""A multiple of a very short RTT means little: less than this above what was expected is never bad."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A path as it is now.

    RTTs in milliseconds; losses are what is certain at least, 0..1; None: not measured.

    ``rtt_low_ms`` is the least of the last minute, ``link_loss_ratio`` that of the first hop before repair,
    ``loss_ratio`` end to end after repair.
    """

    alive: bool
    rtt_ms: float | None = None
    rtt_low_ms: float | None = None
    loss_ratio: float | None = None
    link_loss_ratio: float | None = None


Measure: TypeAlias = Callable[[Path], Figures | None]
"""Figures of a path to the route's destination for its class; None without a fresh sample."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``excess`` is the worst figure as a multiple of its bound, above 1: bad.

    ``reason`` says it in words.
    """

    excess: float
    reason: str

    @property
    def bad(self) -> bool:
        return self.excess > 1


@dataclass(frozen=True, slots=True)
class Move:
    """The agent's own change of the first path: away from one that is outside its bound, or back to it."""

    before: Path
    after: Path
    reason: str
    kind: Literal["bound", "recovered"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The order in force, and the move that was made just now, if any."""

    order: tuple[Path, ...]
    move: Move | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold-down: how long the path still has to be healthy, and why it was left or passed over."""

    left_ns: int
    reason: str


class Selector:
    """Remembers, for every destination and class, which paths were left, when and how often."""

    def __init__(self, held: Iterable[HeldPath] = (), now: int = 0) -> None:
        """Begin with the hold-downs of an earlier run, each to be served anew."""
        self._records: dict[tuple[NodeId, int], _Records] = {}
        for one in held:
            record = _Record(
                held_at=now, hold_ns=min(max(one.hold_ns, HOLD_NS), MAX_HOLD_NS), reason=one.reason
            )
            self._records.setdefault((one.destination, one.class_id), {})[one.path] = record

    def choose(self, route: Route, bound: Bound, measure: Measure, in_use: Path | None, now: int) -> Choice:
        """Return the order of ``route``'s paths from now on.

        ``in_use`` is the path that packets take; None: the first.
        """
        records = self._records.setdefault((route.destination, route.class_id), {})
        judge = Judge(route, bound, measure)
        before = _order(route.paths, records)
        if not before:
            return Choice(())
        released = _release(records, judge, now)
        order = _order(route.paths, records)
        current = in_use if in_use in order else order[0]
        move = _leave(records, order, current, judge, now)
        if move is None and order[0] in released and order[0] != before[0]:
            healthy_s = records[order[0]].hold_ns // 1_000_000_000
            move = Move(before[0], order[0], f"within its bound for {healthy_s} s again", "recovered")
        return Choice(_order(route.paths, records), move)

    def hold(self, destination: NodeId, class_id: int, path: Path) -> Hold | None:
        """Return the hold-down of ``path``, if there is one."""
        record = self._records.get((destination, class_id), {}).get(path)
        if record is None or record.held_at is None:
            return None
        return Hold(max(record.hold_ns - record.healthy_ns, 0), record.reason)

    def eventful(self) -> Iterable[tuple[NodeId, int]]:
        """Return the destinations and classes of which a path has a past: bad, held down or just back."""
        return [key for key, records in self._records.items() if records]

    def held(self) -> tuple[HeldPath, ...]:
        """Return all hold-downs, to be kept over a restart."""
        return tuple(
            HeldPath(destination, class_id, path, record.hold_ns, record.reason)
            for (destination, class_id), records in sorted(self._records.items())
            for path, record in sorted(records.items())
            if record.held_at is not None
        )

    def retain(self, keys: Container[tuple[NodeId, int]]) -> None:
        """Forget destinations and classes that are not in ``keys``."""
        self._records = {key: records for key, records in self._records.items() if key in keys}


class Judge:
    """Holds paths of one route against the bound of its class."""

    def __init__(self, route: Route, bound: Bound, measure: Measure) -> None:
        self._route = route
        self._bound = bound
        self._measure = cache(measure)

    def verdict(self, path: Path) -> Verdict | None:
        """Return how ``path`` stands; None if there is no fresh sample."""
        figures = self._measure(path) if path in self._route.paths else None
        if figures is None:
            return None
        if not figures.alive:
            return Verdict(_DEAD, "dead")
        verdicts = [
            self._rtt(path, figures),
            _loss(figures.loss_ratio, self._bound.loss_ratio, "after repair"),
            _loss(figures.link_loss_ratio, self._bound.link_loss_ratio, "on the first hop"),
        ]
        return max(verdicts, key=lambda verdict: verdict.excess)

    def _rtt(self, path: Path, figures: Figures) -> Verdict:
        rtt = figures.rtt_ms
        if rtt is None:
            return _WITHIN
        limits: list[tuple[float, str]] = []
        if self._bound.rtt_ms is not None:
            limits.append((self._bound.rtt_ms, ""))
        expected, source = self._expected(path, figures)
        if self._bound.rtt_factor is not None and expected is not None:
            limit = max(self._bound.rtt_factor * expected, expected + RTT_SLACK_MS)
            limits.append((limit, f" ({source} {expected:.1f} ms)"))
        if not limits:
            return _WITHIN
        limit, why = min(limits)
        return Verdict(rtt / limit if limit > 0 else 0.0, f"RTT {rtt:.1f} ms, bound {limit:.1f} ms{why}")

    def _expected(self, path: Path, figures: Figures) -> tuple[float | None, str]:
        """What the RTT is held against: the forecast the path was chosen with, else the best known."""
        for candidate in self._route.candidates:
            if candidate.path == path and candidate.forecast_rtt_ms is not None:
                return candidate.forecast_rtt_ms, "forecast"
        others = [other.rtt_ms for other in map(self._measure, self._route.paths) if other]
        known = [rtt for rtt in (*others, figures.rtt_low_ms) if rtt is not None]
        return min(known, default=None), "best known"


def _loss(ratio: float | None, bound: float | None, where: str) -> Verdict:
    if ratio is None or bound is None:
        return _WITHIN
    excess = ratio / bound if bound > 0 else float("inf") if ratio > 0 else 0.0
    return Verdict(excess, f"at least {100 * ratio:.1f} % lost {where}, bound {100 * bound:g} %")


@dataclass(slots=True)
class _Record:
    """The past of one path. Times in ns, None: not so. ``excess`` is that for which it is held down.

    ``healthy_since``: in each report since then. ``healthy_ns``: of the hold-down, but for short breaks.
    """

    bad_since: int | None = None
    broken_since: int | None = None
    healthy_since: int | None = None
    healthy_ns: int = 0
    seen_at: int = 0
    held_at: int | None = None
    returned_at: int | None = None
    hold_ns: int = HOLD_NS
    reason: str = ""
    excess: float = float("inf")

    def hold(self, verdict: Verdict, now: int) -> None:
        if self.held_at is not None:
            return
        relapsed = self.returned_at is not None and now - self.returned_at < FORGIVEN_AFTER * self.hold_ns
        self.hold_ns = min(2 * self.hold_ns, MAX_HOLD_NS) if relapsed else HOLD_NS
        self.held_at, self.healthy_since, self.bad_since = now, None, None
        self.healthy_ns, self.broken_since = 0, None
        self.reason, self.excess = verdict.reason, verdict.excess

    def look(self, verdict: Verdict | None, now: int) -> bool:
        """Count the time that a path which is held down is healthy; whether the hold-down is served."""
        if verdict is None or verdict.bad:
            self.healthy_since = None
        elif self.healthy_since is None:
            self.healthy_since = now
        else:
            self.healthy_ns += now - self.seen_at
        self.seen_at = now
        if verdict is None or not verdict.bad:
            self.broken_since = None
        elif self.broken_since is None:
            self.broken_since = now
        elif now - self.broken_since >= LEAVE_AFTER_NS:
            self.healthy_ns = 0
        return self.healthy_ns >= self.hold_ns

    def release(self, now: int) -> None:
        self.held_at, self.healthy_since, self.returned_at = None, None, now


_Records: TypeAlias = dict[Path, _Record]
_WITHIN = Verdict(0.0, "within its bound")
_UNMEASURED = Verdict(1.0, "not measured")
_DEAD = float("inf")


def _is_held(records: _Records, path: Path) -> bool:
    return path in records and records[path].held_at is not None


def _order(paths: tuple[Path, ...], records: _Records) -> tuple[Path, ...]:
    return tuple(sorted(paths, key=lambda path: _is_held(records, path)))


def _release(records: _Records, judge: Judge, now: int) -> set[Path]:
    """Lift the hold-downs that are served, forget what is long past; return what was lifted."""
    released: set[Path] = set()
    for path, record in list(records.items()):
        if record.held_at is None:
            if record.bad_since is None and now - (record.returned_at or 0) > FORGIVEN_AFTER * record.hold_ns:
                del records[path]
            continue
        if record.look(judge.verdict(path), now):
            record.release(now)
            released.add(path)
        elif record.healthy_since is None and now - record.held_at > 2 * MAX_HOLD_NS:
            del records[path]
    return released


def _leave(records: _Records, order: tuple[Path, ...], current: Path, judge: Judge, now: int) -> Move | None:
    """Leave ``current`` if it has been bad for long enough and something better is installed.

    What stands before it in the order, because the engine left it, is held down too once it lives and is
    bad: the engine would go back to it, knowing only that it answers.
    """
    ahead = order[: order.index(current)]
    lasting = _lasting(records, (*ahead, current), judge, now)
    for path in ahead:
        if (verdict := lasting.get(path)) is not None and verdict.excess < _DEAD:
            records[path].hold(verdict, now)
    verdict = lasting.get(current)
    if verdict is None or (_is_held(records, current) and not _is_held(records, order[0])):
        return None  # well, or left already: the engine is about to follow, or found the others dead
    held = {path: record for path, record in records.items() if record.held_at is not None}
    refuge = _refuge(order, current, verdict, judge, held, now)
    if refuge is None:
        return None
    for path in order[: order.index(refuge)]:
        records.setdefault(path, _Record()).hold(judge.verdict(path) or _UNMEASURED, now)
    records[current].hold(verdict, now)
    if (chosen := records.get(refuge)) and chosen.held_at is not None:
        chosen.release(now)
    return Move(current, refuge, verdict.reason, "bound")


def _lasting(records: _Records, judged: tuple[Path, ...], judge: Judge, now: int) -> dict[Path, Verdict]:
    """Return those of ``judged`` that have been bad for long enough; of all others the count begins anew."""
    for path, record in records.items():
        if path not in judged:
            record.bad_since = None
    lasting: dict[Path, Verdict] = {}
    for path in judged:
        verdict = judge.verdict(path)
        if verdict is None or not verdict.bad:
            if path in records:
                records[path].bad_since = None
            continue
        record = records.setdefault(path, _Record())
        if record.bad_since is None:
            record.bad_since = now
        if now - record.bad_since >= LEAVE_AFTER_NS:
            lasting[path] = verdict
    return lasting


def _refuge(
    order: tuple[Path, ...], current: Path, verdict: Verdict, judge: Judge, held: _Records, now: int
) -> Path | None:
    """Where to go from ``current``; what is held down has to be better for longer, or by more."""

    def well_enough(path: Path, other: Verdict | None) -> bool:
        record = held.get(path)
        if record is None or other is None or max(record.excess, other.excess) <= verdict.excess / 4:
            return True
        return (
            record.healthy_since is not None and now - record.healthy_since >= record.hold_ns // TRUSTED_AFTER
        )

    others = [(path, judge.verdict(path)) for path in order if path != current]
    others = [(path, other) for path, other in others if well_enough(path, other)]
    within = [path for path, other in others if other is not None and not other.bad]
    unmeasured = [path for path, other in others if other is None]
    better = [path for path, other in others if other is not None and other.excess <= verdict.excess / 2]
    return next(iter(within + unmeasured + better), None)
