"""The controller's leases: who may still run what."""

from controller.orchestration.control.leases import Leases
from overlayd.model.lease import wait_s

S = 1_000_000_000
WAIT = wait_s(30)


def leases(started_s: int = 0) -> Leases:
    return Leases(started_s * S, lambda node: {"paris": ["a", "b"]}.get(node, []))


def test_an_answer_names_the_pods_of_the_node_that_need_one() -> None:
    made = leases()
    assert made.answer("paris", S) == ("a", "b")
    assert made.answer("tokyo", S) == ()


def test_a_pod_is_given_up_only_when_its_holder_must_have_ended() -> None:
    made = leases()
    made.answer("paris", 100 * S)
    assert not made.give_up("a", "paris", 30, (100 + WAIT) * S - 1)
    assert made.answer("paris", (100 + WAIT) * S - 1) == ("a", "b")
    assert made.give_up("a", "paris", 30, (100 + 2 * WAIT) * S)


def test_a_pod_that_was_given_up_is_named_no_more() -> None:
    made = leases()
    assert made.give_up("a", "paris", 30, WAIT * S)
    assert made.answer("paris", WAIT * S) == ("b",)
    made.forget(["a", "b"])
    assert made.answer("paris", WAIT * S) == ("b",)


def test_a_controller_that_starts_takes_every_node_as_answered_just_now() -> None:
    made = leases(started_s=1000)
    assert made.silent_ns("paris", 1001 * S) == S and not made.heard("paris")
    assert not made.give_up("a", "paris", 30, (1000 + WAIT) * S - 1)
