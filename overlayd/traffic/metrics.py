"""What Prometheus reads of a node's routes: requests, errors, retries, who is left out. Pure but for
the library that writes the format.

Names and labels are data (:data:`FAMILIES`), which `docs/metrics.md` repeats. Called by `service`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set

from prometheus_client.core import Metric

from overlayd.daemon.metric_families import Family, Sample, as_families
from overlayd.protocol.steering import SteeredRoute, Target
from overlayd.traffic.counters import Counts, Key
from overlayd.traffic.listeners import proxy_of
from overlayd.traffic.servers import host_port

_ROUTE = ("route",)
STATES = ("used", "backup", "draining", "ejected")

FAMILIES: tuple[Family, ...] = (
    Family(
        "overlayd_approute_requests_total", "counter", "Requests; TCP: connections, UDP: datagrams.", _ROUTE
    ),
    Family(
        "overlayd_approute_errors_total",
        "counter",
        "Requests answered with a status from 500 on; TCP: connections that reached nobody.",
        _ROUTE,
    ),
    Family("overlayd_approute_refused_total", "counter", "Requests that limits or users refused.", _ROUTE),
    Family("overlayd_approute_retries_total", "counter", "Tries beyond the first.", _ROUTE),
    Family("overlayd_approute_received_bytes_total", "counter", "Bytes from users.", _ROUTE),
    Family("overlayd_approute_sent_bytes_total", "counter", "Bytes to users; not known of UDP.", _ROUTE),
    Family("overlayd_approute_ejections_total", "counter", "Times that an instance was left out.", _ROUTE),
    Family("overlayd_approute_instances", "gauge", "Instances as users here get them.", ("route", "state")),
    Family("overlayd_traffic_problems", "gauge", "Routes and parts that are not in force."),
)


def told(
    routes: Sequence[SteeredRoute],
    totals: Mapping[Key, Counts],
    out: Set[tuple[str, str]],
    problems: int,
) -> list[Metric]:
    """Return what is told of ``routes``. ``out``: who is left out, by proxy and ``10.0.0.1:80``."""
    return as_families(_samples(routes, totals, out, problems), FAMILIES)


def _samples(
    routes: Sequence[SteeredRoute],
    totals: Mapping[Key, Counts],
    out: Set[tuple[str, str]],
    problems: int,
) -> Iterator[Sample]:
    for route in routes:
        proxy, label = proxy_of(route.name), (route.name,)
        counts = totals.get((proxy, ""), Counts())
        yield "overlayd_approute_requests_total", label, counts.requests
        yield "overlayd_approute_errors_total", label, counts.failed
        yield "overlayd_approute_refused_total", label, counts.refused
        yield "overlayd_approute_retries_total", label, counts.retried
        yield "overlayd_approute_received_bytes_total", label, counts.received
        yield "overlayd_approute_sent_bytes_total", label, counts.sent if route.protocol != "UDP" else None
        yield "overlayd_approute_ejections_total", label, counts.ejected
        states = Counter(_state(proxy, target, out) for target in route.targets)
        for state in STATES:
            yield "overlayd_approute_instances", (route.name, state), states[state]
    yield "overlayd_traffic_problems", (), problems


def _state(proxy: str, target: Target, out: Set[tuple[str, str]]) -> str:
    if (proxy, host_port(target.address, target.port)) in out:
        return "ejected"
    if target.weight == 0:
        return "draining"
    return "backup" if target.backup else "used"
