"""What a link is like in the long run, and the episode it is in now, at an end or in the middle. Pure.

*Profile:* quantiles and mean over hours. The base is the 35th percentile: episodes take some of the time, and
add only.

*State:* what the last samples lie above the base. Links that share an end are compared: what most links of a
node have in common is at that end, the rest is in the middle. Less than a link's usual noise is nothing, and
what only one direction of a pair measures is nothing either: both measure the same round trip.
"""

from dataclasses import dataclass

import numpy as np

from controller.prediction.series import Series
from controller.topology.links import F32

PROFILE_S = 6 * 3600.0
PROFILE_SAMPLES = 240
"""The long run: at most so many samples, evenly out of that time."""
QUANTILES = (0.2, 0.35, 0.5, 0.8, 0.9)
NOISE_QUANTILE = 0.8
RANK = 6
NODES_PER_RANK = 8

RECENT_S = 60.0
RECENT_FRAMES = 3
END_MS = 2.0
MIDDLE_MS = 3.0
NOISES = 3.0
"""At an end an episode adds at least so much; in a middle so much, and so many times the usual noise."""
LEAST_LINKS = 3
FEATURES = ("end_above", "end_below", "middle_above", "middle_below", "mean", "median", "pattern")


@dataclass(frozen=True, slots=True)
class Profile:
    """[from, to], ms: the long run. ``noise_ms`` is a usual step from one sample to the next; ``pattern_ms``
    is what the other links let expect of the mean (low rank). NaN where there was no sample.
    """

    q20_ms: F32
    base_ms: F32
    q50_ms: F32
    q80_ms: F32
    q90_ms: F32
    mean_ms: F32
    noise_ms: F32
    pattern_ms: F32

    @classmethod
    def of(cls, series: Series) -> "Profile":
        frames = min(len(series), series.frames_of(PROFILE_S))
        stride = max(1, frames // PROFILE_SAMPLES)
        samples = series.rtt_ms[len(series) - frames :: stride]
        q20, base, q50, q80, q90 = quantiles_of(samples, QUANTILES)
        mean = mean_of(samples)
        if len(samples) > 1:
            (noise,) = quantiles_of(np.abs(np.diff(samples, axis=0)), (NOISE_QUANTILE,))
        else:
            noise = np.full_like(mean, np.nan)
        return cls(q20, base, q50, q80, q90, mean, noise, _pattern(mean))


@dataclass(frozen=True, slots=True)
class State:
    """ms above the base: ``end`` [node], ``middle`` [from, to]; 0 where nothing is out of the ordinary."""

    end_ms: F32
    middle_ms: F32

    @classmethod
    def of(cls, series: Series, profile: Profile) -> "State":
        recent = min(RECENT_FRAMES, series.frames_of(RECENT_S))
        (now,) = quantiles_of(series.rtt_ms[-recent:], (0.5,))
        above = now - profile.base_ms
        end = ends_of(above)
        end = np.where(np.abs(end) > END_MS, end, np.float32(0.0))
        rest = above - (end[:, None] + end[None, :])
        agreed = np.where(
            np.sign(rest) == np.sign(rest.T), np.sign(rest) * np.minimum(np.abs(rest), np.abs(rest.T)), 0.0
        )
        agreed = np.where(np.isnan(rest.T), rest, np.where(np.isnan(rest), rest.T, agreed))
        noise = np.nan_to_num(np.fmax(profile.noise_ms, profile.noise_ms.T))
        with np.errstate(invalid="ignore"):
            middle = np.where(np.abs(agreed) > np.maximum(MIDDLE_MS, NOISES * noise), agreed, 0.0)
        return cls(end, np.nan_to_num(middle).astype(np.float32))


def features_of(profile: Profile, state: State) -> F32:
    """Return [from, to, feature], ms, in the order of :data:`FEATURES`: what may be added to the base."""
    base = profile.base_ms
    columns = (
        np.maximum(state.end_ms[:, None], 0.0) + np.maximum(state.end_ms[None, :], 0.0),
        np.minimum(state.end_ms[:, None], 0.0) + np.minimum(state.end_ms[None, :], 0.0),
        np.maximum(state.middle_ms, 0.0),
        np.minimum(state.middle_ms, 0.0),
        profile.mean_ms - base,
        profile.q50_ms - base,
        profile.pattern_ms - base,
    )
    return np.nan_to_num(np.stack(columns, axis=-1)).astype(np.float32)


def quantiles_of(samples: F32, shares: tuple[float, ...]) -> tuple[F32, ...]:
    """Return quantiles over the first axis of what is no NaN (the nearest sample); NaN where nothing is."""
    ordered = np.sort(samples, axis=0)
    number = (~np.isnan(samples)).sum(axis=0)
    last = np.maximum(number - 1, 0)
    return tuple(
        np.take_along_axis(ordered, (share * last + 0.5).astype(np.intp)[None], axis=0)[0] for share in shares
    )


def mean_of(samples: F32) -> F32:
    """Return the mean over the first axis of what is no NaN; NaN where nothing is."""
    known = ~np.isnan(samples)
    with np.errstate(invalid="ignore"):
        total = np.where(known, samples, 0.0).sum(axis=0, dtype=np.float64)
        return (total / known.sum(axis=0)).astype(np.float32)


def ends_of(above: F32) -> F32:
    """Return for each node what most of its links have in common (both directions, two passes of medians)."""
    n = len(above)
    own = np.where(np.eye(n, dtype=np.bool_), np.nan, above)
    end = _median_of_links(own)
    return _median_of_links(own - end[None, :], own - end[:, None])


def _median_of_links(outward: F32, inward: F32 | None = None) -> F32:
    links = np.concatenate((outward, (outward if inward is None else inward).T), axis=1)
    number = (~np.isnan(links)).sum(axis=1)
    middle = np.maximum(number - 1, 0) // 2
    if not links.size:
        return np.zeros(len(outward), np.float32)
    median = np.sort(links, axis=1)[np.arange(len(links)), middle]
    return np.where(number >= LEAST_LINKS, np.nan_to_num(median), 0.0).astype(np.float32)


def _pattern(mean: F32) -> F32:
    """Return what the strongest common factors of all links say of each one's mean.

    Logarithms, so that the far does not outweigh the near; what is missing begins as the sum of its ends.
    """
    n = len(mean)
    known = ~np.isnan(mean) & ~np.eye(n, dtype=np.bool_)
    rank = min(RANK, n // NODES_PER_RANK)
    if rank < 1 or not known.any():
        return mean.copy()
    log = np.log(np.where(known, np.maximum(mean, 0.1), 1.0)).astype(np.float64)
    overall = log[known].mean()
    rows = np.where(known, log - overall, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    columns = np.where(known, log - overall, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    additive = overall + rows[:, None] + columns[None, :]
    u, s, v = np.linalg.svd(np.where(known, log - additive, 0.0))
    smooth = additive + (u[:, :rank] * s[:rank]) @ v[:rank]
    return np.exp(np.clip(smooth, -2.0, 11.0)).astype(np.float32)
