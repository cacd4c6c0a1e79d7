"""What became of requests at instances of each revision, for who judges a new one. Pure. By `traffic`."""

from collections.abc import Iterable, Mapping

from overlayd.protocol.steering import SteeredRoute
from overlayd.protocol.workload import Outcome, Outcomes
from overlayd.traffic.counters import Counts, Slot
from overlayd.traffic.listeners import proxy_of
from overlayd.traffic.servers import host_port


class Judged:
    """Adds up by route and revision, of routes that several revisions serve."""

    def __init__(self) -> None:
        self._revisions: dict[Slot, tuple[str, str]] = {}
        self._counted: dict[tuple[str, str], Counts] = {}

    def follow(self, routes: Iterable[SteeredRoute]) -> None:
        """Look at those of ``routes`` that several revisions serve from now on."""
        self._revisions = {
            (proxy_of(route.name), host_port(target.address, target.port)): (route.name, target.revision)
            for route in routes
            if len({target.revision for target in route.targets}) > 1
            for target in route.targets
        }

    def add(self, grown: Mapping[Slot, Counts], endpoints: Mapping[Slot, str]) -> None:
        """Take what was counted at slots that lead to ``endpoints``."""
        for (proxy, slot), counts in grown.items():
            key = self._revisions.get((proxy, endpoints[proxy, slot]))
            if key is not None and counts.requests:
                self._counted[key] = self._counted.get(key, Counts()).plus(counts)

    def take(self) -> Outcomes | None:
        """Return what was added since the last time; None: nothing."""
        counted, self._counted = self._counted, {}
        told = (
            Outcome(route, revision, counts.requests, min(counts.failed, counts.requests))
            for (route, revision), counts in sorted(counted.items())
        )
        return Outcomes(tuple(told)) if counted else None
