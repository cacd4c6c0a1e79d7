"""Which hosts may still run what they were given, as far as the controller can know. Pure.

A host is answered each time that it shows to be alive, and the answer names the pods that may go on by it.
From the last answer on the controller waits: only when the longest time has passed that the host may have
gone on, a pod is *given up*, is named no more, and another may start. What an earlier life of the controller
answered is not known, so that all hosts count as answered when it starts. The host's side is
`overlayd.workload.leases`.
"""

from collections.abc import Callable, Iterable

from overlayd.model.lease import wait_s

_NS = 1_000_000_000


class Leases:
    """Answers given, and pods given up. ``pods`` tells the uids of a node's pods that need a lease."""

    def __init__(self, started_ns: int, pods: Callable[[str], Iterable[str]]) -> None:
        self._started_ns = started_ns
        self._pods = pods
        self._answered: dict[str, int] = {}
        self._given_up: set[str] = set()

    def answer(self, node: str, now_ns: int) -> tuple[str, ...]:
        """Note that a sign of life of ``node`` is answered now; return the pods that the answer names."""
        self._answered[node] = now_ns
        return tuple(uid for uid in self._pods(node) if uid not in self._given_up)

    def silent_ns(self, node: str, now_ns: int) -> int:
        """Return for how long a node has not been answered."""
        return now_ns - self._answered.get(node, self._started_ns)

    def heard(self, node: str) -> bool:
        """Tell whether a node has been answered in this life of the controller."""
        return node in self._answered

    def give_up(self, uid: str, node: str, lease_s: int, now_ns: int) -> bool:
        """Name a pod no more if its holder has surely ended by now; tell whether."""
        if self.silent_ns(node, now_ns) < wait_s(lease_s) * _NS:
            return False
        self._given_up.add(uid)
        return True

    def forget(self, there: Iterable[str]) -> None:
        """Forget pods given up that are not ``there`` any more."""
        self._given_up.intersection_update(there)
