"""The other half of the loops: routes' addresses and status, what each node is told. I/O: on the loop."""

import asyncio
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network

import msgspec

from controller.orchestration.control.addresses import assign
from controller.orchestration.control.apps import App
from controller.orchestration.control.instances import Instance
from controller.orchestration.control.intents import About, Intent, Make, Remove, Replace, Report
from controller.orchestration.control.members import Member
from controller.orchestration.control.routes import Route, backing, read_route, refused, status_of
from controller.orchestration.control.steering import Steered, read_group, steering
from controller.orchestration.objects.approute import APP_ROUTE
from controller.orchestration.objects.schema import Object
from controller.orchestration.objects.steering import STEERING
from controller.orchestration.objects.usergroup import USER_GROUP
from controller.orchestration.serving.known import Known, Name
from controller.orchestration.serving.surroundings import View
from controller.orchestration.serving.watching import Hub
from controller.orchestration.store.store import Store
from overlayd.protocol.pod import Pod
from overlayd.protocol.steering import Steering, SteeringSpec

Pods = Mapping[str, Sequence[tuple[Pod, Instance]]]


class Steerings:
    """Routes and what nodes are told of them, as they are."""

    def __init__(self, store: Store, hub: Hub, prefix: IPv4Network, woken: asyncio.Event) -> None:
        self._prefix = prefix
        self._routes: Known[Route] = Known(store, hub, APP_ROUTE, read_route, woken)
        self._groups = Known(store, hub, USER_GROUP, read_group, woken)
        self._told: Known[Steering] = Known(store, hub, STEERING, _read_steering, woken)

    def catch_up(self) -> bool:
        """Take over what has changed; tell whether anything has."""
        changed = [known.catch_up() for known in (self._routes, self._groups, self._told)]
        return any(changed)

    def apps_of(self, route: str) -> list[Name]:
        """Return the apps behind a route (``NAMESPACE/NAME``)."""
        found = self._routes.all.get(Name(*route.split("/", 1))) if "/" in route else None
        return [] if found is None else [Name(found.spec.namespace, app) for app, _ in found.spec.backends]

    def note(self, value: Object) -> None:
        """Take over what was just written."""
        known = {APP_ROUTE.name: self._routes, STEERING.name: self._told}.get(value["kind"])
        if known is not None:
            known.note(value)

    def decide(
        self,
        apps: Mapping[str, App],
        pods: Pods,
        members: Mapping[str, Member],
        view: View,
        rooms: Mapping[str, float],
        now_s: float,
    ) -> list[Intent]:
        """Return what to write: of routes their status, of steering what is new. For any thread."""
        routes = list(self._routes.all.values())
        backs = {route.spec.key: backing(route.spec, apps, pods, members) for route in routes}
        refusals = refused(routes)
        own = {route.spec.key: route.address for route in routes if route.spec.key not in refusals}
        addresses = assign(own, self._prefix)
        intents: list[Intent] = []
        for route in routes:
            key = route.spec.key
            status = status_of(route, backs[key], addresses.get(key, ""), refusals.get(key, ""), now_s)
            if status is not None:
                spec = route.spec
                about = About(APP_ROUTE.name, spec.namespace, spec.name, route.uid, route.version)
                intents.append(Report(about, status))
        taken = [
            Steered(route, addresses[route.spec.key], backs[route.spec.key])
            for route in routes
            if route.spec.key in addresses
        ]
        groups, cloud = list(self._groups.all.values()), view.cloud()
        for name, member in members.items():
            told = self._told.all.get(Name("", name))
            if not member.joined:
                continue
            before = told.spec if told is not None else SteeringSpec()
            spec = steering(name, taken, groups, view.distance, cloud, before, rooms)
            if told is None and (spec.routes or spec.groups):
                intents.append(Make(STEERING.name, _body(name, spec)))
            elif told is not None and spec != before:
                about = About(STEERING.name, "", name, version=told.metadata.resource_version)
                intents.append(Replace(about, _body(name, spec)))
        joined = {name for name, member in members.items() if member.joined}
        gone = [name for _, name in self._told.all if name not in joined]
        return [*intents, *(Remove(About(STEERING.name, "", name)) for name in gone)]


def _body(name: str, spec: SteeringSpec) -> Object:
    return {"metadata": {"name": name}, "spec": msgspec.json.decode(msgspec.json.encode(spec))}


def _read_steering(value: Object) -> Steering:
    return msgspec.convert(value, Steering)
