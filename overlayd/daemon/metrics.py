"""What Prometheus reads from an edge host: the state of one agent and of its engine, as metric families.

Reads the machine, changes nothing. Only this host's own links and traffic: the mesh as a whole is the
controller's to tell. Names and labels are data (:data:`FAMILIES`), which `docs/metrics.md` repeats. Called by
`overlayd.daemon.metrics_server`. Pure but for the library that writes the format.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import Metric

from overlayd.agent.machine import Agent
from overlayd.agent.view import Outside
from overlayd.daemon.metric_families import Buckets, Family, Sample, as_families
from overlayd.model.ids import LinkId, NodeId
from overlayd.protocol import engine

_NS_PER_S = 1e9
_BITS = 8
_ADDED_MS = (5, 10, 20, 40, 60, 100, 200, 400)
"""Some of the engine's bounds, those of the classes' deadlines among them: each costs a series."""
_QUEUED_MS = (1, 5, 10, 20, 50, 100)
_MOVES = (("agent", "bound"), ("agent", "recovered"), ("engine", "dead"), ("engine", "recovered"))
_WATCHED_DROPS = ("queue_full", "queue_late")
"""Told from the first scrape on: a counter that begins above 0 hides its first step from `rate()`."""


_LINK = ("peer", "uplink", "remote")
_LINK_CLASS = (*_LINK, "class")

FAMILIES: tuple[Family, ...] = (
    Family("overlayd_build_info", "gauge", "1; the versions are labels.", ("version", "engine_version")),
    Family("overlayd_member", "gauge", "Whether this node is a member of a network."),
    Family("overlayd_engine_connected", "gauge", "Whether the engine answers the agent."),
    Family("overlayd_engine_starts_total", "counter", "Starts of the engine since the host was set up."),
    Family("overlayd_controller_connected", "gauge", "Whether the agent has its channel to the controller."),
    Family("overlayd_cert_expiry_timestamp_seconds", "gauge", "When the node's certificate ends, Unix time."),
    Family("overlayd_mesh_generation", "gauge", "Generation of the mesh that is held; 0: none."),
    Family("overlayd_snapshot_generation", "gauge", "Generation of the engine's tables; 0: none."),
    Family("overlayd_link_up", "gauge", "Whether the link answers probes.", _LINK),
    Family("overlayd_link_rtt_seconds", "gauge", "Mean round trip of the last seconds.", _LINK),
    Family("overlayd_link_jitter_seconds", "gauge", "Variation of the one-way delay.", (*_LINK, "direction")),
    Family("overlayd_link_loss_ratio", "gauge", "Loss on the wire, before repair.", (*_LINK, "direction")),
    Family("overlayd_link_residual_loss_ratio", "gauge", "Loss that repair left, incoming.", _LINK_CLASS),
    Family("overlayd_link_raw_loss_ratio", "gauge", "Loss before repair, incoming.", _LINK_CLASS),
    Family("overlayd_link_burst_packets", "gauge", "Mean run of packets missed, incoming.", _LINK_CLASS),
    Family(
        "overlayd_link_added_delay_seconds",
        "histogram",
        "How long repair let frames wait, incoming; 0: came by themselves.",
        _LINK_CLASS,
    ),
    Family("overlayd_link_delivered_bytes_per_second", "gauge", "What the peer received lately.", _LINK),
    Family("overlayd_link_budget_bytes_per_second", "gauge", "What the link is held to be able to.", _LINK),
    Family("overlayd_link_mtu_bytes", "gauge", "Largest IP packet that the link is known to carry.", _LINK),
    Family("overlayd_link_sent_bytes_total", "counter", "Bytes of datagrams sent.", _LINK),
    Family("overlayd_link_received_bytes_total", "counter", "Bytes of datagrams received.", _LINK),
    Family("overlayd_link_source_packets_total", "counter", "Frames sent, each counted once.", _LINK_CLASS),
    Family("overlayd_link_retransmitted_packets_total", "counter", "Frames sent again.", _LINK_CLASS),
    Family("overlayd_fec_repair_packets_total", "counter", "Repair symbols sent.", _LINK_CLASS),
    Family(
        "overlayd_link_received_packets_total", "counter", "Frames that arrived by themselves.", _LINK_CLASS
    ),
    Family(
        "overlayd_link_recovered_packets_total",
        "counter",
        "Frames that repair brought, by retransmission or by code.",
        (*_LINK_CLASS, "by"),
    ),
    Family("overlayd_link_lost_packets_total", "counter", "Frames that repair gave up.", _LINK_CLASS),
    Family("overlayd_queue_waiting_bytes", "gauge", "What waits for the paced link now.", _LINK_CLASS),
    Family("overlayd_queue_sent_packets_total", "counter", "Frames that left after a wait.", _LINK_CLASS),
    Family(
        "overlayd_queue_ahead_packets_total",
        "counter",
        "Those of them that went ahead of other classes.",
        _LINK_CLASS,
    ),
    Family(
        "overlayd_queue_dropped_packets_total",
        "counter",
        "Frames given up while they waited: no room, or too late.",
        (*_LINK_CLASS, "reason"),
    ),
    Family(
        "overlayd_queue_wait_seconds",
        "histogram",
        "How long frames that were sent had waited for the paced link.",
        _LINK_CLASS,
    ),
    Family("overlayd_path_alive", "gauge", "Whether the path in use answers.", ("destination", "class")),
    Family("overlayd_path_hops", "gauge", "Links of the path in use.", ("destination", "class")),
    Family("overlayd_path_rtt_seconds", "gauge", "Round trip of the path in use.", ("destination", "class")),
    Family(
        "overlayd_path_loss_ratio", "gauge", "Loss of the path in use after repair.", ("destination", "class")
    ),
    Family(
        "overlayd_route_changes_total",
        "counter",
        "Changes of the path in use that were decided on this host.",
        ("decider", "reason"),
    ),
    Family("overlayd_packets_total", "counter", "Packets of the interface.", ("shard", "direction")),
    Family("overlayd_datagrams_total", "counter", "Datagrams of the underlay.", ("direction",)),
    Family("overlayd_relayed_packets_total", "counter", "Packets passed on for others."),
    Family("overlayd_stranded_packets_total", "counter", "Packets sent although no path was alive."),
    Family("overlayd_congestion_marks_total", "counter", "Packets that bear a mark of congestion onwards."),
    Family("overlayd_advised_senders_total", "counter", "ICMP messages about what fits."),
    Family(
        "overlayd_order_waited_packets_total",
        "counter",
        "Packets that waited at the egress for others of their flow.",
    ),
    Family("overlayd_order_given_up_gaps_total", "counter", "Gaps of flows that nothing filled in time."),
    Family("overlayd_dropped_packets_total", "counter", "Packets dropped, by reason.", ("reason",)),
    Family("overlayd_probe_bytes_total", "counter", "Bytes of probes and answers that were sent."),
    Family("overlayd_probe_budget_bytes", "gauge", "Bytes that a second may have of them."),
    Family("overlayd_probe_interval_seconds", "gauge", "Between two probes, as the budget allows.", ("of",)),
)


def outsider_samples(version: str, engine_version: str) -> Iterator[Sample]:
    """Yield what a host tells that is no member of a network."""
    yield "overlayd_build_info", (version, engine_version), 1
    yield "overlayd_member", (), 0
    yield "overlayd_engine_connected", (), bool(engine_version)


def member_samples(agent: Agent, outside: Outside, now: int) -> Iterator[Sample]:
    """Yield all of a member at ``now`` (monotonic nanoseconds)."""
    found = agent.engine
    yield "overlayd_build_info", (agent.me.version, found.version if found else ""), 1
    yield "overlayd_member", (), agent.revoked is None
    yield "overlayd_engine_connected", (), found is not None
    yield "overlayd_engine_starts_total", (), found.boot if found else None
    yield "overlayd_controller_connected", (), agent.connected
    yield "overlayd_cert_expiry_timestamp_seconds", (), outside.certificate_not_after
    yield "overlayd_mesh_generation", (), agent.mesh.generation
    yield "overlayd_snapshot_generation", (), agent.applied or 0
    for number, report in agent.estimator.links().items():
        if number in agent.tables.keys:
            yield from _link(agent, number, report, now)
    for destination, class_id in agent.estimator.in_use(now):
        yield from _path(agent, destination, class_id, now)
    for key in _MOVES:
        yield "overlayd_route_changes_total", key, agent.moves[key]
    yield from _counters(agent)


def families(samples: Iterable[Sample]) -> list[Metric]:
    """Return ``samples`` as the library's families, in the order of :data:`FAMILIES`."""
    return as_families(samples, FAMILIES)


