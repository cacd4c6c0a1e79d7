"""A decision that was kept can be made again: the same routes, with the same figures and words."""

import dataclasses

import numpy as np
import pytest

from controller.core.decision import Decision
from controller.core.record import BadRecord, pack_decision, pack_difference, unpack_decision
from controller.planner.table import RouteTable
from tests.controller.core.world import World


def five_nodes() -> World:
    world = World("abckm", relays="km")
    world.mesh(ab=80, ak=15, kb=15, bc=20, ac=25, kc=40, am=30, bm=30, cm=30, km=12)
    world.run(61)
    world.link("ab").loss = 0.08
    world.run(40)
    return world


def next_decision(world: World) -> Decision:
    decision = world.controller.begin(world.now)
    while decision is None:
        world.now_ns += 10**9
        decision = world.controller.begin(world.now)
    return decision


def matrices(decision: Decision) -> dict[str, np.ndarray]:
    forecast = {
        field.name: getattr(decision.forecast, field.name) for field in dataclasses.fields(decision.forecast)
    }
    table = {name: getattr(decision.table, name) for name in RouteTable.__slots__}
    return {name: value for name, value in (forecast | table).items() if isinstance(value, np.ndarray)}


@pytest.mark.parametrize("as_difference", [False, True])
def test_a_kept_decision_made_again_says_the_same_of_every_route(as_difference: bool) -> None:
    world = five_nodes()
    before = next_decision(world)
    world.controller.complete(before.run(), world.now)
    world.link("ak").rtt_ms = 17
    world.run(45)
    decision = next_decision(world)
    whole = pack_decision(before) if as_difference else None
    blob = pack_decision(decision) if whole is None else pack_difference(decision, whole)
    assert blob is not None
    again = unpack_decision(blob, whole)
    for name, value in matrices(decision).items():
        found = matrices(again)[name]
        assert found.dtype == value.dtype and found.tobytes() == value.tobytes(), name
    made, remade = decision.run(), again.run()
    assert (made.plan.table.relays == remade.plan.table.relays).all() and made.reasons == remade.reasons
    a, b = world.ids["a"], world.ids["b"]
    told = again.explain(a, b, 0, 8)
    assert told is not None and told == decision.explain(a, b, 0, 8)
    assert world.names(told.paths[0]) == "kb" and len(told.candidates) > 2


def test_what_has_not_changed_takes_no_room() -> None:
    world = five_nodes()
    decision = next_decision(world)
    whole = pack_decision(decision)
    difference = pack_difference(decision, whole)
    assert difference is not None
    plain = sum(len(matrix.tobytes()) for matrix in matrices(decision).values())
    assert len(difference) < 0.5 * len(whole) < plain


def test_another_number_of_nodes_makes_no_difference_but_a_whole() -> None:
    few, many = World("ab"), five_nodes()
    few.mesh(ab=20)
    few.run(61)
    few.now_ns += 60 * 10**9
    assert pack_difference(next_decision(many), pack_decision(next_decision(few))) is None


def test_a_difference_without_its_whole_is_not_taken_for_a_decision() -> None:
    decision, other = next_decision(five_nodes()), World("ab")
    other.mesh(ab=20)
    other.run(121)
    difference = pack_difference(decision, pack_decision(decision))
    assert difference is not None
    with pytest.raises(BadRecord):
        unpack_decision(difference, pack_decision(next_decision(other)))


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
