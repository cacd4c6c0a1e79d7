"""Samples in, matrices, graphs and frames out."""

import networkx as nx
import numpy as np
import pytest

from controller.topology.export import to_networkx
from controller.topology.links import MAX_RTT_MS, Topology, Vertex
from overlayd.model.ids import NodeId
from overlayd.protocol.controller import LinkSample, Telemetry
from tests.controller.core.world import World

SECOND_NS = 10**9


def two() -> Topology:
    topology = Topology()
    topology.add([Vertex(NodeId(1), "a", True), Vertex(NodeId(2), "b", True)])
    return topology


def frame(
    rtt_ms: float | None, samples: int, loss: float = 0.0, *, peer: int = 2, up: bool = True
) -> Telemetry:
    return Telemetry(
        False, 15.0, (LinkSample(NodeId(peer), up, samples, rtt_ms, rtt_ms, 1.0, loss, loss, 0),)
    )


def test_frames_of_one_bin_are_pooled_by_their_samples() -> None:
    topology = two()
    topology.observe(NodeId(1), frame(10.0, 30, 0.0), 100 * SECOND_NS)
    topology.observe(NodeId(1), frame(40.0, 10, 0.4), 101 * SECOND_NS)
    bin_of = topology.history.bin_of[0]
    (column,) = np.flatnonzero(bin_of == 100 // 15)
    assert topology.history.rtt_ms[0, 1, column] == pytest.approx(17.5)
    assert topology.history.loss_out[0, 1, column] == pytest.approx(0.1)
    assert topology.latest.rtt_ms[0, 1] == 40.0


def test_a_burst_of_urgent_frames_does_not_push_history_out() -> None:
    topology = two()
    for minute in range(5):
        topology.observe(NodeId(1), frame(10.0, 100), minute * 60 * SECOND_NS)
    for tenth in range(200):
        topology.observe(NodeId(1), frame(50.0, 1), 241 * SECOND_NS + tenth * SECOND_NS // 10)
    assert (topology.history.rtt_ms[0, 1] == 10.0).sum() == 4


def test_up_and_down_are_told_once() -> None:
    topology = two()
    first = topology.observe(NodeId(1), frame(10.0, 5), 0)
    again = topology.observe(NodeId(1), frame(10.0, 5), SECOND_NS)
    down = topology.observe(NodeId(1), frame(None, 0, up=False), 2 * SECOND_NS)
    up = topology.observe(NodeId(1), frame(10.0, 5), 3 * SECOND_NS)
    assert first and again and down and up
    assert (first.first_evidence, again.first_evidence) == ((1,), ())
    assert (down.went_down, up.came_up, up.went_down) == ((1,), (1,), ())


@pytest.mark.parametrize("rtt_ms", [0.0, -1.0, float("nan"), float("inf"), MAX_RTT_MS * 2])
def test_no_link_has_such_an_rtt(rtt_ms: float) -> None:
    topology = two()
    seen = topology.observe(NodeId(1), frame(rtt_ms, 5), 0)
    assert seen is not None and not topology.fresh(0).any()


def test_reports_of_strangers_and_about_strangers_change_nothing() -> None:
    topology = two()
    assert topology.observe(NodeId(9), frame(10.0, 5), 0) is None
    seen = topology.observe(NodeId(1), frame(10.0, 5, peer=9), 0)
    assert seen is not None and seen.refused == 1
    assert not topology.fresh(0).any()


def test_a_silent_node_is_not_reporting() -> None:
    topology = two()
    topology.observe(NodeId(1), frame(10.0, 5), 0)
    assert topology.reporting(40 * SECOND_NS).tolist() == [True, False]
    assert topology.reporting(50 * SECOND_NS).tolist() == [False, False]


def test_the_graph_holds_the_usable_links_with_their_forecasts() -> None:
    world = World("abk")
    world.mesh(ab=80, ak=15, kb=15)
    world.run(60)
    world.link("ab").up = False
    world.report("a", "b", urgent=True)
    core = world.controller
    graph = to_networkx(core.topology.vertices, core.forecast(world.now))
    assert nx.get_node_attributes(graph, "name") == {1: "a", 2: "b", 3: "k"}
    assert not graph.has_edge(1, 2) and not graph.has_edge(2, 1)
    assert nx.shortest_path(graph, 1, 2, weight="rtt_q80_ms") == [1, 3, 2]
    assert graph.edges[1, 3]["rtt_q50_ms"] == 15.0
