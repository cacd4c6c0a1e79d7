"""For how long an app may go on that no controller is heard from, so that another may start. Pure arithmetic.

Two clocks measure it and neither is right: the host's, from when it *sent* the sign of life that was
answered, and the controller's, from when it *answered* (`overlayd.workload.leases`,
`controller.orchestration.control.leases`).
"""

from typing import Final

LEASE_S: Final = 30
"""The shortest lease, and that of whatever is to stop once its host is cut off."""
ALIVE_S: Final = 5
"""A host shows that it is alive so often."""
DRIFT: Final = 1.1
"""So much longer the controller waits: a host's clock may be slow by what is not spent on the other's haste.
Clocks of hosts that keep time are within 1.0001.
"""
KILL_S: Final = 1
"""What it takes to end a process that is not asked."""
SPARE_S: Final = 5
"""Added to the wait: for a host that is slow to kill."""


def wait_s(lease_s: int) -> int:
    """Return after how many seconds without an answer the holder of a lease has ended, whatever its clock."""
    return int(lease_s * DRIFT) + SPARE_S


def longest_lease_s(replace_after_s: float) -> int:
    """Return the longest lease whose holder has ended before ``replace_after_s``; less than ``LEASE_S`` where
    there is no such lease.
    """
    return int((replace_after_s - SPARE_S) / DRIFT)
