"""What the predictor makes of samples."""

import numpy as np
import pytest

from controller.prediction.forecast import Forecast
from controller.prediction.predictor import HOLD_NS, Predictor
from controller.topology.links import Topology, Vertex
from overlayd.model.ids import NodeId
from overlayd.protocol.controller import LinkSample, Telemetry

SECOND_NS = 10**9
FRAME_NS = 15 * SECOND_NS


class Mesh:
    """Two or more nodes, numbered from 0; reports are given by hand."""

    def __init__(self, n: int = 2) -> None:
        self.topology = Topology()
        self.topology.add([Vertex(NodeId(i + 1), f"n{i}", True) for i in range(n)])
        self.predictor = Predictor(self.topology)
        self.now_ns = 1000 * FRAME_NS

    def report(
        self,
        reporter: int,
        peer: int,
        rtt_ms: float | None,
        *,
        out: float = 0.0,
        into: float = 0.0,
        samples: int = 150,
        up: bool = True,
    ) -> bool:
        count = 0 if rtt_ms is None else samples
        link = LinkSample(NodeId(peer + 1), up, count, rtt_ms, rtt_ms, 0.0, out, into, 0)
        seen = self.topology.observe(NodeId(reporter + 1), Telemetry(False, 15.0, (link,)), self.now_ns)
        assert seen is not None
        return self.predictor.observe(seen, self.now_ns)

    def frames(self, number: int, rtt_ms: float, *, loss: float = 0.0) -> None:
        """Both ends of the link 0–1 report the same for so many frames."""
        for _ in range(number):
            self.now_ns += FRAME_NS
            self.report(0, 1, rtt_ms, out=loss, into=loss)
            self.report(1, 0, rtt_ms, out=loss, into=loss)

    def forecast(self) -> Forecast:
        return self.predictor.forecast(self.now_ns)


def test_a_link_without_a_new_sample_is_not_known_whatever_it_measured_before() -> None:
    mesh = Mesh()
    mesh.frames(20, 20)
    assert mesh.forecast().known[0, 1]
    mesh.now_ns += 4 * FRAME_NS
    forecast = mesh.forecast()
    assert not forecast.known.any()
    assert np.isnan(forecast.rtt_q80_ms[0, 1]) and np.isnan(forecast.measured_rtt_ms[0, 1])


def test_frames_without_samples_keep_no_link_alive() -> None:
    mesh = Mesh()
    mesh.frames(20, 20)
    for _ in range(4):
        mesh.now_ns += FRAME_NS
        mesh.report(0, 1, None)
        mesh.report(1, 0, None)
    forecast = mesh.forecast()
    assert not forecast.known.any() and forecast.alive.all()


def test_the_worse_end_counts() -> None:
    mesh = Mesh()
    for _ in range(20):
        mesh.now_ns += FRAME_NS
        mesh.report(0, 1, 1.0, out=0.0, into=0.0)
        mesh.report(1, 0, 80.0, out=0.0, into=0.3)
    forecast = mesh.forecast()
    assert forecast.rtt_q80_ms[0, 1] == forecast.rtt_q80_ms[1, 0] == pytest.approx(80.0)
    assert forecast.loss_q90[0, 1] == pytest.approx(0.3, abs=0.01)
    assert forecast.loss_q90[1, 0] < 0.001


def test_what_one_end_alone_says_is_known_but_not_confirmed() -> None:
    mesh = Mesh()
    mesh.now_ns += FRAME_NS
    mesh.report(0, 1, 20.0)
    forecast = mesh.forecast()
    assert forecast.known[0, 1] and forecast.known[1, 0]
    assert not forecast.confirmed.any()
    assert forecast.alive.tolist() == [True, False]


def test_quantiles_come_from_the_last_five_minutes() -> None:
    mesh = Mesh()
    mesh.frames(20, 200)
    for rtt in [10.0] * 16 + [12.0] * 3 + [14.0]:
        mesh.frames(1, rtt)
    forecast = mesh.forecast()
    assert forecast.rtt_q50_ms[0, 1] == pytest.approx(10)
    assert forecast.rtt_q80_ms[0, 1] == pytest.approx(10)
    assert forecast.rtt_q90_ms[0, 1] == pytest.approx(12)


def test_a_level_jump_is_believed_at_once() -> None:
    mesh = Mesh()
    mesh.frames(20, 20)
    mesh.now_ns += SECOND_NS
    assert mesh.report(0, 1, 100.0, samples=30) is True
    assert mesh.forecast().rtt_q50_ms[0, 1] >= 100


