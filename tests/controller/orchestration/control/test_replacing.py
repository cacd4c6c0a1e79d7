"""From what there is to what is wanted: never fewer than may be missing, never more than may be too many."""

from dataclasses import replace
from random import Random
from typing import Any

from controller.orchestration.control.instances import Instance
from controller.orchestration.control.replacing import Limits, Slot, step


def instance(name: str, node: str, revision: str = "new", **more: Any) -> Instance:
    return replace(Instance(name, "default", name, "1", node, revision, ready=True), **more)


def test_nothing_is_done_where_all_is_as_wanted() -> None:
    steps = step([Slot("a", "new")], [instance("x", "a")], Limits(), 0.0)
    assert not (steps.create or steps.drain or steps.remove or steps.restore)


def test_what_is_wanted_again_gets_users_again() -> None:
    one = instance("x", "a", draining_s=0.0)
    assert step([Slot("a", "new")], [one], Limits(), 5.0).restore == (one,)


def test_one_that_serves_is_drained_before_it_goes_and_one_that_does_not_goes_at_once() -> None:
    there = [instance("x", "a"), instance("y", "b")]
    assert step([Slot("a", "new")], there, Limits(), 0.0).drain == (there[1],)
    idle = replace(there[1], ready=False)
    assert step([Slot("a", "new")], [there[0], idle], Limits(), 0.0).remove == (idle,)


def test_what_nobody_sees_holds_its_place_until_it_may_be_replaced() -> None:
    one = instance("x", "a", seen=False)
    assert step([Slot("b", "new")], [one], Limits(), 0.0).create == ()
    assert step([Slot("b", "new")], [replace(one, replaceable=True)], Limits(), 0.0).create == (
        Slot("b", "new"),
    )


def test_a_singleton_comes_only_when_there_is_none_at_all() -> None:
    limits = Limits(single=True)
    one = instance("x", "a")
    for there in (one, replace(one, leaving=True), replace(one, seen=False), replace(one, ready=False)):
        assert step([Slot("b", "new")], [there], limits, 0.0).create == ()
    assert step([Slot("b", "new")], [], limits, 0.0).create == (Slot("b", "new"),)


def test_any_change_comes_to_its_end_within_its_limits() -> None:
    """Random starts and ends; what is made is ready some rounds later, what is removed goes some later."""
    for seed in range(150):
        chance = Random(seed)
        wanted = chance.randint(1, 5)
        limits = Limits(surge := chance.randint(0, 2), chance.randint(0 if surge else 1, 2), drain_s=2.0)
        slots = [Slot(chance.choice("abcdef"), "new") for _ in range(wanted)]
        there = [
            instance(f"old{n}", chance.choice("abc"), chance.choice(["old", "new"])) for n in range(wanted)
        ]
        made, least = 0, wanted - limits.unavailable
        for now in range(120):
            steps = step(slots, there, limits, float(now))
            for slot in steps.create:
                there.append(instance(f"new{made}", slot.node, ready=False, since_s=float(now)))
                made += 1
            gone = {one.name for one in steps.remove}
            drained = {one.name for one in steps.drain}
            restored = {one.name for one in steps.restore}
            there = [
                replace(
                    one,
                    leaving=one.leaving or one.name in gone,
                    draining_s=None
                    if one.name in restored
                    else (float(now) if one.name in drained else one.draining_s),
                    ready=one.ready or (chance.random() < 0.3 and not one.leaving),
                )
                for one in there
                if not (one.leaving and chance.random() < 0.5)
            ]
            assert sum(one.serving for one in there) >= least, (seed, now)
            assert sum(not one.leaving for one in there) <= wanted + max(limits.surge, 0), (seed, now)
        assert sorted((one.node, one.revision) for one in there) == sorted(
            (slot.node, slot.revision) for slot in slots
        ), seed
