"""Ourselves as a measured system: engines as the product runs them, a snapshot by hand in place of an agent.

A chain of hosts, each linked to its neighbours only, so that what goes from end to end passes every relay.
I/O; called by `run`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from overlayd.model.service import DEFAULT_CLASSES, ServiceClass
from overlayd.protocol import engine
from sim.lab.errors import LabError
from tests.bench.ground import Ground, underlay
from tests.bench.systems import wait_for
from tests.network.engines import Agent, Host, snapshot

MOST_REPAIRED = next(service for service in DEFAULT_CLASSES if service.name == "reliable")
"""The class of the strongest repair that the product comes with."""
UNREPAIRED = msgspec.structs.replace(DEFAULT_CLASSES[0], retransmit=False, repair=())
"""The product's default class without any repair: frames are numbered, none is kept, nothing is asked for."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """``service`` is the class of all traffic, ``shards`` the number at each host."""

    name: str
    relays: int = 0
    service: ServiceClass = DEFAULT_CLASSES[0]
    shards: int = 1

    @property
    def hosts(self) -> int:
        return self.relays + 2

    def start(self, ground: Ground, _find: Callable[[str], str]) -> tuple[str, str]:
        numbers = range(1, self.hosts + 1)
        hosts = [Host(number, ground.directory, shards=self.shards) for number in numbers]
        for host, namespace in zip(hosts, ground.namespaces, strict=True):
            host.namespace, host.log = namespace, ground.log(host.number)
            assert host.underlay == underlay(host.number)
            host.write_files()
            ground.start_tunnel(host.number, host.command())
        for host in hosts:
            wait_for(ground, host.socket.exists, f"the socket of engine {host.number}")
            # The engine goes on with its tables when the agent has gone.
            with Agent(host.socket) as agent:
                answer = agent.apply(chain_snapshot(host, hosts, self.service))
                if not isinstance(answer, engine.Applied):
                    raise LabError(f"host{host.number}: {answer}")
                if host is hosts[-1]:
                    agent.wait_up(self.shards)
        return hosts[0].addresses[0], hosts[-1].addresses[0]


def chain_snapshot(host: Host, hosts: list[Host], service: ServiceClass) -> engine.Snapshot:
    """The tables of one host of a chain: links to its neighbours, and through them paths to all others."""
    others = [other for other in hosts if other is not host]
    whole = snapshot(host, others)
    return msgspec.structs.replace(
        whole,
        links=tuple(link for link in whole.links if abs(link.peer - host.number) == 1),
        routes=tuple(engine.Route(other.number, 0, (path_between(host, other),)) for other in others),
        classes=(
            engine.Class(
                service.name,
                service.deadline_ms,
                service.retransmit,
                service.repair,
                service.repair_cap_ratio,
            ),
        ),
    )


def path_between(host: Host, other: Host) -> tuple[int, ...]:
    """The numbers of the hops from ``host`` on."""
    step = 1 if other.number > host.number else -1
    return tuple(range(host.number + step, other.number + step, step))


OVERLAYS = (
    Overlay("overlayd"),
    Overlay("overlayd-relay1", relays=1),
    Overlay("overlayd-relay2", relays=2),
    Overlay("overlayd-repair-on", service=MOST_REPAIRED),
)
ON_DEMAND = (Overlay("overlayd-repair-off", service=UNREPAIRED),)
"""Measured only where they are named: no product of anybody."""
