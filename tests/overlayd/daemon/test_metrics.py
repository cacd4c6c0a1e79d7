"""What Prometheus would read from an agent, parsed again by Prometheus's own client."""

import asyncio
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from overlayd.agent.messages import EngineLost
from overlayd.agent.view import Outside
from overlayd.daemon.config import MetricsSection, load
from overlayd.daemon.errors import ConfigurationError, StartError
from overlayd.daemon.metrics import FAMILIES, Sample, families, member_samples, outsider_samples
from overlayd.daemon.metrics_server import MetricsServer
from overlayd.protocol import engine
from tests.overlayd.agent.dialogue import (
    BERLIN,
    ROME,
    Dialogue,
    link_report,
    path_report,
    route,
    started,
)
from tests.prometheus import pages

OUTSIDE = Outside("wss://192.0.2.1:7443", 1_700_000_000.0, 1_800_000_000.0, 1_750_000_000.0)
DIRECT = (BERLIN,)
DETOUR = (ROME, BERLIN)
LINK = {"peer": "berlin", "uplink": "isp1", "remote": "198.51.100.2:51900"}


def parsed(samples: "list[Sample]") -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    class Collector:
        def collect(self):
            return families(samples)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    text = generate_latest(registry).decode()
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} is told twice"
            found[key] = sample.value
    return found


def told(talk: Dialogue) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return parsed(list(member_samples(talk.agent, OUTSIDE, talk.now)))


