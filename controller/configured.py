"""What ``controller.toml`` says of classes and nodes, as agents and the planner take it. Pure.

Not here: reading and checking the file (`controller.config`).
"""

from typing import TypeVar

from msgspec.structs import replace

from controller.config import Config
from controller.planner.probing import Probing
from controller.policy.rules import ANYWHERE, Place, Policy
from overlayd.model.service import DEFAULT_CLASSES, Objective, ServiceClass

MBIT = 1e6
_T = TypeVar("_T")


def classes_of(config: Config) -> tuple[ServiceClass, ...]:
    """Return all classes, with the names, objectives, bounds and shares that were asked for."""
    return tuple(_class(config, service) for service in DEFAULT_CLASSES)


def policies_of(config: Config) -> tuple[Policy, ...]:
    """Return the policy of each class."""
    return tuple(_policy(config, service.name) for service in DEFAULT_CLASSES)


def place_of(config: Config, name: str) -> Place:
    """Return what is said of a node."""
    node = config.nodes.get(name)
    if node is None:
        return ANYWHERE
    capacity = None if node.capacity_mbit is None else node.capacity_mbit * MBIT
    return Place(node.region, node.relay, capacity)


def probing_of(config: Config) -> Probing:
    """Return how many nodes probe each other, and how many relays the others probe."""
    return Probing(config.probing.full_mesh, config.probing.relays)


def _class(config: Config, service: ServiceClass) -> ServiceClass:
    section = config.classes.get(service.name)
    if section is None:
        return service
    objective, bound = service.objective, service.bound
    if section.policy is not None:
        objective = Objective.WEIGHTED if section.policy in config.policies else Objective(section.policy)
    if section.max_rtt_ms is not None:
        bound = replace(bound, rtt_ms=section.max_rtt_ms)
    return replace(
        service,
        name=_or(section.name, service.name),
        objective=objective,
        bound=bound,
        weight=_or(section.weight, service.weight),
        priority_ratio=_or(section.priority_ratio, service.priority_ratio),
        dscp=_or(section.dscp, service.dscp),
        rules=section.rules,
    )


def _or(said: _T | None, otherwise: _T) -> _T:
    return otherwise if said is None else said


def _policy(config: Config, name: str) -> Policy:
    section = config.classes.get(name)
    if section is None:
        return Policy()
    weights: tuple[tuple[Objective, float], ...] = ()
    if section.policy in config.policies:
        own = config.policies[section.policy]
        given = {one: float(getattr(own, one)) for one in Objective if one is not Objective.WEIGHTED}
        weights = tuple((one, weight) for one, weight in given.items() if weight > 0)
    return Policy(
        weights=weights,
        loss_ratio=section.max_loss,
        price_per_gb=section.max_price_per_gb,
        relays=section.max_relays,
        regions=section.regions,
        avoid_regions=section.avoid_regions,
    )
