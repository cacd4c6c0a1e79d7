"""When traffic counts as being where the controller wants it."""

from overlayd.protocol.local import CandidateRow, Explanation
from sim.demo.measure import Sample
from sim.demo.story import Seen, as_the_controller_wants

VIA = ("paris", "frankfurt", "madrid")
PRIMARY = CandidateRow(("frankfurt", "madrid"), "primary", True, 0, "")
DIRECT = CandidateRow(("madrid",), "rejected", False, None, "")


def look(path: tuple[str, ...], decider: str, decided_at: float, *candidates: CandidateRow) -> Seen:
    known = Explanation("paris", "madrid", "interactive", decider, "a reason", decided_at, candidates)
    return Seen(Sample(0, {}), path, known)


def test_traffic_on_the_primary_of_a_new_decision_is_where_the_controller_wants_it() -> None:
    assert as_the_controller_wants(look(VIA, "controller", 101.0, DIRECT, PRIMARY), 100.0)


def test_an_older_decision_does_not_count() -> None:
    assert not as_the_controller_wants(look(VIA, "controller", 99.0, DIRECT, PRIMARY), 100.0)


def test_the_agents_own_choice_is_not_the_controllers() -> None:
    assert not as_the_controller_wants(look(VIA, "agent", 101.0, PRIMARY), 100.0)


def test_what_the_mesh_says_is_held_against_where_the_bytes_went() -> None:
    assert not as_the_controller_wants(look(("paris", "madrid"), "controller", 101.0, PRIMARY), 100.0)
    assert not as_the_controller_wants(look((), "controller", 101.0, DIRECT), 100.0)
