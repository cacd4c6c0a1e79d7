"""What is told of a run that was started, be it over by then."""

from dataclasses import replace

from overlayd.workload.messages import Ended, Run, Started, Stopped, begun
from tests.overlayd.workload.pods import WALL_NS, main_of

GOES_ON = Run(main_of(), 2, "d1", "process", WALL_NS)


def test_a_run_that_goes_on_has_started() -> None:
    assert begun(GOES_ON) == (Started(GOES_ON),)


def test_a_run_that_ended_before_it_was_watched_has_started_and_then_stopped() -> None:
    ended = Ended(3, finished_ns=WALL_NS + 1)
    over = replace(GOES_ON, ended=ended)
    assert begun(over) == (Started(GOES_ON), Stopped(main_of(), 2, ended))
