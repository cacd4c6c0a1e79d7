"""A time has a unit, or is refused."""

import argparse

import pytest

from overlayd.model.duration import seconds_of


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604800)])
def test_a_time_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "900", "0s", "-1s", "1.5h", "15 m", "15min", "15M", "²s", "1s\n"])
def test_all_else_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write 90s, 15m, 2h or 7d"):
        seconds_of(text)