def of(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def links_of(talk: Dialogue) -> dict[int, int]:
    return {link.peer: number for number, link in talk.agent.tables.links.items()}


def measured(
    repair: tuple[engine.RepairReport, ...] = (), queues: tuple[engine.QueueReport, ...] = ()
) -> Dialogue:
    talk = started(route(BERLIN, DIRECT, DETOUR))
    number = links_of(talk)[BERLIN]
    report = link_report(
        number,
        BERLIN,
        20.0,
        0.05,
        sent_bytes=1000,
        repair=repair,
        queues=queues,
        budget_bps=80_000_000,
    )
    talk.second(report, paths=(path_report(DIRECT, 21.0, active=True, loss=0.01),))
    return talk


def test_a_link_is_told_in_base_units():
    found = told(measured())
    assert of(found, "overlayd_link_up", **LINK) == 1
    assert of(found, "overlayd_link_rtt_seconds", **LINK) == pytest.approx(0.020)
    assert of(found, "overlayd_link_loss_ratio", **LINK, direction="out") == pytest.approx(0.05)
    assert of(found, "overlayd_link_jitter_seconds", **LINK, direction="in") == pytest.approx(0.001)
    assert of(found, "overlayd_link_budget_bytes_per_second", **LINK) == 10_000_000
    assert of(found, "overlayd_link_sent_bytes_total", **LINK) == 1000


def test_repair_is_told_by_class():
    waits = (0,) * 6 + (8,) + (0,) * 9
    found = told(measured((engine.RepairReport(0, 100, 3, 10, 90, 6, 2, 2, 4, 10, waits),)))
    labels = LINK | {"class": "interactive"}
    assert of(found, "overlayd_fec_repair_packets_total", **labels) == 10
    assert of(found, "overlayd_link_recovered_packets_total", **labels, by="code") == 2
    assert of(found, "overlayd_link_recovered_packets_total", **labels, by="retransmission") == 6
    assert of(found, "overlayd_link_residual_loss_ratio", **labels) == pytest.approx(0.02)
    assert of(found, "overlayd_link_raw_loss_ratio", **labels) == pytest.approx(0.1)
    assert of(found, "overlayd_link_burst_packets", **labels) == pytest.approx(2.5)


def test_the_delay_that_repair_adds_is_a_histogram_of_all_frames_that_came():
    waits = (0,) * 4 + (3, 0, 4) + (0,) * 8 + (1,)
    found = told(measured((engine.RepairReport(0, 100, 3, 10, 90, 6, 2, 2, 4, 10, waits),)))
    name, labels = "overlayd_link_added_delay_seconds_bucket", LINK | {"class": "interactive"}
    buckets = {dict(key)["le"]: value for (told_of, key), value in found.items() if told_of == name}
    assert buckets.pop("0.02") == 93  # 90 by themselves, 3 after 10 to 20 ms
    assert of(found, name, **labels, le="0.0") == buckets.pop("0.0") == 90
    assert buckets.pop("0.4") == 97
    assert buckets.pop("+Inf") == 98
    assert buckets == {"0.005": 90, "0.01": 90, "0.04": 97, "0.06": 97, "0.1": 97, "0.2": 97}


def test_a_host_tells_no_more_series_than_are_documented():
    found = told(measured((engine.RepairReport(0, 100, 3, 10, 90, 6, 2, 2, 4, 10),)))
    documented = pages.metrics()
    counted = Counter(pages.family(name, documented) for name, _ in found)
    letters = {"N": 3, "L": 2, "C": 1, "S": 1, "R": 2}
    for metric, count in counted.items():
        assert metric is not None and count <= metric.most(letters), metric


def test_what_waits_for_a_paced_link_is_told_by_class():
    waits = (90, 6, 3) + (0,) * 12 + (1,)
    queue = engine.QueueReport(0, 4_000, 100, 80, 7, 5, waits)
    found = told(measured(queues=(queue,)))
    labels = LINK | {"class": "interactive"}
    assert of(found, "overlayd_queue_waiting_bytes", **labels) == 4_000
    assert of(found, "overlayd_queue_sent_packets_total", **labels) == 100
    assert of(found, "overlayd_queue_ahead_packets_total", **labels) == 80
    assert of(found, "overlayd_queue_dropped_packets_total", **labels, reason="no_room") == 7
    assert of(found, "overlayd_queue_dropped_packets_total", **labels, reason="late") == 5
    assert of(found, "overlayd_queue_wait_seconds_bucket", **labels, le="0.005") == 99
    assert of(found, "overlayd_queue_wait_seconds_bucket", **labels, le="+Inf") == 100


def test_a_class_that_never_had_to_wait_is_told_with_zeros():
    found = told(measured((engine.RepairReport(0, 100, 3, 10, 90, 6, 2, 2, 4, 10),)))
    labels = LINK | {"class": "interactive"}
    queued = {name for name, _ in found if name.startswith("overlayd_queue_")}
    names = {"waiting_bytes", "sent_packets_total", "ahead_packets_total", "dropped_packets_total"}
    assert queued == {f"overlayd_queue_{name}" for name in (*names, "wait_seconds_bucket")}
    assert of(found, "overlayd_queue_dropped_packets_total", **labels, reason="late") == 0
    assert of(found, "overlayd_queue_wait_seconds_bucket", **labels, le="+Inf") == 0


def test_what_was_not_measured_lately_is_not_told():
    talk = measured().pass_time(60)
    found = told(talk)
    assert ("overlayd_link_rtt_seconds", frozenset(LINK.items())) not in found
    assert not any(name.startswith("overlayd_path_") for name, _ in found)
    assert of(found, "overlayd_link_up", **LINK) == 1


def test_the_path_in_use_is_told():
    found = told(measured())
    labels = {"destination": "berlin", "class": "interactive"}
    assert of(found, "overlayd_path_hops", **labels) == 1
    assert of(found, "overlayd_path_rtt_seconds", **labels) == pytest.approx(0.021)


def test_a_direct_path_that_nobody_probes_is_told_by_its_link():
    talk = measured()
    talk.pass_time(8)
    number = links_of(talk)[BERLIN]
    silent = msgspec.structs.replace(path_report(DIRECT, 21.0, active=True), samples=0)
    talk.second(link_report(number, BERLIN, 30.0, 0.0), paths=(silent,))
    found = told(talk)
    labels = {"destination": "berlin", "class": "interactive"}
    assert of(found, "overlayd_path_rtt_seconds", **labels) == pytest.approx(0.030)
    assert ("overlayd_path_loss_ratio", frozenset(labels.items())) not in found


def test_moves_are_counted_by_who_decided():
    talk = measured()
    talk >> engine.Switch(talk.now, 1, BERLIN, 0, DIRECT, DETOUR, "dead")
    talk.drain()
    found = told(talk)
    assert of(found, "overlayd_route_changes_total", decider="engine", reason="dead") == 1
    assert of(found, "overlayd_route_changes_total", decider="agent", reason="bound") == 0


def test_starts_of_the_engine_are_counted_across_lives():
    talk = measured()
    assert talk.agent.engine is not None
    talk >> msgspec.structs.replace(talk.agent.engine, boot=8)
    talk.drain()
    assert of(told(talk), "overlayd_engine_starts_total") == 8
    talk >> EngineLost("killed")
    talk.drain()
    assert ("overlayd_engine_starts_total", frozenset[tuple[str, str]]()) not in told(talk)


def test_counters_and_drops_are_told():
    talk = measured()
    probing = engine.Probing(13, 14, 15, in_use_ns=30_000_000, idle_ns=5_000_000_000)
    report = engine.CountersReport(1, 2, 3, 4, 5, {"bad_tag": 7}, 8, 9, 10, 11, 12, probing)
    talk >> engine.Counters(talk.now, 1, report)
    found = told(talk)
    assert of(found, "overlayd_packets_total", shard="0", direction="out") == 2
    assert of(found, "overlayd_dropped_packets_total", reason="bad_tag") == 7
    assert of(found, "overlayd_dropped_packets_total", reason="queue_full") == 0
    assert of(found, "overlayd_stranded_packets_total") == 8
    assert of(found, "overlayd_order_waited_packets_total") == 11
    assert of(found, "overlayd_order_given_up_gaps_total") == 12
    assert of(found, "overlayd_probe_bytes_total") == 13
    assert of(found, "overlayd_probe_budget_bytes") == 15
    assert of(found, "overlayd_probe_interval_seconds", of="in use") == 0.03
    assert of(found, "overlayd_probe_interval_seconds", of="idle") == 5


def test_a_host_that_has_not_joined_says_so():
    found = parsed(list(outsider_samples("0.1.0", "")))
    assert of(found, "overlayd_member") == 0
    assert of(found, "overlayd_engine_connected") == 0


def test_the_documentation_names_each_metric_with_its_labels():
    documented = [
        (one.name, one.kind, one.labels) for one in pages.metrics().values() if one.teller == "host"
    ]
    assert documented == [(one.name, one.kind, one.labels) for one in FAMILIES]


def test_metrics_are_read_over_http():
    async def scenario() -> tuple[str, str, int]:
        server = MetricsServer("127.0.0.1", 0, lambda: families(outsider_samples("0.1.0", "0.1.0")))
        port = await server.start()
        try:
            with await asyncio.to_thread(
                urllib.request.urlopen, f"http://127.0.0.1:{port}/metrics"
            ) as answer:
                text, kind = answer.read().decode(), answer.headers["Content-Type"]
            with pytest.raises(urllib.error.HTTPError) as missing:
                await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}/")
            return text, kind, missing.value.code
        finally:
            await server.close()

    text, kind, code = asyncio.run(scenario())
    assert 'overlayd_build_info{engine_version="0.1.0",version="0.1.0"} 1.0' in text
    assert kind.startswith("text/plain; version=0.0.4")
    assert code == 404


def test_an_address_that_is_taken_is_named():
    async def scenario() -> None:
        first = MetricsServer("127.0.0.1", 0, list)
        port = await first.start()
        try:
            with pytest.raises(StartError, match=f"metrics.listen: 127.0.0.1 port {port}: "):
                await MetricsServer("127.0.0.1", port, list).start()
        finally:
            await first.close()

    asyncio.run(scenario())


def test_an_address_may_come_after_the_agent_listens_there():
    async def scenario() -> int:
        server = MetricsServer("192.0.2.77", 0, list)
        try:
            return await server.start()
        finally:
            await server.close()

    assert asyncio.run(scenario()) > 0


def test_a_wrong_address_names_its_key(tmp_path: Path):
    file = tmp_path / "overlayd.toml"
    file.write_text('[[uplink]]\nname = "isp1"\naddress = "192.0.2.1"\n[metrics]\nlisten = "9460"\n')
    with pytest.raises(ConfigurationError, match=r"metrics\.listen.*is not an endpoint such as"):
        load(file)
    assert MetricsSection("[::1]:9460").socket == ("::1", 9460)
