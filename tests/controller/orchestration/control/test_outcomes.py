"""A new version is called worse where chance would not do as much, and not before."""

from random import Random

from controller.orchestration.control.outcomes import LEAST, LEAST_FAILED, Tally, worse


def test_more_failures_than_chance_makes_are_worse() -> None:
    assert worse(Tally(1000, 0), Tally(50, 5))
    assert worse(Tally(1000, 100), Tally(200, 60))
    assert not worse(Tally(1000, 100), Tally(200, 25))
    assert worse(Tally(LEAST, 0), Tally(LEAST, LEAST)) and not worse(Tally(LEAST, LEAST), Tally(LEAST, 0))


def test_few_requests_say_nothing() -> None:
    assert not worse(Tally(LEAST - 1, 0), Tally(1000, 1000))
    assert not worse(Tally(1000, 0), Tally(LEAST - 1, LEAST - 1))
    assert not worse(Tally(10_000_000, 0), Tally(10_000, LEAST_FAILED - 1))


def test_a_difference_that_nobody_notices_is_let_pass() -> None:
    assert not worse(Tally(1_000_000, 0), Tally(1_000_000, 9_000))


def test_a_version_as_good_as_the_one_before_is_hardly_ever_called_worse() -> None:
    """A thousand canaries, each looked at thirty times as its requests come."""
    chance, wrong = Random(8), 0
    for _ in range(1000):
        old, new = Tally(), Tally()
        for _ in range(30):
            old = _after(old, 80, chance)
            new = _after(new, 20, chance)
            if worse(old, new):
                wrong += 1
                break
    assert wrong <= 5, wrong


def _after(tally: Tally, requests: int, chance: Random) -> Tally:
    failed = sum(chance.random() < 0.05 for _ in range(requests))
    return Tally(tally.requests + requests, tally.failed + failed)