def _link(agent: Agent, number: LinkId, report: engine.LinkReport, now: int) -> Iterator[Sample]:
    peer = agent.mesh.name(NodeId(report.peer))
    key = agent.tables.keys[number]
    link = (peer, key.uplink, key.remote or f"hidden-{key.lane}")
    estimate = agent.estimator.link(number, now)
    fresh = estimate is not None and report.samples > 0
    yield "overlayd_link_up", link, agent.estimator.is_up(number)
    if estimate is not None and estimate.rtt_short_ms is not None:
        yield "overlayd_link_rtt_seconds", link, estimate.rtt_short_ms / 1e3
    if fresh:
        yield "overlayd_link_jitter_seconds", (*link, "out"), _seconds(report.jitter_out_ns)
        yield "overlayd_link_jitter_seconds", (*link, "in"), _seconds(report.jitter_in_ns)
        yield "overlayd_link_loss_ratio", (*link, "in"), report.loss_in_ratio
    if estimate is not None:
        yield "overlayd_link_loss_ratio", (*link, "out"), estimate.loss_long_ratio
    yield "overlayd_link_delivered_bytes_per_second", link, report.delivered_bps / _BITS
    if report.budget_bps is not None:
        yield "overlayd_link_budget_bytes_per_second", link, report.budget_bps / _BITS
    yield "overlayd_link_mtu_bytes", link, report.mtu
    yield "overlayd_link_sent_bytes_total", link, report.sent_bytes
    yield "overlayd_link_received_bytes_total", link, report.received_bytes
    for repair in report.repair:
        service = (*link, _class_name(agent, repair.class_))
        figures = agent.estimator.repair(number, repair.class_, now)
        if figures is not None:
            yield "overlayd_link_residual_loss_ratio", service, figures.lost_ratio
            yield "overlayd_link_raw_loss_ratio", service, figures.raw_loss_ratio
            yield "overlayd_link_burst_packets", service, figures.burst_length
        yield "overlayd_link_added_delay_seconds", service, _added_delay(repair)
        yield "overlayd_link_source_packets_total", service, repair.sent
        yield "overlayd_link_retransmitted_packets_total", service, repair.retransmitted
        yield "overlayd_fec_repair_packets_total", service, repair.repair_sent
        yield "overlayd_link_received_packets_total", service, repair.received
        by_code, again = repair.recovered_by_code, repair.recovered_by_retransmission
        yield "overlayd_link_recovered_packets_total", (*service, "code"), by_code
        yield "overlayd_link_recovered_packets_total", (*service, "retransmission"), again
        yield "overlayd_link_lost_packets_total", service, repair.lost
    # A class that has not had to wait is told as well, at zero: what counts from nowhere has no rate.
    nothing = {repair.class_: engine.QueueReport(repair.class_, 0, 0, 0, 0, 0) for repair in report.repair}
    for class_id, queue in (nothing | {queue.class_: queue for queue in report.queues}).items():
        yield from _queue((*link, _class_name(agent, class_id)), queue)


