"""What a link is like in the long run, and the episode it is in now, at an end or in the middle. Pure.

*Profile:* what hours say. The base is what a link measures while nothing happens: the mean of what lies
within its own noise above its low quantile, once what the links of an end have in common is taken off. What
happens adds only, so that the low samples tell. Where a frame is longer than an episode, the past's mean is
all there is to know.

*State:* what the last samples lie above the base. Links that share an end are compared: what most links of a
node have in common is at that end, the rest is in the middle. Less than a link's usual noise is nothing, and
what only one direction of a pair measures is nothing either: both measure the same round trip.
"""

from dataclasses import dataclass

import numpy as np

from controller.prediction.pattern import pattern_of
from controller.prediction.series import Series
from controller.prediction.statistics import at_ends, ends_of, mean_of, quantiles_of
from controller.topology.links import F32

PROFILE_S = 6 * 3600.0
PROFILE_SAMPLES = 240
PROFILE_VALUES = 12_000_000
"""The long run: at most so many samples, evenly out of that time; fewer where there are many links."""
QUANTILES = (0.1, 0.5)
NOISE_QUANTILE = 0.8
BASE_NOISES = 4.0
BASE_LEAST_MS = 2.0
"""A sample so far above the low quantile is still the base."""
PASSES = 2
EPISODE_S = 1000.0
"""An episode of which no more is known lasts about that much longer."""
EPISODES_TO_TELL = 10.0
"""How much of its own history a link needs before that counts half beside that of all."""

