"""What Grafana's dashboards ask: of the mesh, of a host, of a link and its repair, of the controller. Data.

Metrics are those of docs/metrics.md; `instance` is the name of a host, as the controller's service discovery
says it. Made into files by `tools.dashboards`.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["stat", "timeseries", "heatmap"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. ``queries``: expression and legend of each series; ``unit`` in Grafana's words."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: Kind = "timeseries"
    text: str = ""

    @property
    def size(self) -> tuple[int, int]:
        return (4, 4) if self.kind == "stat" else (12, 8)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One file. ``variables``: name, label and query of what a reader chooses from."""

    name: str
    title: str
    panels: tuple[Panel, ...]
    variables: tuple[tuple[str, str, str], ...] = ()


def _stat(title: str, unit: str, expression: str, legend: str = "") -> Panel:
    return Panel(title, unit, ((expression, legend),), "stat")


def _rate(metric: str, where: str = "") -> str:
    return f"rate({metric}{{{where}}}[$__rate_interval])" if where else f"rate({metric}[$__rate_interval])"


def _sum(metric: str, by: str, where: str = "") -> str:
    return f"sum by ({by}) ({_rate(metric, where)})" if by else f"sum({_rate(metric, where)})"


def _repair(by: str, where: str = "") -> tuple[Panel, ...]:
    """What repair does, by labels: the same questions of the mesh, of a host, and of a link."""
    lost, came, recovered = (
        _sum(f"overlayd_link_{word}_packets_total", by, where) for word in ("lost", "received", "recovered")
    )
    source, again, code = (
        _sum(f"overlayd_{word}_packets_total", by, where)
        for word in ("link_source", "link_retransmitted", "fec_repair")
    )
    waits = _sum("overlayd_link_added_delay_seconds_bucket", f"le, {by}", where)
    all_of_them = f"(({lost} + {came} + {recovered}) > 0)"
    return (
        Panel(
            "Loss before and after repair",
            "percentunit",
            (
                (f"({lost} + {recovered}) / {all_of_them}", "{{class}} before"),
                (f"{lost} / {all_of_them}", "{{class}} after"),
            ),
            text="Incoming, of frames that were sent with repair.",
        ),
        Panel(
            "What repair adds to the wire",
            "percentunit",
            (
                (f"{code} / ({source} > 0)", "{{class}} repair symbols"),
                (f"{again} / ({source} > 0)", "{{class}} sent again"),
            ),
            text="Outgoing, per frame of traffic.",
        ),
        Panel(
            "Delay that repair adds",
            "s",
            tuple((f"histogram_quantile({q}, {waits})", f"{{{{class}}}} p{q * 100:g}") for q in (0.9, 0.99)),
            text="Incoming, of all frames; 0 where fewer were repaired than the quantile leaves out.",
        ),
        Panel(
            "How long frames waited for repair",
            "s",
            ((_sum("overlayd_link_added_delay_seconds_bucket", "le", where), "{{le}}"),),
            kind="heatmap",
        ),
    )


