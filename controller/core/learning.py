"""The learned forecast beside live telemetry, and what experience leaves of its promises. Pure.

Each closed bin of the topology is a frame of the forecaster. Until enough horizons have passed, and in meshes
too large to learn from between two events, the plain quantiles of `prediction.predictor` stand alone.
"""

from collections import deque
from dataclasses import replace

import numpy as np

from controller.planner.search import Relays
from controller.planner.trust import Trust
from controller.prediction.forecast import Forecast
from controller.prediction.forecaster import Distribution, Forecaster
from controller.prediction.outlook import Horizon
from controller.topology.links import F32, Topology

HORIZON_S = (300.0, 600.0)
READY_PROMISES = 40
"""Forecasts that must have come due before one counts."""
MOST_NODES = 200
"""Above, a forecast would hold up the machine (200 nodes: about a quarter of a second, each bin)."""


class Learner:
    """A forecaster and the trust in the paths that were chosen by it."""

    def __init__(self, nodes: int, horizon: Horizon) -> None:
        self.forecaster = Forecaster(nodes, horizon)
        self.trust = Trust()
        self._told: Distribution | None = None
        self._open: deque[int] = deque()
        self._learned = -horizon.last

    def observe(self, rtt_ms: F32, loss: F32 | None) -> None:
        """Take in the next frame, NaN where there is no fresh sample, and learn from what came due."""
        self.forecaster.observe(rtt_ms, loss)
        while self._open and self._open[0] + self.forecaster.horizon.last <= self.forecaster.frame:
            frame = self._open.popleft()
            news = self.forecaster.horizon.news(frame - self._learned)
            self._learned = frame
            self.trust.learn(self.forecaster.paid(frame), news)

    @property
    def told(self) -> Distribution | None:
        """The newest forecast."""
        return self._told

    def forecast(self) -> Distribution:
        """Return what to expect of the horizon that begins now."""
        self._told = self.forecaster.forecast()
        return self._told

    def promise(self, relays: Relays) -> None:
        """Note the best path of each pair by the newest forecast; once a frame."""
        frame = self.forecaster.frame
        if self._told is not None and (not self._open or self._open[-1] != frame):
            self.trust.promise(relays, self._told.expected_ms)
            self._open.append(frame)

    def forget_promises(self) -> None:
        """The set of nodes changed: what is open cannot be compared any more."""
        self._told = None
        self._open.clear()
        self.trust.forget_promises()


class Learning:
    """Feeds a :class:`Learner` from the topology."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        bin_s = topology.bin_ns / 1e9
        first = max(1, round(HORIZON_S[0] / bin_s))
        self._learner = Learner(0, Horizon(first, max(first, round(HORIZON_S[1] / bin_s)), bin_s))
        self._closed: int | None = None

    @property
    def ready(self) -> bool:
        """Whether enough was learned for the forecast to count."""
        return self._learner.forecaster.learned >= READY_PROMISES and len(self._topology) <= MOST_NODES

    def grow(self) -> None:
        """Nodes were added to the topology."""
        self._learner.forget_promises()
        if len(self._topology) <= MOST_NODES:
            self._learner.forecaster.grow(len(self._topology))

    def shrink(self, index: int) -> None:
        """The node that had ``index`` was removed from the topology."""
        self._learner.forget_promises()
        forecaster = self._learner.forecaster
        if index < forecaster.series.nodes:
            forecaster.shrink(index)
        if forecaster.series.nodes < len(self._topology) <= MOST_NODES:
            forecaster.grow(len(self._topology))

    def refine(self, forecast: Forecast, now_ns: int) -> Forecast:
        """Return the forecast with what was learned. An episode that counts is believed at once."""
        if len(self._topology) > MOST_NODES:
            return forecast
        if self._close_bins(now_ns) and len(self._learner.forecaster.series):
            self._learner.forecast()
        told = self._learner.told
        if told is None or not self.ready:
            return forecast
        q80 = forecast.rtt_q80_ms
        bad = (forecast.held_ns > 0) | np.isnan(told.expected_ms)
        expected = np.where(bad, np.fmax(told.expected_ms, q80), told.expected_ms)
        share = self._learner.trust.share
        return replace(forecast, learned_ms=expected, base_ms=told.base_ms, trust=share)

    def promise(self, relays: Relays) -> None:
        """Note the best paths of a decision that was made with the newest forecast."""
        if len(relays) == self._learner.forecaster.series.nodes:
            self._learner.promise(relays)

    def _close_bins(self, now_ns: int) -> bool:
        """Hand over the bins that have ended; return whether there were any."""
        topology, newest = self._topology, now_ns // self._topology.bin_ns - 1
        if self._closed is None:
            self._closed = newest - 1
        first = max(self._closed + 1, newest - topology.bins + 2)
        for number in range(first, newest + 1):
            column = number % topology.bins
            held = topology.history.bin_of[:, column] == number
            rtt, out, back = (
                np.where(held[:, None], values[:, :, column], np.float32(np.nan))
                for values in (topology.history.rtt_ms, topology.history.loss_out, topology.history.loss_in)
            )
            self._learner.observe(np.fmax(rtt, rtt.T), np.fmax(out, back.T))
        closed, self._closed = newest > self._closed, max(newest, self._closed)
        return closed
