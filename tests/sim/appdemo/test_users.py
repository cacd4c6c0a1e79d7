"""When the users of the demo's app ask."""

import itertools

import pytest

from sim.appdemo.users import next_turn


def test_who_is_answered_in_time_asks_a_beat_later() -> None:
    assert next_turn(10.0, 0.05, 10.02) == pytest.approx(10.05)


def test_who_is_kept_waiting_misses_turns_and_keeps_the_beat() -> None:
    assert next_turn(10.0, 0.05, 10.07) == pytest.approx(10.10)
    assert next_turn(10.0, 0.05, 12.51) == pytest.approx(12.55)


def test_users_whom_one_pause_held_up_do_not_ask_in_step_afterwards() -> None:
    every_s, users, over_s = 0.05, 8, 11.234
    turns = sorted(next_turn(10.0 + every_s * at / users, every_s, over_s) for at in range(users))
    apart = [after - before for before, after in itertools.pairwise(turns)]
    assert apart == pytest.approx([every_s / users] * (users - 1))
