"""Alert rules and dashboards ask for what there is, by labels that it has; all that is told can be seen."""

import re
from collections import Counter

import pytest
import yaml

from tests.prometheus import judge, pages
from tests.systemd.quickstart import commands
from tools.dashboard_panels import DASHBOARDS
from tools.dashboards import document

OF_PROMETHEUS = {"up", "ALERTS"}
ITS_LABELS = {"instance", "job", "alertname", "alertstate", "severity"}
_SELECTOR = re.compile(r"\b(overlayd_\w+|up|ALERTS)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring) \(([^)]*)\)")


def problems(expression: str, shown: frozenset[str] = frozenset()) -> list[str]:
    """What ``expression`` asks for that there is not."""
    documented = pages.metrics()
    found: list[str] = []
    known = set(ITS_LABELS)
    for name, matchers in _SELECTOR.findall(expression):
        metric = pages.family(name, documented)
        if metric is None and name not in OF_PROMETHEUS:
            found.append(f"no metric {name}")
            continue
        labels = ITS_LABELS | set(metric.labels if metric else ()) | ({"le"} if "_bucket" in name else set())
        known |= labels
        found += [f"{name} has no label {one}" for one in _MATCHER.findall(matchers) if one not in labels]
    asked = {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")}
    return found + [f"nothing has a label {one}" for one in sorted((asked | shown) - known)]


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("overlayd_link_losses", "no metric overlayd_link_losses"),
        ("overlayd_link_added_delay_seconds", "no metric overlayd_link_added_delay_seconds"),
        ('overlayd_link_up{class="bulk"}', "overlayd_link_up has no label class"),
        ("sum by (class) (overlayd_link_up)", "nothing has a label class"),
    ],
)
def test_a_query_for_what_there_is_not_is_found(expression: str, problem: str) -> None:
    assert problems(expression) == [problem]


def test_alerts_ask_for_what_there_is() -> None:
    for rule in pages.rules():
        text = "".join(rule["annotations"].values())
        shown = frozenset(re.findall(r"\$labels\.(\w+)", text))
        assert problems(rule["expr"], shown) == [], rule["alert"]


def test_every_alert_fires_in_a_test_and_stands_in_the_guide() -> None:
    tests = yaml.safe_load((pages.PROMETHEUS / "overlayd.rules.test.yml").read_text("utf-8"))["tests"]
    fired = {
        case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")
    }
    alerts = {rule["alert"] for rule in pages.rules()}
    assert fired == alerts
    assert judge.EXPECTED.keys() | {judge.EXPIRY} <= alerts
    guide = (pages.ROOT / "docs/guides/monitoring.md").read_text("utf-8")
    assert {
        alert
        for row in re.findall(r"^\| `.*?\|", guide, re.MULTILINE)
        for alert in re.findall(r"`(\w+)`", row)
    } == alerts


def test_dashboards_ask_for_what_there_is() -> None:
    for query in pages.queries():
        assert problems(query.expression, query.legend) == [], (query.dashboard, query.panel)


def test_every_metric_is_on_a_dashboard() -> None:
    documented = pages.metrics()
    asked = {name for query in pages.queries() for name, _ in _SELECTOR.findall(query.expression)}
    seen = {metric.name for name in asked if (metric := pages.family(name, documented)) is not None}
    assert documented.keys() - seen == set()


def test_the_dashboards_are_what_the_tool_writes() -> None:
    for dashboard in DASHBOARDS:
        file = pages.GRAFANA / f"overlayd-{dashboard.name}.json"
        assert file.read_text("utf-8") == document(dashboard), "renew them: python -m tools.dashboards"
    assert len(pages.dashboards()) == len(DASHBOARDS)


def test_panels_stand_beside_each_other() -> None:
    for name, dashboard in pages.dashboards().items():
        taken = Counter(
            (place["x"] + x, place["y"] + y)
            for place in (panel["gridPos"] for panel in dashboard["panels"])
            for x in range(place["w"])
            for y in range(place["h"])
        )
        assert set(taken.values()) == {1} and max(x for x, _ in taken) < 24, name


def test_the_number_of_series_is_the_sum_of_the_rows() -> None:
    text = (pages.ROOT / "docs/metrics.md").read_text("utf-8")
    sums = Counter[tuple[str, str]]()
    for metric in pages.metrics().values():
        letters = "·".join(one for one in metric.series if not one.isdigit())
        sums[metric.teller, letters] += metric.most(dict.fromkeys("NLCSR", 1))
    ours = {letters: count for (teller, letters), count in sums.items() if teller == "host"}
    assert f"`L·({ours['L']} + {ours['L·C']}·C) + {ours['N·C']}·N·C + {ours['S']}·S + R + {ours['']}`" in text
    assert f"`{sums['controller', 'N']}·N + {sums['controller', '']}`" in text
    assert f"of {len(pages.reasons())}." in text


def test_the_guide_brings_what_is_packaged() -> None:
    guide = commands((pages.ROOT / "docs/guides/monitoring.md").read_text("utf-8"))
    named = {file for line in guide["paris"] for file in re.findall(r"/usr/share/overlayd/(\S+\.yml)", line)}
    assert len(named) == 3
    assert all((pages.ROOT / "packaging" / file).exists() for file in named)
    configuration = yaml.safe_load((pages.PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    assert {job["job_name"] for job in configuration["scrape_configs"]} == {
        job for rule in pages.rules() for job in re.findall(r'job="([^"]+)"', rule["expr"])
    }
