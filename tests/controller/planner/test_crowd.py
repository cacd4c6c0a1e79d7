"""Which of the routes that would move to a relay it has room for."""

import numpy as np

from controller.planner.crowd import ROOM, Crowd
from controller.planner.search import NONE, Relays
from controller.topology.links import F32


def crowd(*room_bps: float) -> Crowd:
    """Nodes with so much room; nothing comes through them yet."""
    none = np.zeros(len(room_bps), np.float32)
    capacity: F32 = np.array(room_bps, np.float32) / np.float32(ROOM)
    return Crowd(none, capacity, none.copy(), np.zeros((len(room_bps), len(room_bps)), np.float32))


def fits(crowd: Crowd, *moves: tuple[float, int, int]) -> list[bool]:
    """Each move is what it carries and its relays."""
    carried: F32 = np.array([move[0] for move in moves], np.float32)
    relays: Relays = np.array([move[1:] for move in moves], np.int16)
    return crowd.fits(carried, relays).tolist()


def test_a_route_too_big_for_a_relay_holds_up_no_smaller_one() -> None:
    assert fits(crowd(10), (50, 0, NONE), (1, 0, NONE), (1, 0, NONE)) == [False, True, True]


def test_what_found_room_leaves_less_to_those_behind_it() -> None:
    moves = [(6.0, 0, NONE), (6.0, 0, NONE), (3.0, 0, NONE), (3.0, 0, NONE)]
    assert fits(crowd(10), *moves) == [True, False, True, False]


def test_a_path_that_its_second_relay_has_no_room_for_takes_none_of_the_first() -> None:
    assert fits(crowd(10, 2), (8, 0, 1), (8, 0, NONE), (2, 1, NONE)) == [False, True, True]


def test_a_relay_of_unknown_capacity_and_the_direct_path_have_room_for_all() -> None:
    assert fits(crowd(np.inf, 0), (1e9, 0, NONE), (1e9, 0, NONE), (1e9, NONE, NONE)) == [True] * 3
