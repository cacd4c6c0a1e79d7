"""What `make bench-overload` says of its floods."""

from tests.bench.overload import summary


def test_a_flood_is_told_against_the_best_rate_measured_beside_it() -> None:
    # A machine that gets twice as fast from one pair to the next says nothing about floods.
    found = summary([(90.0, 100.0), (180.0, 200.0), (210.0, 200.0)])
    assert found == {"flood_pps": 180, "best_pps": 200, "ratio": 0.9, "ratios": [0.9, 0.9, 1.05]}
