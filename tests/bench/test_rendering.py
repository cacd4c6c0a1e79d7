"""The table and the chart of a result."""

import xml.etree.ElementTree as ElementTree

from tests.bench import chart, table
from tests.bench.figures import METRICS, Cell, document

MACHINE = {"cpu": "one <fast>", "cores": 2, "kernel": "6.1", "congestion_control": "bbr"}
ORDER = ["raw", "overlayd", "peer", "absent"]
SVG = "{http://www.w3.org/2000/svg}"


def result() -> dict[str, object]:
    values = {"raw": (90.0, 80.0), "overlayd": (4.0, 6.0), "peer": (1.0, 1.0)}
    cells = [
        Cell(
            name,
            state,
            number,
            dict.fromkeys(METRICS, value) | ({"cpu_s_per_gb": None} if name == "raw" else {}),
        )
        for name, both in values.items()
        for state in ("on", "off")
        for number, value in enumerate(both, start=1)
    ]
    return document(cells, ["peer"], MACHINE, {"absent": "not to be had"})


def test_a_table_has_a_line_for_each_system_and_says_what_failed() -> None:
    lines = table.render(result(), ORDER).splitlines()
    (ours, _) = [line for line in lines if line.startswith("overlayd ")]
    assert ours.split()[:3] == ["overlayd", "5", "(4–6)"]
    (raw, _) = [line for line in lines if line.startswith("raw ")]
    assert raw.endswith("–")
    assert lines[-1] == "failed: absent: not to be had"
    assert any(line.strip() == "tcp1 to best peer: 5" for line in lines)


def test_a_chart_is_an_svg_with_a_bar_for_each_figure() -> None:
    tree = ElementTree.fromstring(chart.render(result(), ORDER))
    assert tree.tag == f"{SVG}svg"
    bars = [bar for bar in tree.iter(f"{SVG}rect") if bar.get("class") in ("ours", "peer", "reference")]
    # Three systems a panel, but raw veth has no process whose CPU time would count.
    assert len(bars) == len(chart.PANELS) * 3 - 1
    assert "prefers-color-scheme: dark" in "".join(tree.itertext())


def test_bars_are_as_long_as_their_figures_and_stay_in_the_chart() -> None:
    tree = ElementTree.fromstring(chart.render(result(), ORDER))
    widths = {
        kind: [float(bar.get("width", "0")) for bar in tree.iter(f"{SVG}rect") if bar.get("class") == kind]
        for kind in ("ours", "peer", "reference")
    }
    assert widths["ours"][0] == chart.BAR
    assert abs(widths["peer"][0] - chart.BAR / 5) < 0.1
    assert widths["reference"][0] == chart.BAR
    for line in tree.iter(f"{SVG}line"):
        assert float(line.get("x2", "0")) <= chart.WIDTH