def test_an_episode_that_becomes_much_worse_is_news_again() -> None:
    mesh = Mesh()
    mesh.frames(20, 20)
    mesh.now_ns += SECOND_NS
    assert mesh.report(0, 1, 20.0, out=0.1) is True
    mesh.now_ns += SECOND_NS
    assert mesh.report(0, 1, 20.0, out=0.1) is False
    mesh.now_ns += SECOND_NS
    assert mesh.report(0, 1, 100.0, out=0.1) is True
    mesh.now_ns += SECOND_NS
    assert mesh.report(0, 1, 104.0, out=0.1) is False
    mesh.now_ns += SECOND_NS
    assert mesh.report(0, 1, 104.0, out=0.3) is True


def test_loss_that_joins_an_episode_of_delay_is_news() -> None:
    mesh = Mesh()
    mesh.frames(20, 20)
    mesh.now_ns += SECOND_NS
    assert mesh.report(0, 1, 100.0) is True
    mesh.now_ns += SECOND_NS
    assert mesh.report(0, 1, 100.0, into=0.2) is True


def test_noise_within_the_usual_spread_is_no_jump() -> None:
    mesh = Mesh()
    for rtt in (20.0, 26.0, 22.0, 25.0, 21.0, 24.0) * 3:
        mesh.frames(1, rtt)
    mesh.now_ns += FRAME_NS
    assert mesh.report(0, 1, 27.0) is False


def test_two_lost_of_fifteen_probes_are_no_evidence_of_heavy_loss() -> None:
    mesh = Mesh()
    mesh.frames(20, 20)
    mesh.now_ns += FRAME_NS
    mesh.report(0, 1, 20.0, out=2 / 15, samples=15)
    assert mesh.forecast().loss_q90[0, 1] < 0.05
    mesh.now_ns += FRAME_NS
    mesh.report(0, 1, 20.0, out=20 / 150, samples=150)
    assert mesh.forecast().loss_q90[0, 1] > 0.1


def test_an_episode_lasts_a_minute_beyond_the_last_bad_sample_and_is_then_forgotten() -> None:
    mesh = Mesh()
    mesh.frames(20, 20)
    mesh.frames(8, 100)
    ended = mesh.now_ns
    mesh.frames(3, 20)
    assert mesh.forecast().rtt_q80_ms[0, 1] >= 100
    assert mesh.forecast().held_ns[0, 1] == HOLD_NS - (mesh.now_ns - ended)
    mesh.frames(2, 20)
    assert mesh.forecast().rtt_q80_ms[0, 1] == pytest.approx(20)


def test_each_relapse_doubles_the_time_of_health_that_is_asked_for() -> None:
    mesh = Mesh()
    mesh.frames(20, 20)
    held: list[float] = []
    for _ in range(4):
        mesh.frames(1, 100)
        held.append(mesh.forecast().held_ns[0, 1] / HOLD_NS)
        mesh.frames(3, 20)
    assert held == [1, 2, 4, 8]


def test_a_lasting_change_of_level_becomes_the_new_normal() -> None:
    mesh = Mesh()
    mesh.frames(20, 20)
    mesh.frames(40, 60)
    forecast = mesh.forecast()
    assert forecast.held_ns[0, 1] <= 0
    assert forecast.rtt_q80_ms[0, 1] == pytest.approx(60)


def test_a_link_that_went_down_is_held_down_after_it_comes_up() -> None:
    mesh = Mesh()
    mesh.frames(20, 20)
    mesh.now_ns += SECOND_NS
    assert mesh.report(0, 1, None, up=False) is True
    assert mesh.forecast().down[0, 1] and mesh.forecast().down[1, 0]
    mesh.now_ns += SECOND_NS
    assert mesh.report(0, 1, 20.0) is True
    forecast = mesh.forecast()
    assert not forecast.down[0, 1] and forecast.loss_q90[0, 1] == pytest.approx(0.5)
    mesh.frames(6, 20)
    assert mesh.forecast().loss_q90[0, 1] < 0.01


def test_a_first_sample_is_no_jump() -> None:
    mesh = Mesh()
    mesh.now_ns += FRAME_NS
    assert mesh.report(0, 1, 300.0) is False
    assert mesh.forecast().rtt_q50_ms[0, 1] == pytest.approx(300)


def test_nodes_that_come_and_go_leave_the_others_figures_alone() -> None:
    mesh = Mesh(3)
    mesh.frames(10, 20)
    mesh.now_ns += FRAME_NS
    mesh.report(0, 2, 70.0)
    mesh.topology.add([Vertex(NodeId(9), "new", True)])
    mesh.predictor.grow()
    assert mesh.forecast().rtt_q80_ms[0, 2] == pytest.approx(70)
    gone = mesh.topology.remove(NodeId(2))
    assert gone == 1
    mesh.predictor.shrink(gone)
    assert mesh.forecast().rtt_q80_ms[0, 1] == pytest.approx(70)
    assert mesh.topology.index == {1: 0, 3: 1, 9: 2}
