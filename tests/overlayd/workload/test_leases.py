"""A host's leases: counted from when the sign of life was sent, told by pod."""

from overlayd.model.lease import LEASE_S, longest_lease_s, wait_s
from overlayd.workload.leases import MOST_UNANSWERED, Leases

S = 1_000_000_000


def held(sent_ns: int = 0) -> Leases:
    leases = Leases()
    leases.answered(leases.send(sent_ns), ["a"])
    return leases


def test_a_lease_counts_from_when_its_sign_of_life_was_sent() -> None:
    leases = Leases()
    sequence = leases.send(5 * S)
    leases.answered(sequence, ["a"])  # however late
    assert leases.ends_ns("a", 30) == 35 * S


def test_a_pod_that_no_answer_named_does_not_run() -> None:
    leases = held()
    assert leases.duty("a", 30, 5, S) == "run"
    assert leases.duty("b", 30, 5, S) == "kill"


def test_a_pod_is_asked_to_end_before_it_is_made_to_and_that_before_its_lease_ends() -> None:
    leases = held()
    told = [leases.duty("a", 30, 5, at * S) for at in range(31)]
    assert told == ["run"] * 25 + ["stop"] * 3 + ["kill"] * 3


def test_a_pod_that_ends_slowly_is_not_asked_for_one_lost_answer() -> None:
    assert held().duty("a", 30, 600, 19 * S) == "run"
    assert held().duty("a", 30, 600, 20 * S) == "stop"


def test_what_is_due_next_is_told() -> None:
    leases = held()
    assert leases.due_ns("a", 30, 5, 0) == 25 * S
    assert leases.due_ns("a", 30, 5, 25 * S) == 28 * S
    assert leases.due_ns("a", 30, 5, 28 * S) is None
    assert leases.due_ns("b", 30, 5, 0) is None


def test_answers_that_come_in_another_order_take_nothing_away() -> None:
    leases = Leases()
    first, second = leases.send(0), leases.send(5 * S)
    leases.answered(second, ["a"])
    leases.answered(first, ["a"])
    assert leases.ends_ns("a", 30) == 35 * S


def test_an_answer_to_nothing_that_was_sent_extends_nothing() -> None:
    leases = Leases()
    leases.answered(7, ["a"])
    old = leases.send(0)
    for at in range(MOST_UNANSWERED):
        leases.send(at)
    leases.answered(old, ["a"])
    assert leases.ends_ns("a", 30) is None


def test_another_life_of_the_process_goes_on_with_what_was_kept() -> None:
    again = Leases(held(3 * S).named)
    assert again.ends_ns("a", 30) == 33 * S
    again.forget("a")
    assert again.ends_ns("a", 30) is None


def test_the_longest_lease_has_ended_before_another_starts() -> None:
    for replace_after in (45, 60, 90, 600, 3600):
        lease = longest_lease_s(replace_after)
        assert LEASE_S <= lease and wait_s(lease) <= replace_after < wait_s(lease + 2)
