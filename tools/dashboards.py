"""Writes Grafana's dashboards of what `tools.dashboard_panels` says: ``python -m tools.dashboards``.

The files in packaging/grafana are what this writes; a test compares. I/O: writes files.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tools.dashboard_panels import DASHBOARDS, Dashboard, Panel

FOLDER = Path(__file__).parents[1] / "packaging" / "grafana"
SCHEMA_VERSION = 39
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24


def document(dashboard: Dashboard) -> str:
    """Return the file of ``dashboard``."""
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}
    chosen = [
        {
            "name": name,
            "type": "query",
            "label": label,
            "datasource": _SOURCE,
            "query": query,
            "refresh": 2,
            "sort": 1,
        }
        for name, label, query in dashboard.variables
    ]
    made = {
        "uid": f"overlayd-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["overlayd"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [{"type": "dashboards", "title": "overlayd", "tags": ["overlayd"], "keepTime": True}],
        "templating": {"list": [source, *chosen]},
        "panels": list(_placed(dashboard.panels)),
    }
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _placed(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    """Place panels from left to right, row below row."""
    x = y = height = 0
    for number, panel in enumerate(panels, start=1):
        wide, high = panel.size
        if x + wide > _WIDTH or high != height:
            x, y = 0, y + (height if number > 1 else 0)
        height = high
        yield _panel(panel, number) | {"gridPos": {"w": wide, "h": high, "x": x, "y": y}}
        x += wide


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.kind == "timeseries" and panel.unit == "percentunit":
        defaults["min"] = 0
    targets: list[dict[str, Any]] = [
        {"refId": chr(ord("A") + at), "expr": expression, "legendFormat": legend}
        for at, (expression, legend) in enumerate(panel.queries)
    ]
    match panel.kind:
        case "stat":
            options: dict[str, Any] = {"reduceOptions": {"calcs": ["lastNotNull"]}}
        case "timeseries":
            options = {"legend": {"displayMode": "list", "placement": "bottom"}}
        case "heatmap":
            options = {"calculate": False, "yAxis": {"unit": panel.unit}}
            for target in targets:
                target["format"] = "heatmap"
    return {
        "id": number,
        "title": panel.title,
        "description": panel.text,
        "type": panel.kind,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": targets,
    }


def main(folder: Path) -> None:
    """Write all dashboards."""
    folder.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        (folder / f"overlayd-{dashboard.name}.json").write_text(document(dashboard), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
