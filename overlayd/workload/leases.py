"""What this host may go on running when the controller is not heard: leases of pods. Pure.

Some pods must not run in two places, or not without the controller. Each runs by a lease that names it, in
answer to a sign of life. A lease counts from when that sign was *sent*: the answer may be late, and the
controller began to wait when it gave it. The clock is `CLOCK_BOOTTIME`, which goes on while the host sleeps.
The controller's side is `controller.orchestration.control.leases`; both are simulated together.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from overlayd.model.lease import KILL_S

_NS = 1_000_000_000
_KILL_NS = KILL_S * _NS
MOST_UNANSWERED = 100
"""Signs of life that are remembered; an answer to an older one extends nothing."""


class Leases:
    """The leases of one host. ``named`` [uid of a pod]: when the newest sign of life was sent whose answer
    named it, as kept on the disk during this boot; after another boot there is none.
    """

    def __init__(self, named: Mapping[str, int] | None = None) -> None:
        self.named: dict[str, int] = dict(named or {})
        self._sent: dict[int, int] = {}
        self._sequence = 0

    def send(self, now_ns: int) -> int:
        """Return the number of a sign of life that is about to be sent."""
        self._sequence += 1
        self._sent[self._sequence] = now_ns
        self._sent.pop(self._sequence - MOST_UNANSWERED, None)
        return self._sequence

    def answered(self, sequence: int, pods: Iterable[str]) -> None:
        """Take a lease: the answer to sign ``sequence`` named ``pods``."""
        sent_ns = self._sent.pop(sequence, None)
        if sent_ns is None:
            return
        for uid in pods:
            self.named[uid] = max(self.named.get(uid, sent_ns), sent_ns)

    def forget(self, uid: str) -> None:
        """A pod is no more."""
        self.named.pop(uid, None)

    def ends_ns(self, uid: str, lease_s: int) -> int | None:
        """Return when the lease of a pod ends; None: it has none."""
        sent_ns = self.named.get(uid)
        return None if sent_ns is None else sent_ns + lease_s * _NS

    def duty(self, uid: str, lease_s: int, stop_s: int, now_ns: int) -> Literal["run", "stop", "kill"]:
        """Return what is to be done with a pod whose leases last ``lease_s`` and which may take ``stop_s`` to
        end.

        ``stop``: it is asked to end, and not started; ``kill``: it must have ended within `KILL_S`.
        """
        ends_ns = self.ends_ns(uid, lease_s)
        if ends_ns is None or now_ns >= ends_ns - 2 * _KILL_NS:
            return "kill"
        return "stop" if now_ns >= ends_ns - _asking_ns(lease_s, stop_s) else "run"

    def due_ns(self, uid: str, lease_s: int, stop_s: int, now_ns: int) -> int | None:
        """Return when the pod's duty changes next if no lease comes; None: it does not."""
        ends_ns = self.ends_ns(uid, lease_s)
        if ends_ns is None:
            return None
        changes = (ends_ns - _asking_ns(lease_s, stop_s), ends_ns - 2 * _KILL_NS)
        return next((at for at in changes if at > now_ns), None)


def _asking_ns(lease_s: int, stop_s: int) -> int:
    """Return how long before its end a pod is asked to end: not so early that an answer or two that get lost
    end it.
    """
    return max(2 * _KILL_NS, min(stop_s * _NS, lease_s * _NS // 3))