def _queue(labels: tuple[str, ...], queue: engine.QueueReport) -> Iterator[Sample]:
    yield "overlayd_queue_waiting_bytes", labels, queue.waiting_bytes
    yield "overlayd_queue_sent_packets_total", labels, queue.sent
    yield "overlayd_queue_ahead_packets_total", labels, queue.ahead
    yield "overlayd_queue_dropped_packets_total", (*labels, "no_room"), queue.pushed_out
    yield "overlayd_queue_dropped_packets_total", (*labels, "late"), queue.late
    yield "overlayd_queue_wait_seconds", labels, _queue_wait(queue)


def _path(agent: Agent, destination: NodeId, class_id: int, now: int) -> Iterator[Sample]:
    path = agent.estimator.active_path(destination, class_id, now)
    report = agent.estimator.path_report(destination, class_id, path, now) if path else None
    if path is None or report is None:
        return
    labels = (agent.mesh.name(destination), _class_name(agent, class_id))
    yield "overlayd_path_alive", labels, report.alive
    yield "overlayd_path_hops", labels, len(path)
    estimate = agent.estimator.path(destination, class_id, path, now)
    if estimate is not None:
        rtt_ms = estimate.rtt_short_ms
        yield "overlayd_path_loss_ratio", labels, estimate.loss_long_ratio
    else:  # a direct path is known by its link, but for what repair leaves
        figures = agent.tables.figures(class_id, path, now)
        rtt_ms = figures.rtt_ms if figures else None
    yield "overlayd_path_rtt_seconds", labels, None if rtt_ms is None else rtt_ms / 1e3


