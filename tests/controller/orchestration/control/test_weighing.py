"""Weights of instances: nearer is better, groups have their shares, small changes are none."""

from controller.orchestration.control.weighing import Candidate, Weight, weigh

ONE = {"g": 1.0}


def test_the_nearest_gets_most_and_the_far_are_backups() -> None:
    made = weigh([Candidate("a", "g", 20.0), Candidate("b", "g", 22.0), Candidate("c", "g", 200.0)], ONE, {})
    assert made["a"] == Weight(256) and 150 < made["b"].weight < 200 and made["c"] == Weight(256, backup=True)


def test_ways_of_which_nothing_is_known_are_the_last() -> None:
    made = weigh([Candidate("a", "g", 300.0), Candidate("b", "g", None)], ONE, {})
    assert made == {"a": Weight(256), "b": Weight(256, backup=True)}
    assert weigh([Candidate("b", "g", None)], ONE, {}) == {"b": Weight(256)}


def test_one_that_does_not_serve_gets_nothing() -> None:
    made = weigh([Candidate("a", "g", 1.0, serving=False), Candidate("b", "g", 90.0)], ONE, {})
    assert made == {"a": Weight(0), "b": Weight(256)}


def test_a_reserve_is_used_only_where_there_is_nobody_else() -> None:
    both = [Candidate("a", "g", 90.0), Candidate("b", "g", 1.0, reserve=True)]
    assert weigh(both, ONE, {})["b"] == Weight(256, backup=True)
    assert weigh(both[1:], ONE, {}) == {"b": Weight(256)}


def test_groups_have_their_shares_and_leave_them_where_nobody_serves() -> None:
    made = weigh([Candidate("a", "old", 10.0), Candidate("b", "new", 90.0)], {"old": 0.9, "new": 0.1}, {})
    assert made == {"a": Weight(256), "b": Weight(28)}
    alone = [Candidate("a", "old", 10.0), Candidate("b", "new", 90.0, serving=False)]
    assert weigh(alone, {"old": 0.9, "new": 0.1}, {}) == {"a": Weight(256), "b": Weight(0)}
    assert weigh([Candidate("a", "old", 1.0)], {"old": 0.0}, {}) == {"a": Weight(0)}


def test_weights_stay_where_little_changes() -> None:
    before = weigh([Candidate("a", "g", 20.0), Candidate("b", "g", 22.0)], ONE, {})
    assert weigh([Candidate("a", "g", 20.0), Candidate("b", "g", 22.5)], ONE, before) == before
    assert weigh([Candidate("a", "g", 20.0), Candidate("b", "g", 30.0)], ONE, before) != before