MESH = Dashboard(
    "mesh",
    "overlayd: the mesh",
    (
        _stat("Members", "short", "overlayd_controller_nodes"),
        _stat("With a channel", "short", "sum(overlayd_controller_node_connected)"),
        _stat("Hosts that answer", "short", 'sum(up{job="overlayd"})'),
        _stat("Links up", "percentunit", "avg(overlayd_link_up)"),
        _stat("Dead paths", "short", "count(overlayd_path_alive == 0) or vector(0)"),
        _stat("Alerts", "short", 'count(ALERTS{alertname=~"Overlayd.+",alertstate="firing"}) or vector(0)'),
        Panel(
            "Round trip of links",
            "s",
            tuple((f"quantile({q}, overlayd_link_rtt_seconds)", f"p{q * 100:g}") for q in (0.5, 0.9, 0.99)),
        ),
        Panel(
            "Loss on the wire, the ten worst links",
            "percentunit",
            (
                (
                    'topk(10, overlayd_link_loss_ratio{direction="out"})',
                    "{{instance}} → {{peer}} ({{uplink}})",
                ),
            ),
        ),
        *_repair("class"),
        Panel(
            "Loss after repair, the ten worst links",
            "percentunit",
            (("topk(10, overlayd_link_residual_loss_ratio)", "{{peer}} → {{instance}} {{class}}"),),
        ),
        Panel(
            "Paths in use",
            "percentunit",
            (
                ("avg by (class) (overlayd_path_hops > bool 1)", "{{class}} through relays"),
                ("avg by (class) (overlayd_path_alive)", "{{class}} alive"),
            ),
        ),
        Panel(
            "Bytes of all links",
            "Bps",
            (
                (_sum("overlayd_link_sent_bytes_total", ""), "sent"),
                (_sum("overlayd_link_received_bytes_total", ""), "received"),
            ),
        ),
        Panel(
            "Packets of traffic",
            "pps",
            (
                (_sum("overlayd_packets_total", "", 'direction="in"'), "sent into the mesh"),
                (_sum("overlayd_relayed_packets_total", ""), "passed on by relays"),
            ),
        ),
        Panel(
            "Changes of path",
            "short",
            (
                (
                    "sum by (decider, reason) (increase(overlayd_route_changes_total[$__rate_interval]))",
                    "{{decider}}: {{reason}}",
                ),
            ),
        ),
        Panel(
            "Dropped, ten reasons",
            "pps",
            ((f"topk(10, {_sum('overlayd_dropped_packets_total', 'reason')})", "{{reason}}"),),
        ),
        Panel("Versions", "short", (("count by (version) (overlayd_build_info)", "{{version}}"),)),
        Panel(
            "Generation of the mesh",
            "short",
            (("max(overlayd_mesh_generation)", "newest"), ("min(overlayd_mesh_generation)", "oldest held")),
        ),
    ),
)

