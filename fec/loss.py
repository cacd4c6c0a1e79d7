"""Models of packet loss on a link: which packets of a stream, given their times, are lost.

A model is a value; randomness is handed in as a numpy generator, so a run is a function of its seed. Loss
happens in time, not in packets: a stream that sends twice as often sees runs of losses that are twice as
long. Used by the tests and benchmarks of the repair policy; the live and the simulated link model is
`engine/netem`. Pure.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
"""Departure times in nanoseconds, ascending."""

Losses = NDArray[np.bool_]
"""One truth value per packet: whether it is lost."""


class LossModel(Protocol):
    """What decides the fate of a stream's packets."""

    def losses(self, times_ns: Times, rng: np.random.Generator) -> Losses:
        """Which of the packets that depart at `times_ns` are lost."""
        ...


@dataclass(frozen=True, slots=True)
class Independent:
    """Each packet is lost with probability `loss_ratio`, whatever happens to the others."""

    loss_ratio: float

    def losses(self, times_ns: Times, rng: np.random.Generator) -> Losses:
        """Which of the packets that depart at `times_ns` are lost."""
        return rng.random(times_ns.size) < self.loss_ratio


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """A link that changes between a good and a bad state at random times (Gilbert 1960, Elliott 1963).

    The time spent in a state is exponentially distributed around its mean. Packets are lost with probability
    `good_loss` or `bad_loss` by the state they meet.
    """

    mean_good_ns: float
    mean_bad_ns: float
    good_loss: float = 0.0
    bad_loss: float = 1.0

    @classmethod
    def of_outages(cls, loss_ratio: float, outage_ns: float) -> "GilbertElliott":
        """A link that is dead for `outage_ns` at a time and loses `loss_ratio` (below 1) in all."""
        return cls(mean_good_ns=outage_ns * (1 - loss_ratio) / loss_ratio, mean_bad_ns=outage_ns)

    @property
    def loss_ratio(self) -> float:
        """The share of packets lost in the long run."""
        bad = self.mean_bad_ns / (self.mean_good_ns + self.mean_bad_ns)
        return bad * self.bad_loss + (1 - bad) * self.good_loss

    def losses(self, times_ns: Times, rng: np.random.Generator) -> Losses:
        """Which of the packets that depart at `times_ns` are lost."""
        bad = self._is_bad(times_ns, rng)
        return rng.random(times_ns.size) < np.where(bad, self.bad_loss, self.good_loss)

    def _is_bad(self, times_ns: Times, rng: np.random.Generator) -> Losses:
        if times_ns.size == 0:
            return np.zeros(0, dtype=np.bool_)
        start, end = int(times_ns[0]), int(times_ns[-1])
        cycle = self.mean_good_ns + self.mean_bad_ns
        starts_bad = bool(rng.random() < self.mean_bad_ns / cycle)
        means = (self.mean_bad_ns, self.mean_good_ns) if starts_bad else (self.mean_good_ns, self.mean_bad_ns)
        changes = np.zeros(0)
        last = float(start)
        while last <= end:
            cycles = int((end - last) / cycle * 1.1) + 8
            stays = rng.exponential(means, size=(cycles, 2)).ravel()
            changes = np.concatenate([changes, last + np.cumsum(stays)])
            last = float(changes[-1])
        odd = np.searchsorted(changes, times_ns, side="right") % 2 == 1
        return odd != starts_bad


@dataclass(frozen=True, slots=True)
class Trace:
    """Replays a recorded stream: a packet meets the fate of the recorded packet last sent before it.

    `at_ns` ascends from 0; the recording repeats every `period_ns`, which lies after its last packet.
    """

    at_ns: Times
    lost: Losses
    period_ns: int

    def losses(self, times_ns: Times, rng: np.random.Generator) -> Losses:
        """Which of the packets that depart at `times_ns` are lost. Draws nothing."""
        return self.lost[np.searchsorted(self.at_ns, times_ns % self.period_ns, side="right") - 1]


def mean_loss_run(lost: Losses) -> float:
    """The mean length of a run of lost packets, in packets; 1 if none was lost."""
    runs = int(np.count_nonzero(lost[1:] & ~lost[:-1])) + int(lost[:1].sum())
    return float(lost.sum()) / runs if runs else 1.0
