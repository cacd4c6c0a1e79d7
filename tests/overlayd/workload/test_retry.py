"""Tries after a loss are spread, ever wider, and anew after what held."""

import random

from overlayd.workload.retry import LONGEST_S, STABLE_S, Retry


class Most(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return b


def test_waits_grow_to_a_bound_and_begin_anew_after_what_held() -> None:
    retry = Retry(1.0, Most())
    assert [retry.wait_s(0.0) for _ in range(8)] == [2, 4, 8, 16, 32, LONGEST_S, LONGEST_S, LONGEST_S]
    assert retry.wait_s(STABLE_S) == 1.0
    assert retry.wait_s(0.0) == 2.0


def test_each_wait_is_anywhere_up_to_its_longest() -> None:
    waits = [Retry(10.0, random.Random(seed)).wait_s(0.0) for seed in range(200)]
    assert min(waits) < 1 and 19 < max(waits) <= 20
