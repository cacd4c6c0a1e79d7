"""A decision that was kept can be made again: the same routes, with the same figures and words."""

import pytest

from controller.core.record import BadRecord, pack_decision, unpack_decision
from tests.controller.core.world import World


def test_a_kept_decision_made_again_says_the_same_of_every_route() -> None:
    world = World("abckm", relays="km")
    world.mesh(ab=80, ak=15, kb=15, bc=20, ac=25, kc=40, am=30, bm=30, cm=30, km=12)
    world.run(61)
    world.link("ab").loss = 0.08
    world.run(40)
    decision = world.controller.begin(world.now)
    while decision is None:
        world.now_ns += 10**9
        decision = world.controller.begin(world.now)
    again = unpack_decision(pack_decision(decision))
    made, remade = decision.run(), again.run()
    assert (made.plan.table.relays == remade.plan.table.relays).all() and made.reasons == remade.reasons
    a, b = world.ids["a"], world.ids["b"]
    told = again.explain(a, b, 0, 8)
    assert told is not None and told == decision.explain(a, b, 0, 8)
    assert world.names(told.paths[0]) == "kb" and len(told.candidates) > 2


def test_who_was_not_there_has_no_explanation() -> None:
    world = World("ab")
    world.mesh(ab=20)
    world.run(61)
    world.now_ns += 60 * 10**9
    decision = world.controller.begin(world.now)
    assert decision is not None
    assert decision.explain(world.ids["a"], world.ids["b"] + 7, 0, 3) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("blob", [b"", b"nonsense"])
def test_what_is_no_decision_is_told(blob: bytes) -> None:
    with pytest.raises(BadRecord):
        unpack_decision(blob)