_HOST = 'instance="$instance"'
_QUEUED = _sum("overlayd_queue_wait_seconds_bucket", "le, class", _HOST)
HOST = Dashboard(
    "host",
    "overlayd: a host",
    (
        _stat("Member", "bool_yes_no", f"overlayd_member{{{_HOST}}}"),
        _stat("Engine", "bool_yes_no", f"overlayd_engine_connected{{{_HOST}}}"),
        _stat("Channel to the controller", "bool_yes_no", f"overlayd_controller_connected{{{_HOST}}}"),
        _stat("Starts of the engine", "short", f"overlayd_engine_starts_total{{{_HOST}}}"),
        _stat("Certificate ends in", "s", f"overlayd_cert_expiry_timestamp_seconds{{{_HOST}}} - time()"),
        _stat("Links up", "percentunit", f"avg(overlayd_link_up{{{_HOST}}})"),
        Panel(
            "Round trip of links",
            "s",
            ((f"overlayd_link_rtt_seconds{{{_HOST}}}", "{{peer}} ({{uplink}})"),),
        ),
        Panel(
            "Loss on the wire, outgoing",
            "percentunit",
            ((f'overlayd_link_loss_ratio{{{_HOST},direction="out"}}', "{{peer}} ({{uplink}})"),),
        ),
        Panel(
            "Round trip of paths in use",
            "s",
            ((f"overlayd_path_rtt_seconds{{{_HOST}}}", "{{destination}} {{class}}"),),
        ),
        Panel(
            "Loss of paths in use, after repair",
            "percentunit",
            ((f"overlayd_path_loss_ratio{{{_HOST}}}", "{{destination}} {{class}}"),),
        ),
        Panel(
            "Links of paths in use",
            "short",
            ((f"overlayd_path_hops{{{_HOST}}} * overlayd_path_alive", "{{destination}} {{class}}"),),
            text="0: the path is dead.",
        ),
        Panel(
            "Changes of path",
            "short",
            (
                (
                    f"increase(overlayd_route_changes_total{{{_HOST}}}[$__rate_interval])",
                    "{{decider}}: {{reason}}",
                ),
            ),
        ),
        *_repair("class", _HOST),
        Panel(
            "Bytes of links",
            "Bps",
            (
                (_sum("overlayd_link_sent_bytes_total", "peer", _HOST), "to {{peer}}"),
                (f"-{_sum('overlayd_link_received_bytes_total', 'peer', _HOST)}", "from {{peer}}"),
            ),
        ),
        Panel(
            "Packets of traffic, by shard",
            "pps",
            (
                (_rate("overlayd_packets_total", _HOST), "{{direction}} {{shard}}"),
                (_rate("overlayd_relayed_packets_total", _HOST), "relayed"),
            ),
            text="in: into the mesh.",
        ),
        Panel(
            "Dropped",
            "pps",
            ((_rate("overlayd_dropped_packets_total", _HOST), "{{reason}}"),),
        ),
        Panel(
            "Datagrams, and what is out of the ordinary",
            "pps",
            (
                (_rate("overlayd_datagrams_total", _HOST), "datagrams {{direction}}"),
                (_rate("overlayd_congestion_marks_total", _HOST), "marked for congestion"),
                (_rate("overlayd_stranded_packets_total", _HOST), "sent without a living path"),
                (_rate("overlayd_advised_senders_total", _HOST), "told what fits"),
                (_rate("overlayd_order_waited_packets_total", _HOST), "waited for their flow's order"),
                (_rate("overlayd_order_given_up_gaps_total", _HOST), "gaps given up"),
            ),
        ),
        Panel(
            "Probes and answers",
            "Bps",
            (
                (_rate("overlayd_probe_bytes_total", _HOST), "sent"),
                (f"overlayd_probe_budget_bytes{{{_HOST}}}", "budget"),
            ),
        ),
        Panel(
            "Between two probes",
            "s",
            ((f"overlayd_probe_interval_seconds{{{_HOST}}}", "{{of}}"),),
            text="Longer than 20 ms and 1 s where the budget binds.",
        ),
        Panel(
            "Waits for paced links, 99 of 100",
            "s",
            ((f"histogram_quantile(0.99, {_QUEUED})", "{{class}}"),),
            text="Of frames that had to wait.",
        ),
        Panel(
            "Classes at paced links",
            "pps",
            (
                (_sum("overlayd_queue_sent_packets_total", "class", _HOST), "{{class}} waited"),
                (_sum("overlayd_queue_ahead_packets_total", "class", _HOST), "{{class}} went ahead"),
                (
                    _sum("overlayd_queue_dropped_packets_total", "class, reason", _HOST),
                    "{{class}} given up: {{reason}}",
                ),
            ),
        ),
        Panel(
            "Bytes that wait for paced links",
            "bytes",
            ((f"sum by (class) (overlayd_queue_waiting_bytes{{{_HOST}}})", "{{class}}"),),
        ),
        Panel(
            "Generations",
            "short",
            (
                (f"overlayd_mesh_generation{{{_HOST}}}", "mesh"),
                (f"overlayd_snapshot_generation{{{_HOST}}}", "tables of the engine"),
            ),
        ),
        Panel(
            "Largest packet of links",
            "bytes",
            ((f"overlayd_link_mtu_bytes{{{_HOST}}}", "{{peer}} ({{uplink}})"),),
        ),
    ),
    (("instance", "Host", "label_values(overlayd_build_info, instance)"),),
)

