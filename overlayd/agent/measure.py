"""What is known of a path at this moment: from its own reports, and from the links to its first hop.

Pure; called for every judgement.
"""

from collections.abc import Mapping

from overlayd.agent.estimator import Estimator
from overlayd.agent.selector import Figures
from overlayd.model.ids import LinkId, NodeId, Path


def figures(
    estimator: Estimator, preference: Mapping[LinkId, int], class_id: int, path: Path, now: int
) -> Figures | None:
    """Return ``path`` as measured now; None if nothing fresh is known of it.

    A direct path that carries nothing is known by its link. A path whose first hop has no living link is
    dead, whatever was measured before; ``preference`` is that of each link.
    """
    destination, first = path[-1], path[0]
    if estimator.all_down(first):
        return Figures(alive=False)
    link = estimator.best_link(first, preference)
    hop = estimator.link(link, now) if link is not None else None
    end_to_end = estimator.path(destination, class_id, path, now)
    report = estimator.path_report(destination, class_id, path, now)
    if report is not None and not report.alive:
        return Figures(alive=False)
    known = end_to_end or (hop if len(path) == 1 else None)
    if known is None:
        return None
    return Figures(
        alive=True,
        rtt_ms=known.rtt_ms,
        rtt_low_ms=known.rtt_low_ms,
        loss_ratio=end_to_end.loss_floor_ratio if end_to_end else None,
        link_loss_ratio=hop.loss_floor_ratio if hop else None,
    )


def rtts_ms(
    estimator: Estimator, preference: Mapping[LinkId, int], peers: frozenset[NodeId], now: int
) -> dict[NodeId, float]:
    """Return the RTT to each of ``peers`` that answers."""
    found: dict[NodeId, float] = {}
    for peer in peers:
        link = estimator.best_link(peer, preference)
        estimate = estimator.link(link, now) if link is not None else None
        if estimate is not None and estimate.rtt_short_ms is not None:
            found[peer] = estimate.rtt_short_ms
    return found
