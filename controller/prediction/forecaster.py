"""The forecaster of one horizon: samples in, distributions out, learning as horizons pass. Pure.

`series` holds the samples, `state` says what is long-lived and what is an episode, `outlook` what to expect
of that, `spread` how sure that is, `tail` how far it may go, `lossy` the probability of loss. Strictly
causal: a frame is learned from only when it has been observed.
"""

from dataclasses import dataclass

import numpy as np

from controller.prediction.lossy import LossOutlook
from controller.prediction.outlook import Horizon, Outlook
from controller.prediction.series import Series
from controller.prediction.spread import Spread, scale_of
from controller.prediction.state import Profile, State, features_of
from controller.prediction.statistics import mean_of
from controller.prediction.tail import WINDOWS, Tail
from controller.topology.links import F32

CAPACITY_S = 6 * 3600.0
LEAST_FRAMES = 64
MOST_FRAMES = 4000
MEMORY = 512 * 2**20
"""Frames are kept for six hours, within this many bytes."""
PROFILE_EVERY_S = 600.0
PROFILE_GROWTH = 1.15
"""The long run is looked at anew after this time; while it is short, whenever it grew so much."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """[from, to]: the mean RTT of the horizon, ms: expected value and quantiles. ``base_ms`` is what a link
    is like while nothing happens. ``lossy`` is the probability of a moment with more than one percent of
    loss, ``loss`` the expected ratio.
    """

    expected_ms: F32
    q50_ms: F32
    q80_ms: F32
    q90_ms: F32
    lossy: F32
    loss: F32
    base_ms: F32


class Forecaster:
    """Fed with every frame of fresh samples; asked for the distributions of its horizon at any time.
    ``learned`` counts the forecasts that came due.
    """

    def __init__(self, nodes: int, horizon: Horizon) -> None:
        self.horizon = horizon
        self.series = Series(nodes, horizon.frame_s, self._capacity(nodes))
        self.outlook = Outlook(horizon)
        self.loss = LossOutlook(horizon)
        self.spread = Spread()
        self.tail = Tail(nodes)
        self._profile: Profile | None = None
        self._profiled = 0
        self.learned = 0
        self._told: dict[int, tuple[F32, F32]] = {}

    @property
    def frame(self) -> int:
        """The number of the newest frame; −1 before the first."""
        return self.series.appended - 1

    def observe(self, rtt_ms: F32, loss: F32 | None = None) -> None:
        """Take in the next frame, NaN where a link has no fresh sample, and learn from what came due."""
        self.series.append(rtt_ms, loss)
        for frame in self.outlook.due(self.frame):
            paid = self.paid(frame)
            expected, scale = self._told.pop(frame)
            *_, q90 = self.spread.quantiles(expected, scale)
            self.tail.learn(paid, q90, self._recent(frame))
            self.spread.learn(paid, expected, scale)
            self.outlook.learn(paid)
            self.loss.learn(self._window(self.series.loss, frame))
            self.learned += 1

    def paid(self, frame: int) -> F32:
        """Return the mean RTT of the horizon of ``frame``, which has passed."""
        return mean_of(self._window(self.series.rtt_ms, frame))

    def forecast(self) -> Distribution:
        """Return what to expect of the horizon that begins now, and remember it to learn from."""
        profile = self._current_profile()
        features = features_of(profile, State.of(self.series, profile))
        scale = scale_of(profile, features)
        expected = self.outlook.expect(features, profile.base_ms)
        lossy, loss = self.loss.expect(self.series)
        if self.frame not in self._told:
            self.outlook.promise(self.frame, features, profile.base_ms)
            self.loss.promise(self.series)
            self._told[self.frame] = (expected, scale)
        q50, q80, q90 = self.spread.quantiles(expected, scale)
        q90 = np.fmax(q80, self.tail.quantile(q90, self._recent(self.frame)))
        return Distribution(expected, q50, q80, q90, lossy, loss, profile.base_ms)

    def grow(self, nodes: int) -> None:
        """Nodes were added behind those there are."""
        self._forget()
        self.series.grow(nodes)
        self.series.capacity = self._capacity(nodes)
        self.tail.grow(nodes)

    def shrink(self, index: int) -> None:
        """The node at ``index`` is gone; later ones move down."""
        self._forget()
        self.series.shrink(index)
        self.tail.shrink(index)

    def _forget(self) -> None:
        """What is open cannot be compared with other nodes; what was learned stays."""
        self.outlook.forget_promises()
        self.loss.forget_promises()
        self._told.clear()
        self._profile, self._profiled = None, 0

    def _capacity(self, nodes: int) -> int:
        affordable = MEMORY // max(1, 8 * nodes * nodes)
        wanted = int(CAPACITY_S / self.horizon.frame_s)
        return max(min(wanted, affordable, MOST_FRAMES), LEAST_FRAMES, 2 * self.horizon.last + 2)

    def _current_profile(self) -> Profile:
        due = max(
            min(
                self._profiled + self.series.frames_of(PROFILE_EVERY_S),
                int(self._profiled * PROFILE_GROWTH) + 1,
            ),
            self._profiled + 1,
        )
        if self._profile is None or self.series.appended >= due:
            self._profile, self._profiled = Profile.of(self.series), self.series.appended
        return self._profile

    def _window(self, samples: F32, frame: int) -> F32:
        begin = self._place(frame) + self.horizon.first
        return samples[max(0, begin) : begin + self.horizon.last - self.horizon.first + 1]

    def _recent(self, frame: int) -> F32:
        """Return the samples up to that frame that the tail looks at."""
        end = self._place(frame) + 1
        return self.series.rtt_ms[max(0, end - max(WINDOWS)) : max(0, end)]

    def _place(self, frame: int) -> int:
        return frame - (self.series.appended - len(self.series))
