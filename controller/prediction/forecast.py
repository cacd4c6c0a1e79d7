"""The forecast of all directed links: matrices [from, to] in the topology's order. Pure."""

from dataclasses import dataclass

from controller.topology.links import F32, I64, Bool


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the planner may rely on. NaN where ``known`` is false.

    RTTs are milliseconds (round trip: from → to → from), losses 0..1 of the direction from → to.
    ``measured_*`` are the newest samples, the worse of both ends'.

    ``known``: a fresh sample of either end says so. ``confirmed``: samples of both ends do. ``down``: one
    of them lately said that the link is down. ``alive`` [node]: the node reports. ``held_ns``: how long an
    episode will still count against the link; not positive where none does.

    Where there is a learned forecast, ``learned_ms`` is the expected mean RTT of the horizon, and
    ``learned_lossy`` the probability of more than one percent of loss in it, and ``base_ms`` what the link
    is like while nothing happens. ``trust`` (0..1) is what
    experience leaves of a gain that is predicted for a relayed path.

    ``capacity_bps`` and ``load_bps`` are what a link is found to carry and what its sender lately sent on
    it, where they are asked for.
    """

    rtt_q50_ms: F32
    rtt_q80_ms: F32
    rtt_q90_ms: F32
    loss_q90: F32
    measured_rtt_ms: F32
    measured_loss: F32
    known: Bool
    confirmed: Bool
    down: Bool
    alive: Bool
    held_ns: I64
    learned_ms: F32 | None = None
    learned_lossy: F32 | None = None
    base_ms: F32 | None = None
    trust: float = 1.0
    capacity_bps: F32 | None = None
    load_bps: F32 | None = None

    @property
    def expected_ms(self) -> F32:
        """What a path's RTT is weighed by: the expected one where that is learned, else the q80."""
        return self.rtt_q80_ms if self.learned_ms is None else self.learned_ms

    @property
    def usable(self) -> Bool:
        """Where traffic can be expected to pass."""
        return self.known & ~self.down

    @property
    def unheard(self) -> Bool:
        """Where nobody is there to tell: neither end reports. That speaks neither for the link nor
        against.
        """
        return ~(self.alive[:, None] | self.alive[None, :])

    @property
    def jitter_ms(self) -> F32:
        """Variation of the RTT: q90 − q50."""
        return self.rtt_q90_ms - self.rtt_q50_ms
