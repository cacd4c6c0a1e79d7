"""Routes of the agent's own making."""

from overlayd.agent.fallback import MAX_BACKUPS, LocalRoutes
from overlayd.agent.mesh import MeshView
from overlayd.model.route import Verdict
from tests.overlayd.agent.dialogue import BERLIN, ME, OSLO, ROME, believe, mesh

MESH = MeshView().apply(mesh(1, peers=(BERLIN, ROME, OSLO)), ME, believe).view


def test_direct_comes_first_then_the_nearest_relays() -> None:
    made = LocalRoutes(MESH, {BERLIN, ROME, OSLO}, {ROME: 30.0, OSLO: 10.0}, 0.0).route(BERLIN, 0)
    assert made.paths == ((BERLIN,), (OSLO, BERLIN), (ROME, BERLIN))
    assert made.decider == "agent" and len(made.paths) <= 1 + MAX_BACKUPS


def test_a_node_without_a_link_is_reached_over_relays() -> None:
    assert LocalRoutes(MESH, {ROME}, {}, 0.0).route(BERLIN, 0).paths == ((ROME, BERLIN),)


def test_a_relay_that_does_not_answer_comes_last() -> None:
    made = LocalRoutes(MESH, {ROME, OSLO}, {OSLO: 500.0}, 0.0).route(BERLIN, 0)
    assert made.paths == ((OSLO, BERLIN), (ROME, BERLIN))


def test_what_was_passed_over_is_told_with_its_reason() -> None:
    made = LocalRoutes(MESH, {BERLIN, ROME, OSLO}, {}, 0.0).route(BERLIN, 0)
    assert {candidate.verdict for candidate in made.candidates} == {Verdict.PRIMARY, Verdict.BACKUP}
    assert all(candidate.reason for candidate in made.candidates)


def test_without_links_there_is_no_path() -> None:
    assert LocalRoutes(MESH, (), {}, 0.0).route(BERLIN, 0).paths == ()
