"""What is promised to who watches a mesh: the metrics of docs/metrics.md, alert rules, dashboards. Read from
the files, for the checks here and in `tests.packaging`. I/O: reads files.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "packaging" / "prometheus"
GRAFANA = ROOT / "packaging" / "grafana"
_ROW = re.compile(r"^\| `(overlayd_\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|", re.MULTILINE)
_PARTS = ("_bucket", "_count", "_sum")


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the documentation. ``series``: how many there are at most, as factors (`10·L·C`)."""

    teller: Literal["host", "controller", "routes"]
    name: str
    kind: str
    labels: tuple[str, ...]
    series: tuple[str, ...]

    def most(self, letters: Mapping[str, int]) -> int:
        """How many series there may be where the letters are these numbers."""
        return math.prod(int(one) if one.isdigit() else letters[one] for one in self.series)


@dataclass(frozen=True, slots=True)
class Query:
    """An expression of a dashboard, and the labels that its legend shows."""

    dashboard: str
    panel: str
    expression: str
    legend: frozenset[str]


def metrics() -> dict[str, Metric]:
    """All documented metrics of the mesh by name."""
    return _of("host", "An edge host") | _of("controller", "The controller")


def of_routes() -> dict[str, Metric]:
    """Those of applications' routes, which the mesh runs without."""
    return _of("routes", "Routes of applications")


def _of(teller: Literal["host", "controller", "routes"], heading: str) -> dict[str, Metric]:
    text = (ROOT / "docs/metrics.md").read_text("utf-8").partition(f"\n## {heading}\n")[2]
    made = [
        Metric(teller, name, kind, tuple(re.findall(r"`(\w+)`", labels)), tuple(series.split("·")))
        for name, kind, labels, series in _ROW.findall(text.partition("\n## ")[0])
    ]
    return {metric.name: metric for metric in made}


def family(name: str, documented: Mapping[str, Metric]) -> Metric | None:
    """The metric that a name of Prometheus's belongs to: that of a histogram's part is the histogram."""
    for part in _PARTS:
        histogram = documented.get(name.removesuffix(part))
        if name.endswith(part) and histogram is not None and histogram.kind == "histogram":
            return histogram
    metric = documented.get(name)
    return metric if metric is not None and metric.kind != "histogram" else None


def reasons() -> list[str]:
    """The reasons that the engine knows for dropping a packet."""
    source = (ROOT / "engine/node/src/reason.rs").read_text("utf-8")
    return re.findall(r'^    \w+ = "(\w+)",', source, re.MULTILINE)


def rules() -> list[dict[str, Any]]:
    """All alert rules."""
    groups = yaml.safe_load((PROMETHEUS / "overlayd.rules.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> Iterator[Query]:
    """All expressions of all dashboards."""
    for name, document in dashboards().items():
        for panel in document["panels"]:
            for target in panel["targets"]:
                legend = frozenset(re.findall(r"{{(\w+)}}", target["legendFormat"]))
                yield Query(name, panel["title"], target["expr"], legend)


def dashboards() -> dict[str, dict[str, Any]]:
    """All dashboards by the name of their file."""
    return {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(GRAFANA.glob("*.json"))}


def variables(dashboard: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What a reader of a dashboard chooses from: by name a selector and the label whose values it has."""
    found: dict[str, tuple[str, str]] = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert asked is not None, variable
            found[variable["name"]] = (asked[1], asked[2])
    return found
