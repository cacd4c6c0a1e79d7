"""What a generated mesh is like. Pure.

Defaults are what mesh traces and the literature suggest for servers on the public Internet: an end is
congested 20 minutes each 3 hours, a middle 15 minutes each 6, a path changes its level each 1.3 days.
"""

from dataclasses import dataclass, replace
from math import log

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Episodes:
    """Times of trouble that begin at random, independent of each other, and last exponentially long.

    ``every_s`` is the mean time from one's end to the next one's begin, ``last_s`` the mean length. The
    strength is drawn for each: log-uniform between ``least`` and ``most``.
    """

    every_s: float
    last_s: float
    least: float
    most: float

    @property
    def share(self) -> float:
        """The share of time in trouble in the long run."""
        return self.last_s / (self.last_s + self.every_s)

    @property
    def mean(self) -> float:
        """The mean strength of an episode."""
        return (self.most - self.least) / log(self.most / self.least)


@dataclass(frozen=True, slots=True)
class Parameters:
    """A mesh of ``nodes`` over ``frames`` of ``frame_s`` seconds.

    ``end_congestion``, ``middle_congestion``: ms more of RTT, at a node (all its links) or on one pair.
    ``end_loss``, ``middle_loss``: loss ratio while the Gilbert–Elliott process of a node or pair is in its
    bad state (simulated); ``good_loss`` is lost in the good one, and ``congestion_loss`` for each 100 ms of
    congestion. ``noise_of_loss`` is the number of probes a frame's loss is measured with (0: exactly).
    ``level_shift_every_s``: mean time between lasting changes of a pair's RTT, by a factor with
    ``level_shift_sigma`` (log-normal). ``outage_every_s``, ``outage_s``: a pair answers nothing.
    ``dying_share``: the share of nodes that die within the trace; their last values repeat.
    ``diurnal_share``: RTT added at the busiest hour of a node's day, as a share of the base.
    """

    nodes: int = 60
    frames: int = 720
    frame_s: float = 15.0
    end_congestion: Episodes = Episodes(3 * HOUR_S, 20 * 60.0, 20.0, 150.0)
    middle_congestion: Episodes = Episodes(6 * HOUR_S, 15 * 60.0, 20.0, 200.0)
    end_loss: Episodes = Episodes(6 * HOUR_S, 20 * 60.0, 0.01, 0.08)
    middle_loss: Episodes = Episodes(4 * HOUR_S, 12 * 60.0, 0.01, 0.15)
    good_loss: float = 0.0005
    congestion_loss: float = 0.01
    noise_of_loss: int = 0
    level_shift_every_s: float = 1.3 * 24 * HOUR_S
    level_shift_sigma: float = 0.1
    outage_every_s: float = 48 * HOUR_S
    outage_s: float = 240.0
    dying_share: float = 0.03
    diurnal_share: float = 0.02

    def at_rate(self, factor: float) -> "Parameters":
        """Return the same mesh with all that happens at random happening ``factor`` times as often."""

        def quicker(episodes: Episodes) -> Episodes:
            return replace(episodes, every_s=episodes.every_s / factor)

        return replace(
            self,
            end_congestion=quicker(self.end_congestion),
            middle_congestion=quicker(self.middle_congestion),
            end_loss=quicker(self.end_loss),
            middle_loss=quicker(self.middle_loss),
            level_shift_every_s=self.level_shift_every_s / factor,
            outage_every_s=self.outage_every_s / factor,
            dying_share=min(0.5, self.dying_share * factor),
        )