def _counters(agent: Agent) -> Iterator[Sample]:
    for shard, counted in agent.lanes.of_shards().items():
        yield "overlayd_packets_total", (str(shard), "in"), counted.packets_in
        yield "overlayd_packets_total", (str(shard), "out"), counted.packets_out
    total = agent.counters
    if total is None:
        return
    yield "overlayd_datagrams_total", ("in",), total.datagrams_in
    yield "overlayd_datagrams_total", ("out",), total.datagrams_out
    yield "overlayd_relayed_packets_total", (), total.relayed
    yield "overlayd_stranded_packets_total", (), total.stranded
    yield "overlayd_congestion_marks_total", (), total.congestion_marks
    yield "overlayd_advised_senders_total", (), total.advised
    yield "overlayd_order_waited_packets_total", (), total.order_waited
    yield "overlayd_order_given_up_gaps_total", (), total.order_given_up
    for reason, count in sorted((dict.fromkeys(_WATCHED_DROPS, 0) | total.drops).items()):
        yield "overlayd_dropped_packets_total", (reason,), count
    if (probing := total.probing) is not None:
        yield "overlayd_probe_bytes_total", (), probing.bytes
        yield "overlayd_probe_budget_bytes", (), probing.budget
        yield "overlayd_probe_interval_seconds", ("in use",), probing.in_use_ns / _NS_PER_S
        yield "overlayd_probe_interval_seconds", ("idle",), probing.idle_ns / _NS_PER_S


def _class_name(agent: Agent, class_id: int) -> str:
    classes = agent.classes
    return classes[class_id].name if class_id < len(classes) else str(class_id)


def _added_delay(repair: engine.RepairReport) -> Buckets:
    """Return how many of the frames that came waited up to each bound."""
    came = repair.received + repair.recovered_by_code + repair.recovered_by_retransmission
    below = came - sum(repair.waits)
    buckets: list[tuple[str, float]] = [("0.0", below)]
    for bound, count in zip(engine.WAITS_MS, repair.waits, strict=False):
        below += count
        if bound in _ADDED_MS:
            buckets.append((str(bound / 1e3), below))
    return (*buckets, ("+Inf", came))


def _queue_wait(queue: engine.QueueReport) -> Buckets:
    """Return how many of the frames that left after a wait had waited up to each bound."""
    told = zip(engine.WAITS_MS, accumulate(queue.waits), strict=False)
    buckets = ((str(bound / 1e3), below) for bound, below in told if bound in _QUEUED_MS)
    return (*buckets, ("+Inf", sum(queue.waits)))


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / _NS_PER_S
