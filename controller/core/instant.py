"""A moment, as events and decisions bear it. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on two clocks. Decisions use ``monotonic_ns`` alone; ``unix_s`` is for people and may
    jump.
    """

    monotonic_ns: int
    unix_s: float
