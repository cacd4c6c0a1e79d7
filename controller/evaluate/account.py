"""What routes are worth: the RTT they paid minutes later, and the figures made of that. Pure.

A route of a pair is at most two relays; it pays the mean RTT of its links in the horizon and a cost per
relay. A pair whose direct link, or any link of its route, has no fresh sample in the horizon is left out.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.evaluate.trace import Trace
from controller.planner.search import Relays, path_sum
from controller.topology.links import F32, Bool

F64 = NDArray[np.float64]

WORSE_MS = 1.0
LOSSY = 0.01
DECIDE_EVERY_S = 90.0
FOLDS = 5
RESAMPLES = 400
BLOCK_S = 600.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Frames at which is decided, and the frames after each that pay: ``first`` to ``last``, inclusive."""

    decisions: tuple[int, ...]
    step: int
    first: int
    last: int
    frame_s: float

    @classmethod
    def of(cls, trace: Trace, frames: range, horizon_s: tuple[float, float]) -> "Schedule":
        """Decide every 90 s, or every frame where frames are longer; the horizon is ``horizon_s`` ahead, or
        the next frame where no frame lies in it.
        """
        first = max(1, int(np.ceil(horizon_s[0] / trace.frame_s - 1e-9)))
        last = int(np.floor(horizon_s[1] / trace.frame_s + 1e-9))
        if last < first:
            first = last = max(1, last)
        step = max(1, round(DECIDE_EVERY_S / trace.frame_s))
        end = min(frames.stop, trace.frames - last)
        return cls(tuple(range(frames.start, end, step)), step, first, last, trace.frame_s)

    @property
    def block(self) -> int:
        """How many decisions in a row are drawn together: their horizons overlap."""
        return max(1, int(np.ceil(max(BLOCK_S, self.last * self.frame_s) / (self.step * self.frame_s))))


@dataclass(frozen=True, slots=True)
class Payoff:
    """What each link [from, to] did in one horizon: mean RTT (ms), mean loss; and the loss of each frame."""

    rtt_ms: F32
    loss: F32 | None
    losses: F32 | None

    @classmethod
    def after(cls, trace: Trace, schedule: Schedule, frame: int) -> "Payoff":
        window = slice(frame + schedule.first, frame + schedule.last + 1)
        rtt = mean_of(trace.rtt_ms[window])
        if trace.loss is None:
            return cls(rtt, None, None)
        losses = trace.loss[window]
        return cls(rtt, mean_of(losses), losses)

    def lossy(self, relays: Relays) -> F32:
        """Return for each pair the share of the horizon in which its path lost more than one percent."""
        if self.losses is None:
            return np.full(self.rtt_ms.shape, np.nan, np.float32)
        total = np.zeros(self.rtt_ms.shape, np.float32)
        seen = np.zeros(self.rtt_ms.shape, np.float32)
        for loss in self.losses:
            through = np.log1p(-np.minimum(loss, 0.9999))
            lost = -np.expm1(path_sum(through, through, relays, 0.0))
            with np.errstate(invalid="ignore"):
                total += lost > LOSSY
            seen += ~np.isnan(lost)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(seen > 0, total / seen, np.nan).astype(np.float32)


def mean_of(samples: F32) -> F32:
    """Return the mean over the first axis of what is no NaN; NaN where nothing is."""
    known = ~np.isnan(samples)
    with np.errstate(invalid="ignore"):
        return (np.where(known, samples, 0.0).sum(axis=0) / known.sum(axis=0)).astype(np.float32)


@dataclass(slots=True)
class Account:
    """Books of one way to choose; a row per decision."""

    relay_cost_ms: float
    paid: list[float] = field(default_factory=list[float])
    direct: list[float] = field(default_factory=list[float])
    pairs: list[int] = field(default_factory=list[int])
    worse: list[int] = field(default_factory=list[int])
    changed: list[float] = field(default_factory=list[float])
    stale: list[float] = field(default_factory=list[float])
    lossy: list[float] = field(default_factory=list[float])
    _before: Relays | None = None

    def book(self, relays: Relays, payoff: Payoff) -> None:
        """Take in the routes of one decision and what came of them."""
        ends = ~np.eye(len(relays), dtype=np.bool_)
        rtt = payoff.rtt_ms
        paid = path_sum(rtt, rtt, relays, self.relay_cost_ms)
        counts: Bool = ends & np.isfinite(paid) & np.isfinite(rtt)
        self.pairs.append(int(counts.sum()))
        self.paid.append(float(paid[counts].sum(dtype=np.float64)))
        self.direct.append(float(rtt[counts].sum(dtype=np.float64)))
        self.worse.append(int((paid[counts] > rtt[counts] + WORSE_MS).sum()))
        self.stale.append(1.0 - counts.sum() / max(1, ends.sum()))
        if payoff.losses is not None:
            self.lossy.append(float(payoff.lossy(relays)[counts].sum(dtype=np.float64)))
        if self._before is not None:
            moved = (relays != self._before).any(axis=-1)
            self.changed.append(float(moved[ends].mean()) if ends.any() else 0.0)
        self._before = relays.copy()

    def figures(self, schedule: Schedule) -> dict[str, Any]:
        """Return the account as the report has it."""
        paid, direct, pairs = (np.array(rows, np.float64) for rows in (self.paid, self.direct, self.pairs))
        return {
            "direct_ms": _ratio(direct.sum(), pairs.sum()),
            "chosen_ms": _ratio(paid.sum(), pairs.sum()),
            "cut_vs_direct_pct": cut_pct(paid, direct),
            "cut_ci95": _interval(paid, direct, schedule.block),
            "routes_changed_pct_per_decision": 100.0 * float(np.mean(self.changed)) if self.changed else 0.0,
            "pairs_worse_pct": 100.0 * (_ratio(float(sum(self.worse)), pairs.sum()) or 0.0),
            "stale_share": float(np.mean(self.stale)) if self.stale else 0.0,
            "lossy_pair_minutes_pct": _percent(_ratio(sum(self.lossy), pairs.sum())) if self.lossy else None,
        }

    def folds(self) -> list[float | None]:
        """Return the cut in each of some stretches of equal length, in their order."""
        parts = np.array_split(np.arange(len(self.paid)), min(FOLDS, max(1, len(self.paid))))
        paid, direct = np.array(self.paid), np.array(self.direct)
        return [cut_pct(paid[part], direct[part]) for part in parts]


def cut_pct(paid: F64, direct: F64) -> float | None:
    """Return by how many percent the mean paid is below the mean direct; None without any pair."""
    share = _ratio(float(paid.sum()), float(direct.sum()))
    return None if share is None else 100.0 * (1.0 - share)


def _interval(paid: F64, direct: F64, block: int) -> list[float] | None:
    """Return the 95 % interval of the cut, by drawing blocks of decisions in a row."""
    if direct.sum() <= 0.0:
        return None
    rows, random = len(paid), np.random.default_rng(0)
    block = min(block, rows)
    starts = random.integers(0, rows - block + 1, (RESAMPLES, -(-rows // block)))
    drawn = (starts[:, :, None] + np.arange(block)).reshape(RESAMPLES, -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cuts = 100.0 * (1.0 - paid[drawn].sum(axis=1) / direct[drawn].sum(axis=1))
    cuts = cuts[np.isfinite(cuts)]
    return [float(q) for q in np.quantile(cuts, (0.025, 0.975))] if len(cuts) else None


def _ratio(above: float, below: float) -> float | None:
    return float(above / below) if below > 0 else None


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share