RECENT_S = 60.0
RECENT_FRAMES = 3
LASTING_S = 1800.0
LASTING_SAMPLES = 20
LASTING_SHARE = 0.25
"""What was there for all but this share of that time may be there to stay."""
END_MS = 2.0
MIDDLE_MS = 3.0
NOISES = 3.0
"""At an end an episode adds at least so much; in a middle so much, and so many times the usual noise."""
FEATURES = (
    "end_above", "end_below", "middle_above", "middle_below", "lasting",
    "mean", "usual", "trouble", "pattern",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """[from, to], ms: the long run; NaN where there was no sample.

    ``spread_ms`` is how far samples are from their median on average, ``noise_ms`` a usual step from one to
    the next. ``mean_ms`` is without what the ends added;
    ``trouble_ms`` [node] is what an end added on average, ``usual_ms`` what all links had above their base;
    ``pattern_ms`` what the other links let expect of the mean (low rank). ``own`` (0..1) is what a link's
    own past counts beside that of all.
    """

    base_ms: F32
    spread_ms: F32
    mean_ms: F32
    noise_ms: F32
    pattern_ms: F32
    trouble_ms: F32
    usual_ms: float
    own: float

    @classmethod
    def of(cls, series: Series) -> "Profile":
        frames = min(len(series), series.frames_of(PROFILE_S))
        most = int(min(PROFILE_SAMPLES, max(16, PROFILE_VALUES // max(1, series.nodes**2))))
        stride = -(-frames // most)
        samples = series.rtt_ms[len(series) - frames :][::-1][::stride][::-1]
        noise = _noise(samples)
        q10, q50 = quantiles_of(samples, QUANTILES)
        spread = mean_of(np.abs(samples - q50))
        if series.frame_s >= EPISODE_S:  # episodes come and go between two frames
            mean, none = mean_of(samples), np.zeros(series.nodes, np.float32)
            return cls(mean, spread, mean, noise, pattern_of(mean), none, 0.0, 1.0)
        base = q10
        reach = np.maximum(np.float32(BASE_LEAST_MS), np.float32(BASE_NOISES) * noise)
        clean, ends = samples, np.zeros(samples.shape[:2], np.float32)
        for _ in range(PASSES):
            ends = ends_of(samples - base)
            ends = np.where(np.abs(ends) > END_MS, ends, np.float32(0.0))
            clean = samples - at_ends(ends)
            (low,) = quantiles_of(clean, QUANTILES[:1])
            with np.errstate(invalid="ignore"):
                base = mean_of(np.where(clean <= low + reach, clean, np.float32(np.nan)))
        mean = mean_of(clean)
        trouble = np.maximum(ends, 0.0).mean(axis=0)
        above = mean - base
        known = np.isfinite(above)
        usual = float(above[known].mean() + 2.0 * trouble.mean()) if known.any() else 0.0
        episodes = frames * series.frame_s / EPISODE_S
        own = episodes / (episodes + EPISODES_TO_TELL)
        return cls(base, spread, mean, noise, pattern_of(mean), trouble, usual, own)


@dataclass(frozen=True, slots=True)
class State:
    """ms above the base: ``end`` [node], ``middle`` [from, to]; 0 where nothing is out of the ordinary.
    ``lasting`` [from, to] is what was there for most of the last half hour as well.
    """

    end_ms: F32
    middle_ms: F32
    lasting_ms: F32

    @classmethod
    def of(cls, series: Series, profile: Profile) -> "State":
        if series.frame_s >= EPISODE_S:
            nothing = np.zeros((series.nodes, series.nodes), np.float32)
            return cls(nothing[0], nothing, nothing)
        recent = min(RECENT_FRAMES, series.frames_of(RECENT_S))
        (lately,) = quantiles_of(series.rtt_ms[-recent:], (0.5,))
        last = series.rtt_ms[-1]
        # What both directions measured, each on its own, counts at once; what was measured once has to last.
        with np.errstate(invalid="ignore"):
            apart = np.isfinite(last) & np.isfinite(last.T) & (last != last.T)
        above = np.where(apart, last, lately) - profile.base_ms
        end = ends_of(above[None])[0]
        end = np.where(np.abs(end) > END_MS, end, np.float32(0.0))
        rest = above - at_ends(end)
        agreed = np.where(
            np.sign(rest) == np.sign(rest.T), np.sign(rest) * np.minimum(np.abs(rest), np.abs(rest.T)), 0.0
        )
        agreed = np.where(np.isnan(rest.T), rest, np.where(np.isnan(rest), rest.T, agreed))
        with np.errstate(invalid="ignore"):
            middle = np.where(np.abs(agreed) > np.maximum(MIDDLE_MS, NOISES * profile.noise_ms), agreed, 0.0)
        middle = np.nan_to_num(middle).astype(np.float32)
        return cls(end, middle, _lasting(series, profile, at_ends(end), middle))


def _lasting(series: Series, profile: Profile, ends: F32, middle: F32) -> F32:
    """Return how much of ``middle`` (ms above base and ends) was there for most of the last half hour."""
    frames = series.frames_of(LASTING_S)
    if len(series) < 2 * frames:  # the base itself is no older
        return np.zeros_like(middle)
    window = series.rtt_ms[-frames :: max(1, frames // LASTING_SAMPLES)]
    (stood,) = quantiles_of(window, (LASTING_SHARE,))
    return np.clip(np.nan_to_num(stood - profile.base_ms - ends), 0.0, np.maximum(middle, 0.0))


def features_of(profile: Profile, state: State) -> F32:
    """Return [from, to, feature], ms, in the order of :data:`FEATURES`: what may be added to the base."""
    base = profile.base_ms
    columns = (
        at_ends(np.maximum(state.end_ms, 0.0)),
        at_ends(np.minimum(state.end_ms, 0.0)),
        np.maximum(state.middle_ms, 0.0),
        np.minimum(state.middle_ms, 0.0),
        state.lasting_ms,
        profile.own * (profile.mean_ms - base),
        np.full_like(base, (1.0 - profile.own) * profile.usual_ms),
        at_ends(profile.trouble_ms),
        profile.pattern_ms - base,
    )
    return np.nan_to_num(np.stack(columns, axis=-1)).astype(np.float32)


def _noise(samples: F32) -> F32:
    """Return a usual step from one sample to the next, of those that differ, the larger of both ways."""
    if len(samples) < 2:
        return np.zeros(samples.shape[1:], np.float32)
    steps = np.abs(np.diff(samples, axis=0))
    (noise,) = quantiles_of(np.where(steps > 0.0, steps, np.float32(np.nan)), (NOISE_QUANTILE,))
    return np.nan_to_num(np.fmax(noise, noise.T))
