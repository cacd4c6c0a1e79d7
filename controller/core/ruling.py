"""What operators ask of routes, as decisions take it along: policies, pins, and how full relays are. Pure.

Called by `controller` alone, which tells of members and pins as they come.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from controller.core.messages import Enrolled
from controller.policy.rules import ANYWHERE, PLAIN, Pin, PinnedPath, Place, Policy, Rules
from controller.prediction.forecast import Forecast
from controller.topology.links import Topology, Vertex
from overlayd.model.ids import NodeId
from overlayd.model.node import Uplink
from overlayd.model.service import Objective, ServiceClass


class Ruling:
    """``policies`` are by class; a class beyond them has a plain one."""

    def __init__(self, services: Sequence[ServiceClass], policies: tuple[Policy, ...]) -> None:
        self._classes = len(services)
        self._pins: dict[Pin, int] = {}
        self._places: dict[NodeId, Place] = {}
        self.choose(services, policies)

    def choose(self, services: Sequence[ServiceClass], policies: tuple[Policy, ...]) -> None:
        """Have paths chosen like this from the next decision on."""
        self._policies = policies
        self._by_throughput = any(
            Objective.THROUGHPUT in (service.objective, *(one for one, _ in policy.weights))
            for service, policy in zip_longest(services, policies, fillvalue=PLAIN)
            if isinstance(service, ServiceClass)
        )

    def vertex(self, member: Enrolled) -> Vertex:
        """Return a member as the planner sees it."""
        record, place = member.record, member.place
        self._places[record.id] = place
        return Vertex(
            record.id,
            record.name,
            record.relay and place.relay,
            member.price_per_gb,
            place.region,
            _capacity_bps(place, member.uplinks),
        )

    def with_uplinks(self, vertex: Vertex, uplinks: tuple[Uplink, ...]) -> Vertex:
        """Return a member that came with these uplinks."""
        place = self._places.get(vertex.id, ANYWHERE)
        return replace(vertex, capacity_bps=_capacity_bps(place, uplinks))

    def pin(self, pins: Sequence[Pin], now_ns: int) -> bool:
        """Have these and no other paths pinned; return whether that is news."""
        before, self._pins = self._pins, {pin: self._pins.get(pin, now_ns) for pin in pins}
        return self._pins != before

    def rules(self, topology: Topology) -> Rules:
        """Return the rules in force; pins of unknown nodes, or through who is no relay (any more), wait until
        these join (again) or may relay.
        """
        index = topology.index
        relays = {vertex.id for vertex in topology.vertices if vertex.relay}
        pins: dict[tuple[int, int, int], PinnedPath] = {}
        # What is said of one class goes before what is said of all.
        for pin, since_ns in sorted(self._pins.items(), key=lambda item: item[0].class_id is not None):
            if not ({pin.source, pin.destination} <= index.keys() and relays.issuperset(pin.relays)):
                continue
            source, destination = index[pin.source], index[pin.destination]
            passed = tuple(index[node] for node in pin.relays)
            for number in range(self._classes) if pin.class_id is None else (pin.class_id,):
                pins[number, source, destination] = PinnedPath(source, destination, number, passed, since_ns)
        return Rules(self._policies, tuple(pins.values()))

    def informed(self, forecast: Forecast, topology: Topology, now_ns: int) -> Forecast:
        """Return the forecast with what links carry, if any choice depends on it."""
        if not self._by_throughput and all(vertex.capacity_bps is None for vertex in topology.vertices):
            return forecast
        capacity, load = topology.rates(now_ns)
        return replace(forecast, capacity_bps=capacity, load_bps=load)


def _capacity_bps(place: Place, uplinks: tuple[Uplink, ...]) -> float | None:
    if place.capacity_bps is not None:
        return place.capacity_bps
    rates = [uplink.rate_bps for uplink in uplinks if uplink.rate_bps]
    return float(sum(rates)) if rates and len(rates) == len(uplinks) else None
