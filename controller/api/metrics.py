"""The mesh as Prometheus reads it from its controller: members, channels, links, routes and decisions.

Of links only how many there are of each kind: figures of single links are told by the hosts they begin at.
Names and labels are data (:data:`FAMILIES`), which `docs/metrics.md` repeats. Reads the service, changes
nothing.
"""

from collections.abc import Iterator
from datetime import datetime

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from controller.core.messages import Instant
from controller.server.service import Service, now
from overlayd._engine import version

FAMILIES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("overlayd_controller_build_info", "gauge", "1; the version is a label.", ("version",)),
    ("overlayd_controller_nodes", "gauge", "Members of the network.", ()),
    ("overlayd_controller_node_connected", "gauge", "Whether the node's agent has its channel.", ("node",)),
    ("overlayd_controller_node_cert_expiry_timestamp_seconds", "gauge", "End of its record.", ("node",)),
    ("overlayd_controller_links", "gauge", "Measured links, each direction apart.", ("state",)),
    ("overlayd_controller_routes", "gauge", "Routes in force.", ()),
    ("overlayd_controller_mesh_generation", "gauge", "Generation of the mesh.", ()),
    ("overlayd_controller_refused_samples_total", "counter", "Samples that were not believed.", ()),
    ("overlayd_controller_decision_seconds", "histogram", "Time to forecast and plan all routes.", ()),
    ("overlayd_controller_decisions_failed_total", "counter", "Decisions that ended in an error.", ()),
    ("overlayd_controller_route_changes_total", "counter", "Changes of a primary path.", ("decider",)),
)
"""Name, kind, meaning, labels. The last three are counted as they happen (`controller.server.meters`)."""

_HELP = {name: (text, labels) for name, _, text, labels in FAMILIES}


def exposition(service: Service) -> bytes:
    """Return all metrics in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Moment(service, now()))
    return generate_latest(registry) + generate_latest(service.meters.registry)


class _Moment:
    """What there is at one moment."""

    def __init__(self, service: Service, at: Instant) -> None:
        self._service = service
        self._at = at

    def collect(self) -> Iterator[Metric]:
        service = self._service
        yield _gauge("overlayd_controller_build_info", ((version(),), 1))
        yield _gauge("overlayd_controller_nodes", ((), len(service.members)))
        names = {node: member.node.metadata.name for node, member in service.members.items()}
        yield _gauge(
            "overlayd_controller_node_connected",
            *(((name,), node in service.sessions) for node, name in names.items()),
        )
        ends = ((member.node.metadata.name, member.node.status) for member in service.members.values())
        yield _gauge(
            "overlayd_controller_node_cert_expiry_timestamp_seconds",
            *(
                ((name,), datetime.fromisoformat(status.certificate_not_after).timestamp())
                for name, status in ends
                if status.certificate_not_after is not None
            ),
        )
        yield _gauge("overlayd_controller_links", *self._links())
        yield _gauge("overlayd_controller_routes", ((), service.core.book.number))
        yield _gauge("overlayd_controller_mesh_generation", ((), service.core.publication.generation))
        name = "overlayd_controller_refused_samples_total"
        yield CounterMetricFamily(name, _HELP[name][0], service.core.refused_samples)

    def _links(self) -> Iterator[tuple[tuple[str, ...], float]]:
        core = self._service.core
        forecast = core.forecast(self._at)
        spoken = (core.topology.latest.up >= 0) | (core.topology.latest.up.T >= 0)
        yield ("down",), int(np.count_nonzero(spoken & forecast.down))
        yield ("confirmed",), int(np.count_nonzero(spoken & forecast.confirmed & ~forecast.down))
        yield ("unconfirmed",), int(np.count_nonzero(spoken & ~forecast.confirmed & ~forecast.down))


def _gauge(name: str, *samples: tuple[tuple[str, ...], float]) -> GaugeMetricFamily:
    text, labels = _HELP[name]
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
