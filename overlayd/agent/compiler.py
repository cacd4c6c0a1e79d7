"""From the mesh, the links and the order of paths to the engine's next snapshot.

Pure and deterministic: the same tables give the same snapshot.

Also here: which paths can be installed at all, so that nothing is handed to the engine that it would have
to refuse.
"""

from collections.abc import Iterable, Mapping, Sequence

from overlayd.agent.mesh import MeshView, Peer
from overlayd.agent.protector import protect
from overlayd.model.ids import NodeId, Path
from overlayd.model.node import MAX_SHARDS, NodeRecord
from overlayd.model.service import HostRule, Rule, ServiceClass
from overlayd.protocol import engine
from overlayd.protocol.controller import NetworkConfig

MAX_RELAYS = 4


def compile_snapshot(
    generation: int,
    me: NodeRecord,
    mesh: MeshView,
    network: NetworkConfig,
    links: Iterable[engine.Link],
    orders: Mapping[tuple[NodeId, int], tuple[Path, ...]],
    rules: Sequence[HostRule] = (),
    probe_budget: int | None = None,
) -> engine.Snapshot:
    """Return the complete tables.

    ``orders`` holds installable paths, best first, for each destination and class; ``rules`` are this host's
    own, of which those are left out whose class the network does not have; ``probe_budget`` is one shard's.
    """
    return engine.Snapshot(
        schema=engine.SCHEMA,
        generation=generation,
        route_generation=mesh.generation,
        network=engine.Network(network.id, network.suite, network.psk),  # pyright: ignore[reportArgumentType]
        node=engine.Local(me.id, me.name, me.addresses, _own_prefixes(me), me.relay),
        peers=tuple(_peer(mesh.peers[node]) for node in sorted(mesh.peers)),
        links=tuple(sorted(links, key=lambda link: link.id)),
        classes=tuple(protect(service) for service in network.classes),
        classifiers=tuple(_classifiers(network.classes, rules)),
        routes=tuple(
            engine.Route(destination, class_id, paths)
            for (destination, class_id), paths in sorted(orders.items())
            if paths
        ),
        revocation_epoch=mesh.epoch,
        probe_budget=probe_budget,
    )


def installable(path: Path, me: NodeId, mesh: MeshView, neighbours: frozenset[NodeId]) -> bool:
    """Tell whether ``path`` starts with a neighbour, passes relays only, repeats no node and knows all."""
    *relays, _ = path
    return (
        path[0] in neighbours
        and len(relays) <= MAX_RELAYS
        and len({me, *path}) == len(path) + 1
        and all(node in mesh.peers for node in path)
        and all(mesh.peers[relay].record.relay for relay in relays)
    )


def _own_prefixes(me: NodeRecord) -> tuple[str, ...]:
    hosts = (f"{address}/{128 if ':' in address else 32}" for address in me.addresses)
    return tuple(dict.fromkeys((*hosts, *me.prefixes)))


def _peer(peer: Peer) -> engine.Peer:
    record = peer.record
    lanes = min((uplink.lanes for uplink in peer.uplinks), default=1)
    return engine.Peer(
        id=record.id,
        name=record.name,
        public_key=record.public_key,
        prefixes=_own_prefixes(record),
        relay=record.relay,
        lanes=min(max(lanes, 1), MAX_SHARDS),
    )


def _classifiers(classes: tuple[ServiceClass, ...], rules: Sequence[HostRule]) -> Iterable[engine.Classifier]:
    """This host's rules first, then the network's, then code points; the first that fits is taken."""
    numbers = {service.name: class_id for class_id, service in enumerate(classes)}
    for rule in rules:
        if rule.class_ in numbers:
            yield _classifier(numbers[rule.class_], rule)
    for class_id, service in enumerate(classes):
        for rule in service.rules:
            yield _classifier(class_id, rule)
    for class_id, service in enumerate(classes):
        for dscp in service.dscp:
            yield engine.Classifier(class_id, dscp=dscp)


def _classifier(class_id: int, rule: Rule) -> engine.Classifier:
    return engine.Classifier(
        class_id,
        dscp=rule.dscp,
        protocol=rule.protocol_number,
        port=rule.port,
        prefix=rule.prefix,
        source=rule.source,
        source_port=rule.source_port,
        destination=rule.destination,
        destination_port=rule.destination_port,
    )
