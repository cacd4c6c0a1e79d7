"""A mesh drawn from sources and parameters: what is measured in each frame, and the hidden state. Pure.

All randomness comes from the seed. RTTs of both directions share the hidden state and are measured apart;
loss (simulated) belongs to a direction: a node's bad state takes what it sends and what it receives.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from controller.topology.links import F32
from sim.traces.parameters import HOUR_S, Episodes, Parameters
from sim.traces.sources import Sources

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class World:
    """The trace, ``rtt_ms`` and ``loss`` [frame, node, node], NaN where nothing answers; and what is behind.

    ``level_ms`` [frame, node, node] is the RTT without congestion, ``end_ms`` [frame, node] and
    ``middle_ms`` [frame, node, node] what congestion adds; ``end_loss`` and ``middle_loss`` likewise.
    ``died`` [node] is the frame from which a node's values only repeat.
    """

    parameters: Parameters
    rtt_ms: F32
    loss: F32
    level_ms: F32
    end_ms: F32
    middle_ms: F32
    end_loss: F32
    middle_loss: F32
    died: NDArray[np.int64]

    @classmethod
    def draw(cls, parameters: Parameters, sources: Sources, seed: int) -> "World":
        """Draw a mesh; the same one for the same arguments."""
        random = np.random.default_rng(seed)
        frames, n = parameters.frames, parameters.nodes
        level = _levels(parameters, sources, random)
        end_ms = _episodes(random, parameters.end_congestion, (frames, n), parameters.frame_s)
        middle_ms = _of_pairs(random, parameters.middle_congestion, parameters)
        end_loss = _episodes(random, parameters.end_loss, (frames, n), parameters.frame_s)
        middle_loss = _both_ways(random, parameters.middle_loss, parameters)
        rtt = level * _jitter(parameters, sources, random) + _at_ends(end_ms) + middle_ms
        extra = parameters.congestion_loss * (_at_ends(end_ms) + middle_ms) / 100.0
        kept = (1 - parameters.good_loss) * (1 - np.minimum(extra, 0.5)) * (1 - middle_loss)
        loss = 1 - kept * (1 - end_loss[:, :, None]) * (1 - end_loss[:, None, :])
        if parameters.noise_of_loss:
            loss = random.binomial(parameters.noise_of_loss, np.clip(loss, 0, 1)) / parameters.noise_of_loss
        outage = Episodes(parameters.outage_every_s, parameters.outage_s, 1.0, 1.0 + 1e-6)
        out = _of_pairs(random, outage, parameters) > 0.0
        died = _die(random, parameters)
        rtt, loss = (values.astype(np.float32) for values in (rtt, loss))
        # Dead nodes repeat what they last answered, outages are missing; diagonals are missing.
        for values in (rtt, loss):
            values[out] = np.nan
            values[:, np.arange(n), np.arange(n)] = np.nan
            for node in np.flatnonzero(died < frames):
                values[died[node] :, node, :] = values[died[node] - 1, node, :]
                values[died[node] :, :, node] = values[died[node] - 1, :, node]
        return cls(parameters, rtt, loss, level, end_ms, middle_ms, end_loss, middle_loss, died)

    def write(self, path: str) -> None:
        """Write the trace as ``controller.evaluate`` reads it."""
        np.savez_compressed(path, rtt_ms=self.rtt_ms, loss=self.loss, frame_seconds=self.parameters.frame_s)


def _levels(parameters: Parameters, sources: Sources, random: Generator) -> F32:
    frames, n = parameters.frames, parameters.nodes
    known = np.flatnonzero(np.isfinite(sources.base_ms).mean(axis=0) > 0.5)
    picked = known[random.permutation(len(known))[:n]]
    if len(picked) < n:
        picked = np.concatenate((picked, random.choice(known, n - len(picked))))
    base = sources.base_ms[np.ix_(picked, picked)]
    base = np.where(np.isfinite(base) & (base > 0.5), base, np.float32(np.nanmedian(sources.base_ms)))
    rate = parameters.frame_s / parameters.level_shift_every_s
    changes = random.normal(0, parameters.level_shift_sigma, (frames, n, n))
    steps = _symmetric(np.where(random.random((frames, n, n)) < rate, changes, 0.0))
    hour = np.arange(frames) * parameters.frame_s / HOUR_S
    phase = random.uniform(0.0, 24.0, n)
    busy = np.maximum(0.0, np.sin((hour[:, None] + phase) * 2 * np.pi / 24.0))
    day = 1.0 + parameters.diurnal_share * np.maximum(busy[:, :, None], busy[:, None, :])
    return (base * np.exp(np.cumsum(steps, axis=0)) * day).astype(np.float32)


def _jitter(parameters: Parameters, sources: Sources, random: Generator) -> F32:
    """Return a measured ratio for each sample; each pair draws from a series of its own."""
    frames, n = parameters.frames, parameters.nodes
    series = _symmetric(random.integers(0, len(sources.ratios), (1, n, n)).astype(np.float64))[0].astype(int)
    sample = random.integers(0, sources.ratios.shape[1], (frames, n, n))
    return sources.ratios[series[None], sample]


def _episodes(random: Generator, kind: Episodes, shape: tuple[int, ...], frame_s: float) -> F32:
    """Return the strength in each frame, 0 where there is no episode; [frame, ...]."""
    begins, ends = frame_s / kind.every_s, frame_s / kind.last_s
    strength = np.zeros(shape, np.float32)
    now = np.where(random.random(shape[1:]) < kind.share, _strengths(random, kind, shape[1:]), 0.0)
    for frame in range(shape[0]):
        drawn = random.random(shape[1:])
        new = np.where(drawn < 1 - np.exp(-begins), _strengths(random, kind, shape[1:]), 0.0)
        now = np.where(now > 0.0, np.where(drawn < 1 - np.exp(-ends), 0.0, now), new)
        strength[frame] = now
    return strength


def _strengths(random: Generator, kind: Episodes, shape: tuple[int, ...]) -> Array:
    return kind.least * (kind.most / kind.least) ** random.random(shape)


def _of_pairs(random: Generator, kind: Episodes, parameters: Parameters) -> F32:
    return _symmetric(_both_ways(random, kind, parameters))


def _both_ways(random: Generator, kind: Episodes, parameters: Parameters) -> F32:
    n = parameters.nodes
    return _episodes(random, kind, (parameters.frames, n, n), parameters.frame_s)


def _symmetric(values: Array) -> Array:
    upper = np.triu(values, 1)
    return upper + np.swapaxes(upper, 1, 2)


def _at_ends(ends: F32) -> F32:
    return ends[:, :, None] + ends[:, None, :]


def _die(random: Generator, parameters: Parameters) -> Array:
    """Return the frame from which each node is dead, the number of frames where it never is."""
    when = random.integers(1, max(2, parameters.frames), parameters.nodes)
    dies = random.random(parameters.nodes) < parameters.dying_share
    return np.where(dies, when, parameters.frames)
