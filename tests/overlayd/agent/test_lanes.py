"""Reports of several shards become one view of a link, a path, and the counters."""

import msgspec

from overlayd.agent.lanes import Lanes
from overlayd.protocol import engine

S = 1_000_000_000
MS = 1_000_000


def link(**changes: object) -> engine.LinkReport:
    report = engine.LinkReport(
        link=7,
        peer=2,
        uplink=0,
        remote="192.0.2.2:51900",
        up=True,
        samples=10,
        rtt_min_ns=10 * MS,
        rtt_mean_ns=20 * MS,
        jitter_out_ns=None,
        jitter_in_ns=None,
        loss_out_ratio=0.0,
        loss_in_ratio=None,
        delivered_bps=1000,
        budget_bps=None,
        mtu=1500,
        sent_bytes=5000,
        received_bytes=6000,
        repair=(),
    )
    return msgspec.structs.replace(report, **changes)


def links(lane: int, *reports: engine.LinkReport) -> engine.Links:
    return engine.Links(at_ns=0, generation=1, links=reports, lane=lane)


def path(**changes: object) -> engine.PathReport:
    report = engine.PathReport(
        destination=2,
        class_=0,
        path=(3, 2),
        active=True,
        alive=True,
        samples=1,
        rtt_min_ns=10 * MS,
        rtt_mean_ns=10 * MS,
        loss_ratio=0.0,
    )
    return msgspec.structs.replace(report, **changes)


def paths(lane: int, *reports: engine.PathReport) -> engine.Paths:
    return engine.Paths(at_ns=0, generation=1, paths=reports, lane=lane)


def test_one_shard_is_passed_on_as_it_is():
    event = links(0, link(), link(link=8))
    assert Lanes().links(event, 0) is event.links


def test_what_a_busy_lane_measures_weighs_by_its_samples_and_totals_are_sums():
    lanes = Lanes()
    lanes.links(links(2, link(samples=0, delivered_bps=0)), 0)
    lanes.links(links(0, link(samples=1, rtt_mean_ns=90 * MS)), 0)
    busy = link(samples=49, rtt_mean_ns=10 * MS, rtt_min_ns=5 * MS, loss_out_ratio=0.5, delivered_bps=9000)
    assert lanes.links(links(2, busy), S // 2) == []
    (told,) = lanes.links(links(0, link(samples=1, rtt_mean_ns=60 * MS)), S)
    assert told.samples == 50
    assert (told.rtt_min_ns, told.rtt_mean_ns) == (5 * MS, 11 * MS)
    assert told.loss_out_ratio == 0.49
    assert told.delivered_bps == 10_000
    assert (told.sent_bytes, told.received_bytes) == (10_000, 12_000)


def test_a_busy_lane_is_told_of_each_second_while_lane_0_is_idle():
    lanes = Lanes()
    lanes.links(links(1, link()), 0)
    lanes.links(links(0, link()), 0)
    told = [len(lanes.links(links(1, link(samples=50)), at * S // 2)) for at in range(1, 9)]
    assert told == [0, 1, 0, 1, 0, 1, 0, 1]


def test_whether_a_link_lives_is_lane_0s_to_say():
    lanes = Lanes()
    assert lanes.links(links(1, link()), 0) == []
    (told,) = lanes.links(links(0, link(up=False, samples=0)), S)
    assert (told.up, told.samples) == (False, 0)
    assert lanes.links(links(1, link()), 3 * S) == []
    lanes.links(links(0, link(samples=2)), 4 * S)
    assert lanes.links(links(1, link(up=False, rtt_mean_ns=None, delivered_bps=0)), 6 * S) == []
    (told,) = lanes.links(links(0, link(samples=2)), 7 * S)
    assert (told.up, told.samples, told.delivered_bps) == (True, 2, 1000)


def test_repair_is_summed_by_class():
    lanes = Lanes()
    one = engine.RepairReport(1, 10, 1, 2, 20, 3, 4, 5, 6, 7, tuple(range(16)))
    lanes.links(links(3, link(repair=(one,))), 0)
    (told,) = lanes.links(links(0, link(repair=(engine.RepairReport(0, 1, 0, 0, 1, 0, 0, 0), one))), S)
    assert told.repair == (
        engine.RepairReport(0, 1, 0, 0, 1, 0, 0, 0),
        engine.RepairReport(1, 20, 2, 4, 40, 6, 8, 10, 12, 14, tuple(range(0, 32, 2))),
    )


def test_what_waits_is_summed_by_class():
    lanes = Lanes()
    queue = engine.QueueReport(2, 3, 4, 5, 6, 7, tuple(range(16)))
    lanes.links(links(1, link(queues=(queue,))), 0)
    (told,) = lanes.links(links(0, link(queues=(queue,))), S)
    assert told.queues == (engine.QueueReport(2, 6, 8, 10, 12, 14, tuple(range(0, 32, 2))),)


def test_a_path_that_is_dead_in_another_lane_alone_is_not_dead():
    lanes = Lanes()
    assert lanes.paths(paths(2, path(alive=False)), 0) == []
    (told,) = lanes.paths(paths(0, path()), S)
    assert told.alive
    (told,) = lanes.paths(paths(2, path(samples=49, rtt_mean_ns=30 * MS)), 3 * S)
    assert (told.samples, told.rtt_mean_ns) == (49, 30 * MS)
    (told,) = lanes.paths(paths(0, path(alive=False, samples=0)), 4 * S)
    assert not told.alive


def test_counters_are_summed_and_kept_by_shard():
    lanes = Lanes()
    for lane in (1, 0):
        report = engine.CountersReport(1 + lane, 2, 3, 4, 5, {"bad_tag": 1, f"r{lane}": 1}, 1, lane, 2)
        total = lanes.counters(engine.Counters(0, 1, report, lane))
    assert total == engine.CountersReport(3, 4, 6, 8, 10, {"bad_tag": 2, "r0": 1, "r1": 1}, 2, 1, 4)
    assert [report.packets_in for report in lanes.of_shards().values()] == [1, 2]


def test_a_switch_of_all_lanes_is_told_once():
    lanes = Lanes()
    switch = engine.Switch(0, 1, 2, class_=0, from_=(2,), to=(3, 2), reason="dead", lane=1)
    again = msgspec.structs.replace(switch, lane=0)
    back = msgspec.structs.replace(switch, from_=(3, 2), to=(2,), reason="recovered")
    news = [lanes.is_news(*it) for it in ((switch, 0), (again, S), (back, S), (again, 4 * S))]
    assert news == [True, False, True, True]


def test_shards_share_the_budget_for_probes_and_the_slowest_tells_how_often():
    counters = engine.CountersReport(0, 0, 0, 0, 0, {}, probing=engine.Probing(100, 10, 500, 20 * MS, S))
    slower = engine.Probing(200, 30, 500, 45 * MS, 5 * S)
    lanes = Lanes()
    assert lanes.counters(engine.Counters(0, 1, counters)) == counters
    other = msgspec.structs.replace(counters, probing=slower)
    assert lanes.counters(engine.Counters(0, 1, other, lane=1)).probing == engine.Probing(
        300, 40, 1000, 45 * MS, 5 * S
    )
