"""From a class of service to what the engine does for it: repair, order, its share of a full link. Pure.

Today's answer is the class's own table. Settings that follow the estimates of a link are made here when
there are any; nothing else decides about repair on the agent's side.
"""

from overlayd.model.service import ServiceClass
from overlayd.protocol import engine


def protect(service: ServiceClass) -> engine.Class:
    """Return the engine's settings for ``service``."""
    return engine.Class(
        name=service.name,
        deadline_ms=service.deadline_ms,
        retransmit=service.retransmit,
        repair=service.repair,
        repair_cap_ratio=service.repair_cap_ratio,
        disjoint=service.disjoint,
        in_order=service.in_order,
        weight=service.weight,
        priority_ratio=service.priority_ratio,
    )
