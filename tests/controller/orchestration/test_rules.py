"""Rules between fields: CEL as far as our kinds use it, carried out as a real API server does."""

from typing import Any

import pytest

from controller.orchestration.objects.app import APP
from controller.orchestration.objects.offered import OFFERED
from controller.orchestration.objects.rules import BadRule, has_rules, meaning, pattern
from controller.orchestration.objects.schema import Rule, Schema, record, text, whole
from controller.orchestration.objects.validation import validate


@pytest.mark.parametrize(
    ("rule", "value", "holds"),
    [
        ("self.a + 1 <= self.b", {"a": 1, "b": 2}, True),
        ("self.a - 1 > self.b", {"a": 1, "b": 2}, False),
        ("has(self.a) && self.a == 'x'", {}, False),
        ("!has(self.a) || self.a != 'x'", {}, True),
        ("has(self.a.b)", {"a": {"b": 0}}, True),
        ("has(self.a) ? self.a > 2 : self.b < 2", {"b": 1}, True),
        ("(has(self.a) ? 1 : 0) + (has(self.b) ? 1 : 0) == 1", {"a": 0, "b": 0}, False),
        ("self.all(one, one.weight > 0)", [{"weight": 1}, {"weight": 0}], False),
        ("self.exists(one, one.weight > 0)", [{"weight": 1}, {"weight": 0}], True),
        ("self.a.exists(one, one in self.b)", {"a": ["x"], "b": ["y", "x"]}, True),
        ("size(self) > 0 && self[0] == 'a'", ["a"], True),
        ("self.matches('^[a-z]+$')", "abc\n", False),
        ("self.matches('[.]mesh$')", "qc.mesh", True),
        ("self.startsWith('/')", "/etc", True),
        ("type(self) == int ? self >= 1 : self.matches('^a')", 0, False),
        ("isQuantity(self) && !quantity(self).isLessThan(quantity('250m'))", "0.25", True),
        ("isQuantity(self)", "5 Mi", False),
        ("quantity(string(self.a)).isGreaterThan(quantity(string(self.b)))", {"a": "1Gi", "b": 5}, True),
        ("duration(self) >= duration('1m30s')", "90s", True),
        ("self.a > 1", {"b": 1}, False),
        ("self == true || self == null", None, True),
    ],
)
def test_a_rule_is_carried_out(rule: str, value: Any, holds: bool) -> None:
    assert meaning(rule)(value) is holds


@pytest.mark.parametrize(
    "rule", ["", "self.", "self ==", "self.a.b(1)", "first(self)", "(self", "self }", "self self"]
)
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(BadRule):
        meaning(rule)


@pytest.mark.parametrize("kind", list(OFFERED), ids=lambda kind: kind.name)
def test_all_rules_of_what_is_offered_are_known(kind: Any) -> None:
    for rule in _rules(kind.schema):
        assert meaning(rule.text) is not None
        assert rule.message and not rule.message.endswith(".")


def test_a_rule_blames_the_field_that_it_names_and_shows_single_values() -> None:
    low = Rule("self.low <= self.high", "must not be less than low", ".high")
    odd = whole(rules=(Rule("self != 3", "must not be 3"),))
    schema = record("", {"low": odd, "high": whole(), "names": Schema(type="array", items=odd)}, rules=(low,))
    said = [str(cause) for cause in validate(schema, {"low": 3, "high": 2, "names": [1, 3]}, "spec")]
    assert said == [
        "spec.high: Invalid value: must not be less than low",
        "spec.low: Invalid value: 3: must not be 3",
        "spec.names[1]: Invalid value: 3: must not be 3",
    ]


def test_rules_wait_until_shapes_are_right() -> None:
    schema = record("", {"a": whole(), "b": text(rules=(Rule("self == 'x'", "must be x"),))}, "a")
    said = [str(cause) for cause in validate(schema, {"b": "y"}, "")]
    assert said[0] == "a: Required value" and "some validation rules were not checked" in said[1]
    assert has_rules(schema) and not has_rules(record("", {"a": whole()}))


def test_ports_of_different_containers_need_different_names() -> None:
    def said(second: str) -> list[str]:
        ports = [[{"name": "web", "port": 80}, {"name": "dns", "port": 53}], [{"name": second, "port": 81}]]
        named = zip(("a", "b"), ports, strict=True)
        containers = [{"name": name, "image": "i", "ports": there} for name, there in named]
        return [str(cause) for cause in validate(APP.schema, {"spec": {"containers": containers}})]

    assert said("admin") == []
    problem = "ports of different containers need different names: routes and checks find them by these"
    assert said("dns") == [f"spec.containers: Invalid value: {problem}"]


def test_the_end_of_a_pattern_is_the_end_as_in_go() -> None:
    assert pattern("^a$").search("a\n") is None
    assert pattern(r"a\$").search("a$") is not None


def _rules(schema: Schema) -> list[Rule]:
    below = [*schema.properties.values(), *filter(None, (schema.items, schema.values))]
    return [*schema.rules, *(rule for one in below for rule in _rules(one))]
