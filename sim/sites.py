"""Where simulated hosts stand and what lies between them. Pure; randomness is passed in.

Hosts lie on a plane measured in milliseconds; the wire between two has the delay of their distance times a
detour factor of its own, which is why a relay can be faster than the direct wire.
"""

import json
import random
from dataclasses import dataclass, field
from math import hypot
from typing import Any

PORT = 51900


@dataclass(frozen=True, slots=True)
class Wire:
    """One direction. Times in milliseconds, ratios 0..1, ``rate_mbps`` None: no limit."""

    delay_ms: float
    jitter_ms: float = 0.0
    loss_ratio: float = 0.0
    rate_mbps: float | None = None
    blackhole: bool = False

    def settings(self) -> str:
        """Return the link model's settings as JSON."""
        loss: dict[str, Any] = (
            {"kind": "independent", "ratio": self.loss_ratio} if self.loss_ratio else {"kind": "none"}
        )
        return json.dumps(
            {
                "delay_ns": round(self.delay_ms * 1e6),
                "jitter_ns": round(min(self.jitter_ms, self.delay_ms) * 1e6),
                "loss": loss,
                "rate_bps": None if self.rate_mbps is None else round(self.rate_mbps * 1e6),
                "blackhole": self.blackhole,
            }
        )


@dataclass(frozen=True, slots=True)
class Site:
    """A simulated host; its index in :class:`Sites` + 1 is its node id."""

    name: str
    relay: bool

    @staticmethod
    def endpoint(index: int) -> str:
        """Return the underlay endpoint of the host at ``index``."""
        return f"10.{index // 65536}.{index // 256 % 256}.{index % 256}:{PORT}"

    @staticmethod
    def address(index: int) -> str:
        """Return the overlay address of the host at ``index``."""
        return f"100.64.{(index + 1) // 256}.{(index + 1) % 256}"


@dataclass(frozen=True, slots=True)
class Sites:
    """Hosts and the wires between them, both directions; a pair without a wire cannot talk."""

    sites: tuple[Site, ...]
    wires: dict[tuple[int, int], Wire] = field(default_factory=dict[tuple[int, int], Wire])


def random_sites(rng: random.Random, count: int, relay_share: float = 0.3, spread_ms: float = 40.0) -> Sites:
    """Return ``count`` hosts on a plane of ``spread_ms`` × ``spread_ms``, a share of them relays (at least
    two).
    """
    places = [(rng.uniform(0, spread_ms), rng.uniform(0, spread_ms)) for _ in range(count)]
    relays = max(2, round(count * relay_share))
    sites = tuple(Site(f"site-{index:03d}", index < relays) for index in range(count))
    wires: dict[tuple[int, int], Wire] = {}
    for a in range(count):
        for b in range(a + 1, count):
            distance = hypot(places[a][0] - places[b][0], places[a][1] - places[b][1])
            delay_ms = (1.0 + distance) * rng.lognormvariate(0.1, 0.25)
            wires[a, b] = wires[b, a] = Wire(delay_ms=delay_ms, jitter_ms=0.05 * delay_ms)
    return Sites(sites, wires)
