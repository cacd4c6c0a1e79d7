"""A trace replayed through the shipped forecaster and planner, decision by decision. Pure.

At each decision only the frames up to it have been seen. What is learned is learned as horizons pass.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from controller.core.learning import Learner
from controller.evaluate.account import Account, Payoff, Schedule, mean_of
from controller.evaluate.baselines import (
    MARGIN,
    SHARE,
    Chooser,
    direct,
    latest,
    long_q80,
    rolling_q80,
)
from controller.evaluate.liveness import Liveness
from controller.evaluate.search import cheapest
from controller.evaluate.trace import Trace
from controller.planner.plan import plan
from controller.planner.search import ABSENT, NONE, SECOND_RELAYS, Relays
from controller.planner.table import RouteTable
from controller.prediction.forecast import Forecast
from controller.prediction.forecaster import Distribution
from controller.prediction.outlook import Horizon
from controller.topology.links import F32, Bool, Vertex
from overlayd.model.ids import NodeId
from overlayd.model.service import Bound, Objective, ServiceClass

KNOWN_FRAMES = 3
SECOND_NS = 1_000_000_000
Report: TypeAlias = dict[str, Any]
"""What is printed, by the names of `docs/evaluation.md`; shares 0..1, `pct` 0..100, `ms`."""
NO_BOUND = Bound(None, None, None, None)


class Brain:
    """The product as the evaluation runs it: a frame in, the routes of one class out."""

    def __init__(self, nodes: int, horizon: Horizon, objective: Objective) -> None:
        self._learner = Learner(nodes, horizon)
        self.forecaster = self._learner.forecaster
        self._liveness = Liveness(nodes)
        self._vertices = tuple(Vertex(NodeId(i + 1), f"n{i}", True) for i in range(nodes))
        self._services = (ServiceClass("evaluated", objective, NO_BOUND),)
        self._table = RouteTable.empty(1, nodes)
        self.alive: Bool = np.ones(nodes, np.bool_)
        self.told: Distribution | None = None

    def observe(self, rtt_ms: F32, loss: F32 | None) -> None:
        """Take in the next frame, NaN where there is no fresh sample."""
        self.alive = self._liveness.observe(rtt_ms)
        living = rtt_ms.copy()
        living[~self.alive] = np.nan
        living[:, ~self.alive] = np.nan
        self._learner.observe(living, loss)

    def decide(self) -> Relays:
        """Return the primaries from now on; a pair without any path counts as direct."""
        told = self.told = self._learner.forecast()
        series = self.forecaster.series
        fresh = ~np.isnan(series.rtt_ms[-KNOWN_FRAMES:]).all(axis=0)
        # A link without news is no way for others. That it is down was not said: as the direct one it stays.
        known = np.isfinite(told.expected_ms) & self.alive[:, None] & self.alive[None, :]
        n = len(known)
        forecast = Forecast(
            rtt_q50_ms=told.q50_ms,
            rtt_q80_ms=told.q80_ms,
            rtt_q90_ms=told.q90_ms,
            loss_q90=told.loss,
            measured_rtt_ms=series.rtt_ms[-1],
            measured_loss=series.loss[-1],
            known=known,
            confirmed=fresh & known,
            down=np.zeros((n, n), np.bool_),
            alive=self.alive,
            held_ns=np.zeros((n, n), np.int64),
            learned_ms=told.expected_ms,
            learned_lossy=told.lossy,
            base_ms=told.base_ms,
            trust=self._learner.trust.share,
        )
        now_ns = int(self.forecaster.frame * series.frame_s * SECOND_NS)
        made = plan(self._vertices, self._services, forecast, self._table, now_ns, back_up=False)
        self._table = made.table
        self._learner.promise(made.classes[0].ideal.relays)
        relays = made.table.relays[0, :, :, 0]
        return np.where(relays[..., :1] == ABSENT, np.int16(NONE), relays)


@dataclass(slots=True)
class Calibration:
    """How often the horizon stayed below the q80, and pinball losses of it and of a rolling quantile."""

    below: int = 0
    seen: int = 0
    ours: float = 0.0
    rolling: float = 0.0

    def book(self, q80_ms: F32, rolling_ms: F32, paid_ms: F32) -> None:
        counts = np.isfinite(q80_ms) & np.isfinite(rolling_ms) & np.isfinite(paid_ms)
        np.fill_diagonal(counts, False)
        paid = paid_ms[counts].astype(np.float64)
        self.seen += len(paid)
        self.below += int((paid <= q80_ms[counts]).sum())
        self.ours += _pinball(paid - q80_ms[counts])
        self.rolling += _pinball(paid - rolling_ms[counts])


def evaluate(
    trace: Trace,
    frames: range,
    train: range,
    horizon_s: tuple[float, float],
    objective: Objective,
    relay_cost_ms: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Report:
    """Return the report on ``frames``, after learning from ``train`` (which ends before)."""
    begun = clock()
    schedule = Schedule.of(trace, frames, horizon_s)
    horizon = Horizon(schedule.first, schedule.last, trace.frame_s)
    brain = Brain(trace.nodes, horizon, objective)
    by_loss = objective is Objective.RELIABILITY and trace.loss is not None
    step = schedule.step
    choosers = {
        "current_best": Chooser(latest, relay_cost_ms),
        "current_best_m10": Chooser(latest, relay_cost_ms, MARGIN),
        "rolling_q80": Chooser(rolling_q80, relay_cost_ms),
        "long_q80": Chooser(long_q80, relay_cost_ms, every=8),
    }
    accounts = {
        name: Account(relay_cost_ms) for name in ("chosen", "oracle", "least_lossy", "direct", *choosers)
    }
    calibration = Calibration()
    nothing = np.full((trace.nodes, trace.nodes), np.nan, np.float32)
    decisions = set(schedule.decisions)
    for frame in range(min(train.start, frames.start) if len(train) else frames.start, frames.stop):
        seen = frame in train or frame in frames
        loss = None if trace.loss is None or not seen else trace.loss[frame]
        brain.observe(trace.rtt_ms[frame] if seen else nothing, loss)
        if frame not in decisions:
            if seen and frame < frames.start and (frames.start - frame) % step == 0:
                brain.decide()
            continue
        payoff = Payoff.after(trace, schedule, frame)
        accounts["chosen"].book(brain.decide(), payoff)
        accounts["direct"].book(direct(trace.nodes), payoff)
        series = brain.forecaster.series
        for name, chooser in choosers.items():
            accounts[name].book(chooser.choose(series, brain.alive, by_loss), payoff)
        accounts["oracle"].book(
            _direct_where_none(cheapest(payoff.rtt_ms, relay_cost_ms, SECOND_RELAYS)[1]), payoff
        )
        if payoff.losses is not None:
            accounts["least_lossy"].book(_least_lossy(payoff), payoff)
        assert brain.told is not None
        calibration.book(brain.told.q80_ms, rolling_q80(series, brain.alive)[0], payoff.rtt_ms)
    return _report(accounts, schedule, calibration, clock() - begun)


def _report(
    accounts: dict[str, Account], schedule: Schedule, calibration: Calibration, seconds: float
) -> Report:
    figures = {name: account.figures(schedule) for name, account in accounts.items()}
    chosen, oracle = figures["chosen"], figures["oracle"]
    cut, limit = chosen["cut_vs_direct_pct"], oracle["cut_vs_direct_pct"]
    lossy = {
        "direct": figures["direct"]["lossy_pair_minutes_pct"],
        "chosen": chosen["lossy_pair_minutes_pct"],
        "oracle": figures["least_lossy"]["lossy_pair_minutes_pct"],
    }
    names = ("direct", "current_best", "current_best_m10", "rolling_q80", "long_q80")
    return {
        "pairs": max(accounts["chosen"].pairs, default=0),
        "decisions": len(schedule.decisions),
        **{name: value for name, value in chosen.items() if name != "lossy_pair_minutes_pct"},
        "oracle_cut_pct": limit,
        "share_of_oracle": cut / limit
        if isinstance(cut, float) and isinstance(limit, float) and limit > 0
        else None,
        "lossy_pair_minutes_pct": lossy,
        "baselines": {name: figures[name] for name in names},
        "by_fold": accounts["chosen"].folds(),
        "q80_coverage": calibration.below / calibration.seen if calibration.seen else None,
        "pinball_vs_rolling_pct": 100.0 * (calibration.ours / calibration.rolling - 1.0)
        if calibration.rolling > 0
        else None,
        "seconds": seconds,
    }


def _least_lossy(payoff: Payoff) -> Relays:
    """Return the paths with the least time of loss: the limit of any chooser."""
    assert payoff.losses is not None and payoff.loss is not None
    share = mean_of(np.where(np.isnan(payoff.losses), np.nan, payoff.losses > 0.01).astype(np.float32))
    cost = 1000.0 * share + 1000.0 * payoff.loss + 0.001 * payoff.rtt_ms
    return _direct_where_none(cheapest(cost.astype(np.float32), 0.002, SECOND_RELAYS)[1])


def _direct_where_none(relays: Relays) -> Relays:
    return np.where(relays[..., :1] == ABSENT, np.int16(NONE), relays)


def _pinball(error: np.ndarray) -> float:
    return float(np.maximum(SHARE * error, (SHARE - 1.0) * error).sum())
