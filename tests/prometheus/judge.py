"""What a Prometheus that has watched the lab has to know: every documented metric and no other, in no more
series than are documented; an answer to each query of the dashboards; alerts for what is broken and for
nothing else. Asks Prometheus, changes nothing.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tests.prometheus import pages

DEAD, DEAF, LOSSY, RATED = "host02", "host03", "host04", "host05"
"""Killed after a third of the time; 30 % loss on all its wires; 6 % towards those after it, and an engine
that is killed twice; with a rate, and a little loss on all its wires."""
BROKEN = (DEAD, DEAF, LOSSY)
EXPECTED = {
    "OverlaydHostDown": {DEAD},
    "OverlaydNodeGone": {DEAD},
    "OverlaydResidualLoss": {DEAF},
    "OverlaydLinkLoss": {DEAF, LOSSY},
    "OverlaydEngineRestarts": {LOSSY},
}
"""Alerts that have to fire, and of which hosts; of all the broken ones they may."""
EXPIRY = "OverlaydCertificateExpires"
"""Has to fire for every host that lives: no certificate is as old as this lab's rule asks for."""

FLAP = "OverlaydRoutesFlap"
TALKERS = ("host01", RATED)
"""They send to broken hosts: whichever way they try, none is good, so their routes may well flap."""

Report = dict[str, Any]


class Server(Protocol):
    """What is asked of a Prometheus."""

    def query(self, expression: str) -> Sequence[Mapping[str, Any]]: ...
    def names(self) -> set[str]: ...
    def memory(self) -> int: ...


def report(server: Server, hosts: Sequence[str], fired: Mapping[str, list[dict[str, str]]]) -> Report:
    """All answers; ``ok`` where each is as it should be."""
    metrics = _metrics(server)
    series = _series(server, len(hosts))
    dashboards = _dashboards(server)
    alerts = _alerts(set(hosts), fired)
    faults = (
        metrics["missing"],
        metrics["undocumented"],
        series["too_many"],
        dashboards["without_data"],
        alerts["expected_but_silent"],
        alerts["needless"],
    )
    return {
        "ok": not any(faults),
        "hosts": len(hosts),
        "metrics": metrics,
        "series": series,
        "dashboards": dashboards,
        "alerts": alerts,
    }


def _metrics(server: Server) -> Report:
    documented = pages.metrics()
    held = {name: pages.family(name, documented) for name in server.names() if name.startswith("overlayd_")}
    known = {metric.name for metric in held.values() if metric is not None}
    return {
        "documented": len(documented),
        "missing": sorted(documented.keys() - known),
        "undocumented": sorted(name for name, metric in held.items() if metric is None),
    }


def _series(server: Server, nodes: int) -> Report:
    """Hold how many series each host tells of each metric against what is documented."""
    documented = pages.metrics()
    counts: dict[str, dict[str, int]] = {}
    for row in server.query('count by (__name__, instance) ({__name__=~"overlayd_.+"})'):
        metric = pages.family(row["metric"]["__name__"], documented)
        if metric is not None:
            of_host = counts.setdefault(row["metric"]["instance"], {})
            of_host[metric.name] = of_host.get(metric.name, 0) + int(row["value"][1])
    classes = _by_host(
        server, "count by (instance) (count by (instance, class) ({__name__=~'overlayd_.+', class!=''}))"
    )
    shards = _by_host(server, "count by (instance) (overlayd_packets_total{direction='in'})")
    too_many: list[str] = []
    fullest = {name: 0.0 for name in documented}
    for host, found in counts.items():
        letters = {
            "N": nodes,
            "L": nodes - 1,  # one uplink and one endpoint each
            "C": classes.get(host, 0),
            "S": shards.get(host, 0),
            "R": len(pages.reasons()),
        }
        for name, count in found.items():
            most = documented[name].most(letters)
            fullest[name] = max(fullest[name], count / most if most else math.inf)
            if count > most:
                too_many.append(f"{host}: {name}: {count}, at most {most} are documented")
    of_hosts = [sum(found.values()) for found in counts.values() if "overlayd_member" in found]
    return {
        "in_all": sum(sum(found.values()) for found in counts.values()),
        "of_a_host_at_most": max(of_hosts),
        "bytes_in_memory": server.memory(),
        "share_of_documented_at_most": {name: round(share, 2) for name, share in fullest.items()},
        "too_many": sorted(too_many),
    }


def _by_host(server: Server, expression: str) -> dict[str, int]:
    return {row["metric"]["instance"]: int(row["value"][1]) for row in server.query(expression)}


def _dashboards(server: Server) -> Report:
    chosen = {"instance": RATED, "peer": _busiest_peer(server)}
    empty: list[str] = []
    asked = 0
    for name, dashboard in pages.dashboards().items():
        for variable, (selector, label) in pages.variables(dashboard).items():
            asked += 1
            rows = server.query(f"count by ({label}) ({_filled(selector, chosen)})")
            if chosen[variable] not in {row["metric"].get(label) for row in rows}:
                empty.append(f"{name}: ${variable}")
    for query in pages.queries():
        asked += 1
        rows = server.query(_filled(query.expression, chosen))
        if not any(row["value"][1] != "NaN" for row in rows):
            empty.append(f"{query.dashboard}: {query.panel}: {query.expression}")
    return {"asked_of": chosen, "queries": asked, "without_data": empty}


def _busiest_peer(server: Server) -> str:
    """The peer of RATED that it talks to most both ways: which one it is, routes decide."""
    both_ways = (
        f"rate(overlayd_link_{word}_packets_total{{instance='{RATED}'}}[1m])"
        for word in ("source", "received")
    )
    rows = server.query(f"topk(1, sum by (peer) ({' * '.join(both_ways)}))")
    return rows[0]["metric"]["peer"] if rows else ""


def _filled(expression: str, chosen: Mapping[str, str]) -> str:
    """The expression as Grafana would send it."""
    for name, value in {"__rate_interval": "1m", **chosen}.items():
        expression = expression.replace(f"${name}", value)
    return expression


def _alerts(hosts: set[str], fired: Mapping[str, list[dict[str, str]]]) -> Report:
    about = {alert: {_host_of(labels) for labels in found} for alert, found in fired.items()}
    wanted = EXPECTED | {EXPIRY: hosts - {DEAD}}
    return {
        "fired": {alert: sorted(found) for alert, found in sorted(about.items())},
        "expected_but_silent": sorted(
            f"{alert}: {host}" for alert, found in wanted.items() for host in found - about.get(alert, set())
        ),
        "needless": sorted(
            f"{alert}: {host}"
            for alert, found in about.items()
            for host in found
            if alert != EXPIRY and host not in BROKEN and not (alert == FLAP and host in TALKERS)
        ),
    }


def _host_of(labels: Mapping[str, str]) -> str:
    """The host that an alert is about: of several that it names the one that has something wrong."""
    named = [labels[label] for label in ("node", "instance", "peer", "destination") if label in labels]
    return next((host for host in named if host in BROKEN), ", ".join(named))
