"""A made-up underlay: nodes in a plane, with detours. Pure."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True)
class Plane:
    """Nodes in a plane; ``slow`` [node] ms are added while something is wrong with its access."""

    rtt_ms: np.ndarray
    slow: np.ndarray
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    @classmethod
    def of(cls, number: int) -> "Plane":
        rng = np.random.default_rng(5)
        places = rng.uniform(0.0, 100.0, (number, 2))
        distance = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
        detour = rng.choice([1.0, 1.1, 2.0], p=[0.6, 0.3, 0.1], size=(number, number))
        rtt = 2.0 + distance * np.minimum(detour, detour.T)
        return cls(rtt, np.zeros(number))

    def sample(self, index: int) -> np.ndarray:
        """Return RTTs as node ``index`` measures them in one frame, ms, [peer]."""
        rtts = self.rtt_ms[index] + self.slow[index] + self.slow
        return rtts * self.rng.uniform(1.0, 1.02, len(rtts))
