"""Full instances get less of what is new until they are full no more; empty ones have their part back."""

from controller.orchestration.control.filling import GOAL, LEAST, Rooms, room_after
from controller.orchestration.control.weighing import Candidate, weigh


def test_load_settles_where_two_instances_can_take_it() -> None:
    """Two instances as near as each other, one with a quarter of the other's processors."""
    rooms, offered = {"small": 1.0, "large": 1.0}, 0.8
    takes = {"small": 0.25, "large": 1.0}
    seen: list[float] = []
    for _ in range(60):
        weights = weigh(
            [Candidate(name, "app", 5.0, room=room) for name, room in rooms.items()], {"app": 1.0}, {}
        )
        total = sum(one.weight for one in weights.values())
        full = {name: offered * weights[name].weight / total / takes[name] for name in rooms}
        seen.append(full["small"])
        rooms = {name: room_after(room, min(1.0, full[name])) for name, room in rooms.items()}
    assert seen[0] > 1.5
    assert max(seen[-20:]) < GOAL + 0.05 and min(seen[-20:]) > GOAL - 0.15


def test_an_instance_that_is_empty_again_gets_its_part_back() -> None:
    room = 1.0
    for _ in range(50):
        room = room_after(room, 1.0)
    assert room == LEAST
    for _ in range(20):
        room = room_after(room, 0.1)
    assert room == 1.0


def test_instances_that_are_gone_or_tell_nothing_have_no_room_kept() -> None:
    rooms = Rooms()
    rooms.told({"a": 1.0, "b": 1.0})
    rooms.keep({"a"})
    assert set(rooms.all()) == {"a"} and rooms.all()["a"] < 1.0


def test_a_backup_is_used_where_who_is_near_is_full() -> None:
    far = Candidate("far", "app", 35.0)
    for room, backup in ((1.0, True), (LEAST, False)):
        weights = weigh([Candidate("near", "app", 10.0, room=room), far], {"app": 1.0}, {})
        assert weights["far"].backup is backup
