"""Routes of the agent's own making, for destinations that the controller has sent none for.

Direct comes first, then the nearest relays. Without a controller nothing is known of the hops behind a
relay, so only the first hop counts; which of the paths works is found by using it. Pure.
"""

from collections.abc import Iterable, Mapping

from overlayd.agent.mesh import MeshView
from overlayd.model.ids import ClassId, NodeId, Path
from overlayd.model.route import Candidate, Route, Verdict

MAX_BACKUPS = 2


def local_route(
    destination: NodeId,
    class_id: int,
    mesh: MeshView,
    neighbours: Iterable[NodeId],
    rtts_ms: Mapping[NodeId, float],
    decided_at: float,
) -> Route:
    """Return the route to ``destination``; without paths if there is neither a link nor a relay.

    ``neighbours`` are nodes with a link, ``rtts_ms`` the RTTs of those that answer, ``decided_at`` Unix
    seconds.
    """
    at_hand = frozenset(neighbours)
    relays = sorted(
        (node for node in at_hand if node != destination and mesh.peers[node].record.relay),
        key=lambda node: (node not in rtts_ms, rtts_ms.get(node, 0.0), node),
    )
    direct: list[Path] = [(destination,)] if destination in at_hand else []
    relayed: list[Path] = [(relay, destination) for relay in relays]
    paths = direct + relayed[:MAX_BACKUPS]
    passed_over = [_candidate(path, Verdict.REJECTED, rtts_ms) for path in relayed[MAX_BACKUPS:]]
    chosen = [
        _candidate(path, Verdict.BACKUP if i else Verdict.PRIMARY, rtts_ms) for i, path in enumerate(paths)
    ]
    return Route(
        destination=destination,
        class_id=ClassId(class_id),
        paths=tuple(paths),
        candidates=(*chosen, *passed_over),
        reason="no route from the controller: direct first, then over the nearest relays",
        decided_at=decided_at,
        decider="agent",
    )


def _candidate(path: Path, verdict: Verdict, rtts_ms: Mapping[NodeId, float]) -> Candidate:
    if len(path) == 1:
        reason = "direct"
    elif path[0] not in rtts_ms:
        reason = "over a relay that does not answer yet"
    elif verdict is Verdict.REJECTED:
        reason = f"{MAX_BACKUPS} relays are nearer"
    else:
        reason = f"over a relay {rtts_ms[path[0]]:.1f} ms away"
    return Candidate(path, verdict, reason)
