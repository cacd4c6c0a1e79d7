"""What an operator asks of routes beyond a class's objective: policies, and paths pinned by hand. Pure.

Read from ``controller.toml`` by `controller.configured` and from the store by the service; taken along in
every `core.decision.Decision`, so that a decision of the past is explained by the rules of its time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.topology.links import Vertex
from overlayd.model.ids import NodeId
from overlayd.model.service import Objective

MOST_RELAYS = 2
"""A third relay gains next to nothing; searches, tables and pins know no more than two."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How the paths of one class are chosen. ``weights`` are those of an objective that is ``weighted``.

    ``loss_ratio`` (0..1, before repair) and ``price_per_gb`` are the most that a whole path may have: one
    above is taken only where none is below. ``relays`` is how many a path may pass. Relays are taken in
    ``regions`` only, if any are named, and never in ``avoid_regions``: what is excluded so is never used.
    """

    weights: tuple[tuple[Objective, float], ...] = ()
    loss_ratio: float | None = None
    price_per_gb: float | None = None
    relays: int = MOST_RELAYS
    regions: tuple[str, ...] = ()
    avoid_regions: tuple[str, ...] = ()

    @property
    def chooses_relays(self) -> bool:
        """Whether not every relay will do."""
        return bool(self.regions or self.avoid_regions)

    def excludes(self, vertex: Vertex) -> str | None:
        """Return why ``vertex`` may not be a relay of this class, in words; None if it may."""
        if not vertex.relay:
            return f"{vertex.name} is no relay"
        region = vertex.region or "no region"
        if vertex.region in self.avoid_regions:
            return f"{vertex.name} is in {region}, which the class avoids"
        if self.regions and vertex.region not in self.regions:
            return f"{vertex.name} is in {region}; the class uses relays in {', '.join(self.regions)} only"
        return None


PLAIN = Policy()


@dataclass(frozen=True, slots=True)
class Place:
    """What an operator says of a node: its region, whether it is to relay (if its record lets it at all),
    what it can send in all (bit/s; None: the sum of its uplinks' rates, if they are set).
    """

    region: str = ""
    relay: bool = True
    capacity_bps: float | None = None


ANYWHERE = Place()


@dataclass(frozen=True, slots=True)
class Pin:
    """The path that an operator wants from ``source`` to ``destination``, by ids; ``class_id`` None: for all
    classes. ``relays`` in order, none: the direct path.
    """

    source: NodeId
    destination: NodeId
    class_id: int | None
    relays: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class PinnedPath:
    """A pin of one class by indices of the topology. ``since_ns`` is when it was set (monotonic)."""

    source: int
    destination: int
    class_id: int
    relays: tuple[int, ...]
    since_ns: int


@dataclass(frozen=True, slots=True)
class Rules:
    """``policies`` by class; a class beyond them has a plain one."""

    policies: tuple[Policy, ...] = ()
    pins: tuple[PinnedPath, ...] = ()

    def policy(self, class_id: int) -> Policy:
        """Return the policy of a class."""
        return self.policies[class_id] if class_id < len(self.policies) else PLAIN

    def pinned(self, class_id: int) -> Sequence[PinnedPath]:
        """Return the pins of a class."""
        return [pin for pin in self.pins if pin.class_id == class_id]


NO_RULES = Rules()