_LINK = 'instance="$instance",peer="$peer"'
_BACK = 'instance="$peer",peer="$instance"'
LINK = Dashboard(
    "link",
    "overlayd: a link and its repair",
    (
        _stat("Up", "bool_yes_no", f"overlayd_link_up{{{_LINK}}}", "{{uplink}}"),
        _stat("Round trip", "s", f"overlayd_link_rtt_seconds{{{_LINK}}}", "{{uplink}}"),
        _stat(
            "Loss on the wire",
            "percentunit",
            f'overlayd_link_loss_ratio{{{_LINK},direction="out"}}',
            "{{uplink}}",
        ),
        _stat(
            "Loss after repair", "percentunit", f"overlayd_link_residual_loss_ratio{{{_LINK}}}", "{{class}}"
        ),
        _stat("Largest packet", "bytes", f"overlayd_link_mtu_bytes{{{_LINK}}}", "{{uplink}}"),
        _stat("Mean run of missed packets", "short", f"overlayd_link_burst_packets{{{_LINK}}}", "{{class}}"),
        Panel(
            "Round trip",
            "s",
            (
                (f"overlayd_link_rtt_seconds{{{_LINK}}}", "seen by $instance ({{uplink}})"),
                (f"overlayd_link_rtt_seconds{{{_BACK}}}", "seen by $peer ({{uplink}})"),
            ),
        ),
        Panel(
            "Loss on the wire",
            "percentunit",
            ((f"overlayd_link_loss_ratio{{{_LINK}}}", "{{direction}} ({{uplink}})"),),
        ),
        Panel(
            "Jitter",
            "s",
            ((f"overlayd_link_jitter_seconds{{{_LINK}}}", "{{direction}} ({{uplink}})"),),
        ),
        Panel(
            "Bytes",
            "Bps",
            (
                (_rate("overlayd_link_sent_bytes_total", _LINK), "sent ({{uplink}})"),
                (_rate("overlayd_link_received_bytes_total", _LINK), "received ({{uplink}})"),
                (f"overlayd_link_delivered_bytes_per_second{{{_LINK}}}", "delivered ({{uplink}})"),
                (f"overlayd_link_budget_bytes_per_second{{{_LINK}}}", "able to ({{uplink}})"),
            ),
            text="Delivered and able to: outgoing; without a known rate there is no last one.",
        ),
        *_repair("class", _LINK),
        Panel(
            "Loss before and after repair, of the last minute",
            "percentunit",
            (
                (f"overlayd_link_raw_loss_ratio{{{_LINK}}}", "{{class}} before"),
                (f"overlayd_link_residual_loss_ratio{{{_LINK}}}", "{{class}} after"),
            ),
            text="Incoming, as the agent sees it when it chooses paths.",
        ),
        Panel(
            "Frames that arrived",
            "pps",
            (
                (_rate("overlayd_link_received_packets_total", _LINK), "{{class}} by themselves"),
                (_rate("overlayd_link_recovered_packets_total", _LINK), "{{class}} by {{by}}"),
                (_rate("overlayd_link_lost_packets_total", _LINK), "{{class}} given up"),
            ),
        ),
    ),
    (
        ("instance", "Host", "label_values(overlayd_build_info, instance)"),
        ("peer", "Peer", 'label_values(overlayd_link_up{instance="$instance"}, peer)'),
    ),
)

_DECISION = "overlayd_controller_decision_seconds"
CONTROLLER = Dashboard(
    "controller",
    "overlayd: the controller",
    (
        _stat("Answers", "bool_yes_no", 'up{job="overlayd-controller"}'),
        _stat("Members", "short", "overlayd_controller_nodes"),
        _stat("Routes", "short", "overlayd_controller_routes"),
        _stat(
            "Failed decisions, one day", "short", "increase(overlayd_controller_decisions_failed_total[1d])"
        ),
        _stat(
            "First record to end", "s", "min(overlayd_controller_node_cert_expiry_timestamp_seconds) - time()"
        ),
        _stat("Version", "short", "overlayd_controller_build_info", "{{version}}"),
        Panel(
            "Time of a decision",
            "s",
            tuple(
                (f"histogram_quantile({q}, sum by (le) (rate({_DECISION}_bucket[10m])))", f"p{q * 100:g}")
                for q in (0.5, 0.99)
            ),
        ),
        Panel("Decisions by time", "s", ((_sum(f"{_DECISION}_bucket", "le"), "{{le}}"),), kind="heatmap"),
        Panel(
            "What decisions take of one core",
            "percentunit",
            ((f"{_rate(f'{_DECISION}_sum')}", ""),),
            text="Share of time in which it plans.",
        ),
        Panel(
            "Decisions per minute",
            "short",
            ((f"60 * {_rate(f'{_DECISION}_count')}", ""),),
        ),
        Panel("Links", "short", (("overlayd_controller_links", "{{state}}"),)),
        Panel(
            "Nodes without a channel",
            "short",
            (("overlayd_controller_node_connected == bool 0", "{{node}}"),),
        ),
        Panel(
            "Changes of primary paths",
            "short",
            (
                (
                    "sum by (decider) (increase(overlayd_controller_route_changes_total[$__rate_interval]))",
                    "{{decider}}",
                ),
            ),
        ),
        Panel(
            "Samples that were not believed",
            "short",
            ((_rate("overlayd_controller_refused_samples_total"), "per second"),),
        ),
        Panel("Generation of the mesh", "short", (("overlayd_controller_mesh_generation", ""),)),
        Panel(
            "Records that end first",
            "s",
            (("bottomk(10, overlayd_controller_node_cert_expiry_timestamp_seconds) - time()", "{{node}}"),),
        ),
    ),
)

DASHBOARDS = (MESH, HOST, LINK, CONTROLLER)
