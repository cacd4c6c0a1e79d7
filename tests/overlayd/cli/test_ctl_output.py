"""How answers look."""

import sys

import pytest

from overlayd.cli.ctl_output import duration, mark, milliseconds, percent, rate, table, way


def test_columns_are_aligned_and_nothing_trails() -> None:
    assert table(("A", "BB"), [("long", "x"), ("y", "z")]).split("\n") == ["A     BB", "long  x", "y     z"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (milliseconds(None), "-"),
        (milliseconds(20.04), "20.0 ms"),
        (percent(None), "-"),
        (percent(0.0), "0.0 %"),
        (percent(0.0004), "< 0.1 %"),
        (percent(0.08), "8.0 %"),
        (rate(810), "810 bit/s"),
        (rate(12e6), "12.0 Mbit/s"),
        (duration(42), "42 s"),
        (duration(180), "3 min"),
        (duration(3 * 86400), "3 d"),
        (way(()), "-"),
        (way(("berlin",)), "direct"),
        (way(("rome", "oslo", "berlin")), "via rome, oslo"),
    ],
)
def test_figures_are_written_for_people(text: str, expected: str) -> None:
    assert text == expected


def test_colour_is_for_terminals_only_and_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert mark("dead", "bad") == "dead"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert mark("dead", "bad") == "\x1b[31mdead\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert mark("dead", "bad") == "dead"
