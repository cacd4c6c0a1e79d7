"""What the controller is told: frames on time, degradation at once, no ringing."""

from overlayd.agent.estimator import Estimator
from overlayd.agent.reporter import Reporter
from overlayd.model.ids import LinkId, NodeId
from overlayd.protocol import engine
from overlayd.protocol.controller import Telemetry
from tests.overlayd.agent.dialogue import BERLIN, SECOND, link_report, path_report

INTERVAL_S = 15.0


class Drive:
    def __init__(self, phase: float = 1.0) -> None:
        self.reporter = Reporter(phase)
        self.estimator = Estimator()
        self.now = 0

    def second(self, report: engine.LinkReport) -> list[Telemetry]:
        self.now += SECOND
        self.estimator.note_links([report], self.now)
        best: dict[NodeId, engine.LinkReport | None] = {BERLIN: report if report.up else None}
        estimate = self.estimator.link(LinkId(report.link), self.now) if report.up else None
        self.reporter.note_links(best, lambda _: estimate, self.now)
        return self.reporter.poll(INTERVAL_S, self.now)

    def seconds(self, count: int, report: engine.LinkReport) -> list[Telemetry]:
        return [frame for _ in range(count) for frame in self.second(report)]


def test_a_frame_sums_up_its_interval() -> None:
    drive = Drive()
    drive.seconds(10, link_report(1, BERLIN, 20.0))
    drive.reporter.note_paths([path_report((BERLIN,), 20.0, True)])
    (frame,) = drive.seconds(5, link_report(1, BERLIN, 26.0))
    assert (frame.urgent, frame.frame_seconds) == (False, 15.0)
    (sample,) = frame.links
    assert (sample.samples, sample.rtt_min_ms, sample.rtt_mean_ms) == (300, 20.0, 22.0)
    assert frame.paths[0].rtt_mean_ms == 20.0


def test_what_was_not_measured_is_none_not_zero() -> None:
    drive = Drive()
    (frame,) = drive.seconds(15, link_report(1, BERLIN, 20.0, samples=0))
    (sample,) = frame.links
    assert (sample.samples, sample.rtt_mean_ms, sample.loss_out_ratio) == (0, None, None)


def test_a_controller_that_just_connected_is_told_at_once() -> None:
    drive = Drive()
    drive.seconds(3, link_report(1, BERLIN, 20.0))
    drive.reporter.start()
    (frame,) = drive.reporter.poll(INTERVAL_S, drive.now)
    assert frame.frame_seconds == 3.0


def test_agents_that_connect_together_are_told_of_apart() -> None:
    told: list[list[float]] = []
    for phase in (0.2, 0.6):
        drive = Drive(phase)
        drive.reporter.start()
        frames = drive.seconds(40, link_report(1, BERLIN, 20.0))
        told.append([frame.frame_seconds for frame in frames])
    assert told == [[1.0, 3.0, 15.0, 15.0], [1.0, 9.0, 15.0, 15.0]]


def test_degradation_travels_at_once_and_only_once() -> None:
    for ill in (
        link_report(1, BERLIN, 20.0, loss=0.08),
        link_report(1, BERLIN, 60.0),
        link_report(1, BERLIN, 20.0, up=False, samples=0),
    ):
        drive = Drive()
        assert drive.seconds(10, link_report(1, BERLIN, 20.0)) == []
        frames = drive.seconds(4, ill)
        assert [frame.urgent for frame in frames] == [True], ill
        assert frames[0].links[0].peer == BERLIN
        assert frames[0].links[0].up == ill.up


def test_a_link_that_comes_back_is_news() -> None:
    drive = Drive()
    drive.seconds(3, link_report(1, BERLIN, 20.0, up=False, samples=0))
    (frame,) = drive.second(link_report(1, BERLIN, 20.0))
    assert frame.urgent and frame.links[0].up


def test_urgent_frames_are_at_least_a_second_apart() -> None:
    drive = Drive()
    drive.seconds(2, link_report(1, BERLIN, 20.0))
    drive.reporter.alarm(BERLIN)
    assert len(drive.reporter.poll(INTERVAL_S, drive.now)) == 1
    drive.reporter.alarm(BERLIN)
    assert drive.reporter.poll(INTERVAL_S, drive.now + SECOND // 2) == []
    assert len(drive.reporter.poll(INTERVAL_S, drive.now + SECOND)) == 1


def test_loss_around_a_bound_does_not_ring() -> None:
    drive = Drive()
    frames = [
        frame
        for i in range(300)
        for frame in drive.second(link_report(1, BERLIN, 20.0, loss=0.018 if i % 2 else 0.026))
    ]
    assert sum(frame.urgent for frame in frames) <= 1
