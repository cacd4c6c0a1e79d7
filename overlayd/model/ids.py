"""Identifiers, each a type of its own so that one is never passed for another."""

from typing import NewType, TypeAlias

NodeId = NewType("NodeId", int)
"""1–65535, given by the controller, unique in the network; 0 is nobody. On the wire: 16 bits."""

LinkId = NewType("LinkId", int)
"""1–65535, given by the agent, unique on its node, stable while (peer, uplink, remote, lane) stays the
same.
"""

ClassId = NewType("ClassId", int)
"""0–15: the index of a class of service in the network's list."""

Generation = NewType("Generation", int)
"""Number of a complete set of tables; only ever grows."""

Path: TypeAlias = tuple[NodeId, ...]
"""The nodes after the ingress: relays in order, then the egress. A direct path has one element."""
