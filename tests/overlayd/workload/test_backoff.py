"""Waits grow, are spread, end somewhere, and are forgotten after a long run."""

import random

from overlayd.workload.backoff import LAST_NS, LAST_START_NS, SPREAD, WELL_AFTER_NS, BackOff, S


def test_each_wait_is_about_twice_the_one_before_up_to_the_longest() -> None:
    back_off = BackOff(random.Random(1).uniform)
    waits = [back_off.after_run(0) / S for _ in range(12)]
    wanted = [min(2**n, LAST_NS / S) for n in range(12)]
    assert all((1 - SPREAD) * b <= a <= (1 + SPREAD) * b for a, b in zip(waits, wanted, strict=True))


def test_two_that_fail_together_do_not_come_back_together() -> None:
    one, other = BackOff(random.Random(1).uniform), BackOff(random.Random(2).uniform)
    assert one.after_run(0) != other.after_run(0)


def test_a_long_run_begins_anew_and_a_failed_start_is_tried_again_soon() -> None:
    back_off = BackOff(random.Random(1).uniform)
    for _ in range(20):
        back_off.after_failed_start()
    assert back_off.after_failed_start() <= LAST_START_NS * (1 + SPREAD)
    assert back_off.after_run(WELL_AFTER_NS) <= S * (1 + SPREAD)
