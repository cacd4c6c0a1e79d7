"""What a container may take of the host, in the terms of the kernel. Pure."""

from dataclasses import dataclass

from overlayd.protocol.pod import Container

MOST_PROCESSES = 4096
PERIOD_US = 100_000
_MOST_SHARES = 262144


@dataclass(frozen=True, slots=True)
class Limits:
    """``memory_bytes`` and ``cpu_milli`` 0: no limit. ``shares`` of the processors where they are
    contended.
    """

    memory_bytes: int = 0
    cpu_milli: int = 0
    shares: int = 1024
    processes: int = MOST_PROCESSES

    @property
    def quota_us(self) -> int:
        """Processor time in each :data:`PERIOD_US`."""
        return self.cpu_milli * PERIOD_US // 1000

    @property
    def weight(self) -> int:
        """The shares as cgroup v2 has them, 1 to 10000."""
        return 1 + (self.shares - 2) * 9999 // (_MOST_SHARES - 2)


def limits_of(container: Container) -> Limits:
    """Return the limits of a container. Raises :class:`ValueError` for what is no quantity."""
    most, least = container.resources.limited(), container.resources.requested()
    shares = max(2, min(_MOST_SHARES, least.cpu_milli * 1024 // 1000)) if least.cpu_milli else 1024
    return Limits(memory_bytes=most.memory_bytes, cpu_milli=most.cpu_milli, shares=shares)
