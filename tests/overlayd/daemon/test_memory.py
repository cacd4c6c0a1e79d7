"""What an agent remembers of what happened."""

import logging

from overlayd.daemon.memory import MOST, Memory


def test_events_are_told_in_order_since_a_time_after_a_number_and_up_to_a_limit() -> None:
    memory = Memory(100.0)
    for at in range(101, 106):
        memory.note(logging.INFO, f"event {at}", {}, float(at))
    assert memory.told().began == 100.0
    assert [row.number for row in memory.told().events] == [1, 2, 3, 4, 5]
    assert [row.at for row in memory.told(since=104.0).events] == [104.0, 105.0]
    assert [row.number for row in memory.told(after=3).events] == [4, 5]
    assert [row.number for row in memory.told(limit=2).events] == [4, 5], "the newest"
    assert memory.told(limit=0).events == ()


def test_memory_is_bounded_and_numbers_go_on() -> None:
    memory = Memory(0.0)
    for _ in range(MOST + 3):
        memory.note(logging.INFO, "link up", {}, 1.0)
    rows = memory.told().events
    assert (len(rows), rows[0].number, rows[-1].number) == (MOST, 4, MOST + 3)


def test_what_is_for_the_fault_finder_alone_is_left_out_and_values_are_plain() -> None:
    memory = Memory(0.0)
    memory.note(logging.DEBUG, "lane up", {}, 1.0)
    memory.note(logging.WARNING, "path moved", {"before": ("rome", "oslo"), "link": 3, "why": None}, 1.0)
    memory.note(logging.ERROR, "record refused", {}, 1.0)
    first, second = memory.told().events
    assert (first.level, first.values) == ("warning", {"before": "('rome', 'oslo')", "link": 3, "why": None})
    assert second.level == "error"
