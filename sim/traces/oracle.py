"""The planner that knows the hidden state and the rates, but not the future: the limit of any forecast. Pure.

Episodes last exponentially long, so that neither their age nor their past tells more than the present state.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.topology.links import F32
from sim.traces.parameters import Episodes
from sim.traces.world import World


@dataclass(frozen=True, slots=True)
class Expected:
    """[from, to]: the expected mean RTT of the horizon, ms, and the present loss 0..1."""

    rtt_ms: F32
    loss: F32


def expected(world: World, frame: int, first: int, last: int, mean_ratio: F32 | float = 1.0) -> Expected:
    """Return what the state of ``frame`` says of the frames ``frame + first`` to ``frame + last``."""
    own = world.parameters
    ahead = np.arange(first, last + 1) * own.frame_s
    ends = _later(world.end_ms[frame], own.end_congestion, ahead)
    middles = _later(world.middle_ms[frame], own.middle_congestion, ahead)
    rtt = world.level_ms[frame] * mean_ratio + ends[:, None] + ends[None, :] + middles
    return Expected(rtt.astype(np.float32), true_loss(world, frame))


def true_loss(world: World, frame: int) -> F32:
    """Return the loss of each link in ``frame``, without the noise of measuring it."""
    own = world.parameters
    ends, bad = world.end_ms[frame], world.end_loss[frame]
    extra_ms: F32 = ends[:, None] + ends[None, :] + world.middle_ms[frame]
    kept: Any = (1 - own.good_loss) * (1 - np.minimum(own.congestion_loss * extra_ms / 100.0, 0.5))
    kept = kept * (1 - world.middle_loss[frame]) * (1 - bad)[:, None] * (1 - bad)[None, :]
    return np.array(1 - kept, dtype=np.float32)


def _later(now: F32, kind: Episodes, ahead_s: NDArray[Any]) -> F32:
    """Return the mean strength over ``ahead_s``, given that of now: a process of two states."""
    forget = 1 / kind.every_s + 1 / kind.last_s
    left = np.exp(-forget * ahead_s)
    stays = (kind.share + (1 - kind.share) * left).mean()
    begins = (kind.share * (1 - left)).mean()
    return np.array(np.where(now > 0, now * stays, begins * kind.mean), dtype=np.float32)
