"""Where the datagrams of peers come from, for the controller to tell the others. Pure; fed by the machine.

What is not worth telling: a peer that is where its uplink says, and what is seen from an uplink that cannot
be called itself (its links to others of that kind are made of what is told here).
"""

from collections.abc import Collection, Iterable, Mapping

from overlayd.agent import prober
from overlayd.agent.mesh import LinkKey, Peer
from overlayd.model.ids import LinkId, NodeId
from overlayd.protocol import engine
from overlayd.protocol.reflexive import Sighting

Place = tuple[NodeId, str]
"""A peer's uplink, by name."""


class Sightings:
    """What was seen last of each peer's uplink, and what of it was told."""

    def __init__(self) -> None:
        self._seen: dict[Place, str] = {}
        self._told: dict[Place, str] = {}

    def note(
        self,
        reports: Iterable[engine.LinkReport],
        keys: Mapping[LinkId, LinkKey],
        peers: Mapping[NodeId, Peer],
        open_uplinks: Collection[str],
    ) -> None:
        """Take reports of links; ``open_uplinks`` are the names of our own that peers can call."""
        for report in reports:
            key = keys[LinkId(report.link)]
            if report.remote is None or key.uplink not in open_uplinks or key.peer not in peers:
                continue
            uplink = prober.uplink_of(key, peers[key.peer].uplinks)
            if uplink is None:
                continue
            place = (key.peer, uplink.name)
            if not report.up:
                self._seen.pop(place, None)
            elif report.remote != uplink.endpoint or place in self._told:
                self._seen[place] = report.remote

    def start(self) -> None:
        """Tell everything again: the controller has just connected."""
        self._told.clear()

    def keep(self, peers: Collection[NodeId]) -> None:
        """Forget all nodes but these."""
        self._seen = {place: address for place, address in self._seen.items() if place[0] in peers}
        self._told = {place: address for place, address in self._told.items() if place[0] in peers}

    def news(self) -> tuple[Sighting, ...]:
        """Return what was not told yet, and take it as told."""
        if self._seen.items() <= self._told.items():
            return ()
        new = {place: address for place, address in self._seen.items() if self._told.get(place) != address}
        self._told |= new
        return tuple(Sighting(*place, address) for place, address in sorted(new.items()))
