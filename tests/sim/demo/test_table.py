"""The table at the end says what was measured, and a dash where nothing was."""

from io import StringIO

from rich.console import Console

from sim.demo.measure import Quality
from sim.demo.table import Met, Row, cells, table


def test_figures_have_their_units() -> None:
    assert cells(Met(Quality(100, 26.44, 31.0, 0.0123), 88.04)) == ("26.4 ms", "31.0 ms", "1.23%", "88.0")
    assert cells(Met(Quality(100, 186.6, 190.0, 0.16), 0.254)) == ("186.6 ms", "190.0 ms", "16.00%", "0.25")


def test_what_was_not_measured_is_a_dash() -> None:
    assert cells(None) == ("–", "–", "–", "–")
    assert cells(Met(Quality(0, None, None, None), None)) == ("–", "–", "–", "–")


def test_every_row_is_shown_with_its_path() -> None:
    met = Met(Quality(10, 1.0, 2.0, 0.0), 50.0)
    rows = [Row("before", "paris → madrid", met, met), Row("after", "paris → warsaw → madrid", met)]
    console = Console(file=StringIO(), width=150)
    console.print(table(rows))
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    assert any("before" in line and "paris → madrid" in line and line.count("50.0") == 2 for line in lines)
    assert any("after" in line and "paris → warsaw → madrid" in line and "–" in line for line in lines)
