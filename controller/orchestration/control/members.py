"""Nodes as the control loops see them: where they are reached, and whether they live. Pure.

A node is *seen* when it was answered lately, or when others of the mesh still hear it: then only its link to
the controller is down. One that nobody sees may be cut off or dead, which cannot be told apart.
"""

from dataclasses import dataclass

from overlayd.model.lease import ALIVE_S

_NS = 1_000_000_000
HEARD_S = 3 * ALIVE_S
"""A node that was answered within this time is there."""


@dataclass(frozen=True, slots=True)
class Member:
    """One node. ``address`` is in the overlay; ``silent_s`` since it was last answered. ``joined``: it is a
    member of the mesh (still).
    """

    name: str
    address: str = ""
    seen: bool = True
    silent_s: float = 0.0
    joined: bool = True

    @property
    def reached(self) -> bool:
        """Whether it was answered lately, so that something can be begun on it."""
        return self.joined and self.silent_s < HEARD_S


def is_seen(silent_ns: int, mesh: bool) -> bool:
    """Tell whether a node is seen: ``silent_ns`` since it was last answered (or since the controller began,
    which has heard nobody at first); ``mesh``: others of the mesh hear it.
    """
    return mesh or silent_ns < HEARD_S * _NS
