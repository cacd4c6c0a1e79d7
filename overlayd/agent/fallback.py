"""Routes of the agent's own making, for destinations that the controller has sent none for.

Direct comes first, then the nearest relays. Without a controller nothing is known of the hops behind a
relay, so only the first hop counts; which of the paths works is found by using it. Pure.
"""

from collections.abc import Iterable, Mapping

from overlayd.agent.mesh import MeshView
from overlayd.model.ids import ClassId, NodeId, Path
from overlayd.model.route import Candidate, Route, Verdict

MAX_BACKUPS = 2


class LocalRoutes:
    """Makes routes for one state of the links; relays are put in order once for all destinations."""

    def __init__(
        self, mesh: MeshView, neighbours: Iterable[NodeId], rtts_ms: Mapping[NodeId, float], decided_at: float
    ) -> None:
        """``neighbours`` are nodes with a link, ``rtts_ms`` the RTTs of those that answer; ``decided_at`` is
        in Unix seconds.
        """
        self._at_hand = frozenset(neighbours)
        self._relays = sorted(
            (node for node in self._at_hand if mesh.peers[node].record.relay),
            key=lambda node: (node not in rtts_ms, rtts_ms.get(node, 0.0), node),
        )
        self._rtts_ms = rtts_ms
        self._decided_at = decided_at
        self._weighed: dict[NodeId, tuple[tuple[Path, ...], tuple[Candidate, ...]]] = {}

    def route(self, destination: NodeId, class_id: int) -> Route:
        """Return the route to ``destination``; without paths if there is neither a link nor a relay."""
        weighed = self._weighed.get(destination)
        if weighed is None:
            weighed = self._weighed[destination] = self._weigh(destination)
        paths, candidates = weighed
        return Route(
            destination=destination,
            class_id=ClassId(class_id),
            paths=paths,
            candidates=candidates,
            reason="no route from the controller: direct first, then over the nearest relays",
            decided_at=self._decided_at,
            decider="agent",
        )

    def _weigh(self, destination: NodeId) -> tuple[tuple[Path, ...], tuple[Candidate, ...]]:
        """Return the paths, and all that were weighed: no class makes a difference."""
        direct: list[Path] = [(destination,)] if destination in self._at_hand else []
        relayed: list[Path] = [(relay, destination) for relay in self._relays if relay != destination]
        paths = (*direct, *relayed[:MAX_BACKUPS])
        verdicts = [Verdict.BACKUP if i else Verdict.PRIMARY for i, _ in enumerate(paths)]
        chosen = [_candidate(path, as_, self._rtts_ms) for path, as_ in zip(paths, verdicts, strict=True)]
        passed_over = [_candidate(path, Verdict.REJECTED, self._rtts_ms) for path in relayed[MAX_BACKUPS:]]
        return paths, (*chosen, *passed_over)


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
