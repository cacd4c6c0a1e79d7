"""What public nodes tell of those behind a NAT: the addresses that their datagrams come from.

Spoken where both ends offer the subprotocol :data:`SUBPROTOCOL`. An older controller is not told; an older
agent gets uplinks without what it does not know (:func:`plain`). Pure.
"""

from collections.abc import Iterable

import msgspec

from overlayd.model.ids import NodeId
from overlayd.model.node import Uplink

SUBPROTOCOL = "overlayd.v1.reflexive"
"""Includes what `routes.SUBPROTOCOL` says of routes and telemetry."""


class Sighting(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Datagrams of that uplink of ``peer`` come from ``address`` (``"203.0.113.7:51900"``) to the sender."""

    peer: NodeId
    uplink: str
    address: str


class Sightings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="sightings"):
    """After a hello all that come from elsewhere than their uplink says; later those that changed."""

    seen: tuple[Sighting, ...]


def plain(uplinks: Iterable[Uplink]) -> tuple[Uplink, ...]:
    """Return ``uplinks`` as older agents know them."""
    return tuple(
        msgspec.structs.replace(uplink, reflexive=None, symmetric=False) if uplink.reflexive else uplink
        for uplink in uplinks
    )
