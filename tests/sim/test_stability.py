"""Routes rest: what the shipped controller makes of load that its own choices move (`sim.stability`)."""

from sim.stability import equal_relays, flapping, shedding


def test_between_two_equal_relays_a_thousand_flows_come_to_rest() -> None:
    figures = equal_relays(1, told=False)
    assert figures["flows"] >= 1000
    assert sum(figures["through"]) > 900, "the relays are worth using"
    assert figures["most_changes_of_a_route_in_10_min"] <= 1
    assert figures["fullest"] < 0.9


def test_a_relay_that_turns_bad_sheds_its_load_over_rounds_and_makes_no_other_bad() -> None:
    figures = shedding(1, 0.0, 60.0)
    left_before, left_after = figures["through_before"][0], figures["through_after"][0]
    assert left_before > 200 and left_after < left_before / 20
    assert figures["rounds"] > 3
    assert figures["fullest_other"] < 0.9


def test_a_link_that_flaps_every_half_minute_changes_no_route_more_than_twice_in_ten_minutes() -> None:
    figures = flapping(1, 0.1, 0.0)
    assert figures["most_changes_of_a_route_in_10_min"] <= 2
    assert figures["of_its_own_routes"] >= 1, "the link was in use"
