"""Alert rules and dashboards speak only of metrics that there are, and every alert has a test of its own."""

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "packaging" / "prometheus"
METRIC = re.compile(r"overlayd_\w+")


def documented() -> set[str]:
    rows = re.findall(r"^\| `(overlayd_\w+)` \| (\w+)", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    histograms = {
        f"{name}_{part}" for name, kind in rows if kind == "histogram" for part in ("bucket", "count")
    }
    return {name for name, _ in rows} | histograms


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load((PROMETHEUS / "overlayd.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_alerts_ask_for_metrics_that_there_are():
    for rule in rules():
        asked = set(METRIC.findall(rule["expr"]))
        assert asked <= documented(), rule["alert"]


def test_every_alert_fires_in_a_test():
    tests = yaml.safe_load((PROMETHEUS / "overlayd.rules.test.yml").read_text())["tests"]
    fired = {
        case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")
    }
    assert fired == {rule["alert"] for rule in rules()}


def test_dashboards_ask_for_metrics_that_there_are():
    files = sorted((ROOT / "packaging" / "grafana").glob("*.json"))
    assert len(files) == 2
    for file in files:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                asked = set(METRIC.findall(target["expr"]))
                assert asked and asked <= documented(), (file.name, panel["title"])
