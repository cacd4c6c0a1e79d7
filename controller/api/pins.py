"""``/v1/pins``: paths pinned by hand, listed, set and let go. Reads and tells the service.

Called by `controller.api.app`.
"""

from typing import Any, Literal

from fastapi import APIRouter, HTTPException
from pydantic import Field

from controller.api.asking import MISSING, ClassName, NodeName, find_class, find_node
from controller.api.models import Model, Problem
from controller.configured import place_of
from controller.policy.rules import MOST_RELAYS, Pin
from controller.registry import timestamp
from controller.server.service import Service
from overlayd.model.ids import NodeId

_REFUSED: dict[int | str, dict[str, Any]] = {**MISSING, 422: {"model": Problem}}


class PinRequest(Model):
    """``via`` are relays in order; none: the direct path. Without ``class`` it is for all classes."""

    source: str
    destination: str
    class_: str | None = None
    via: list[str] = Field(default_factory=list[str])


class PinModel(Model):
    """``inForce``: the route (of all classes that are meant) takes the path; else the path is not usable,
    or was not for long enough, or one of ``via`` may not relay any more.
    """

    source: str
    destination: str
    class_: str | None
    via: list[str]
    set_at: str
    in_force: bool


class PinList(Model):
    schema_: Literal["overlayd.pins/1"] = "overlayd.pins/1"
    items: list[PinModel]


class Unpinned(Model):
    """How many pins were let go."""

    schema_: Literal["overlayd.unpinned/1"] = "overlayd.unpinned/1"
    pins: int


def add_pins(router: APIRouter, service: Service) -> None:
    """Add the endpoints to ``router``."""

    @router.get("/pins")
    async def list_pins() -> PinList:
        """All paths that are pinned by hand."""
        return PinList(items=[_model(service, pin, at) for pin, at in service.state.store.pins()])

    @router.put("/pins", responses=_REFUSED)
    async def pin_route(wanted: PinRequest) -> PinList:
        """Have a path in force as long as it carries anything; in the place of an earlier pin."""
        pin = _read(service, wanted)
        service.pin(pin)
        kept = [(one, at) for one, at in service.state.store.pins() if one == pin]
        return PinList(items=[_model(service, one, at) for one, at in kept])

    @router.delete("/pins", responses=MISSING)
    async def unpin_route(src: NodeName, dst: NodeName, class_: ClassName = None) -> Unpinned:
        """Let the planner choose again; without a class for all of them."""
        number = None if class_ is None else find_class(service, class_)
        gone = service.unpin(find_node(service, src), find_node(service, dst), number)
        if not gone:
            of_class = "" if class_ is None else f", class {class_}"
            raise HTTPException(404, f"no path is pinned from {src} to {dst}{of_class}")
        return Unpinned(pins=gone)


def _read(service: Service, wanted: PinRequest) -> Pin:
    """Return what is wanted. Raises 404 for names that do not exist and 422 for paths that cannot be."""
    source, destination = find_node(service, wanted.source), find_node(service, wanted.destination)
    relays = tuple(find_node(service, name) for name in wanted.via)
    number = None if wanted.class_ is None else find_class(service, wanted.class_)
    if len(relays) > MOST_RELAYS:
        raise HTTPException(422, f"a path passes at most {MOST_RELAYS} relays, not {len(relays)}")
    if len({source, destination, *relays}) < 2 + len(relays):
        raise HTTPException(422, "a path passes each node once, and leads from one to another")
    for name, relay in zip(wanted.via, relays, strict=True):
        granted = service.members[relay].node.spec.relay
        if not (granted and place_of(service.state.config, name).relay):
            right = "it would need a token with --relay, and no `relay = false` in controller.toml"
            raise HTTPException(422, f"{name} is no relay: {right}")
    return Pin(source, destination, number, relays)


def _model(service: Service, pin: Pin, unix_s: float) -> PinModel:
    classes = service.core.services
    numbers = range(len(classes)) if pin.class_id is None else (pin.class_id,)
    routes = [service.core.book.route(pin.source, pin.destination, number) for number in numbers]
    primaries = [None if rows is None else rows.routes()[0].paths[0] for rows in routes]
    return PinModel(
        source=_name(service, pin.source),
        destination=_name(service, pin.destination),
        class_=None if pin.class_id is None else classes[pin.class_id].name,
        via=[_name(service, relay) for relay in pin.relays],
        set_at=timestamp(unix_s),
        in_force=all(path == (*pin.relays, pin.destination) for path in primaries),
    )


def _name(service: Service, node: NodeId) -> str:
    member = service.members.get(node)
    return f"#{node}" if member is None else member.node.metadata.name
