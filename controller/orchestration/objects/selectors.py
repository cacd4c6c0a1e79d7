"""Label and field selectors: parsed once, asked of each object. Pure.

Source: Kubernetes' ``labels.Parse`` and ``fields.ParseSelector``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controller.orchestration.objects.kinds import Kind
from controller.orchestration.objects.metadata import label_value, qualified
from controller.orchestration.objects.problems import bad_request
from controller.orchestration.objects.schema import Object, is_object

_REQUIREMENT = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<gone>[^\s,!=()]+)"
    r"|(?P<key>[^\s,!=()<>]+)\s*(?:(?P<op>==|=|!=)\s*(?P<value>[^\s,()=!]*)"
    r"|\s(?P<set>in|notin)\s*\((?P<values>[^()]*)\)"
    r"|(?P<cmp>[<>])\s*(?P<bound>\d+))?)\s*(?:,|$)"
)


@dataclass(frozen=True, slots=True)
class Selector:
    """Which objects of a kind are meant."""

    tests: tuple[Callable[[Object], bool], ...] = ()
    name: str | None = None
    """The only name that can be meant, if the selector says one."""

    def __bool__(self) -> bool:
        return bool(self.tests)

    def takes(self, value: Object) -> bool:
        return all(test(value) for test in self.tests)


ANY = Selector()


def parse(kind: Kind, labels: str, fields: str) -> Selector:
    """Return what both selectors together mean. Raises :class:`Problem` (400)."""
    by_field, name = _fields(kind, fields)
    return Selector((*_labels(labels), *by_field), name)


def _labels(text: str) -> list[Callable[[Object], bool]]:
    tests: list[Callable[[Object], bool]] = []
    place = 0
    while place < len(text.rstrip()):
        found = _REQUIREMENT.match(text, place)
        if found is None:
            raise bad_request(f"unable to parse requirement: found '{text[place:]}'")
        place = found.end()
        key = found["gone"] or found["key"]
        for problem in qualified(key):
            raise bad_request(f'unable to parse requirement: <nil>: Invalid value: "{key}": {problem}')
        tests.append(_label(key, found))
    return tests


def _label(key: str, found: re.Match[str]) -> Callable[[Object], bool]:
    if found["absent"]:
        return lambda value: key not in labels_of(value)
    if found["op"]:
        wanted = found["value"]
        for problem in label_value(wanted):
            raise bad_request(
                f'unable to parse requirement: values[0][{key}]: Invalid value: "{wanted}": {problem}'
            )
        if found["op"] == "!=":
            return lambda value: labels_of(value).get(key) != wanted
        return lambda value: labels_of(value).get(key) == wanted
    if found["set"]:
        among = {one.strip() for one in found["values"].split(",")}
        if found["set"] == "in":
            return lambda value: key in labels_of(value) and labels_of(value)[key] in among
        return lambda value: labels_of(value).get(key) not in among
    if found["cmp"]:
        bound = int(found["bound"])
        more = found["cmp"] == ">"
        return lambda value: _beyond(labels_of(value).get(key, ""), bound, more)
    return lambda value: key in labels_of(value)


def _beyond(text: str, bound: int, more: bool) -> bool:
    return text.isdecimal() and (int(text) > bound if more else int(text) < bound)


def _fields(kind: Kind, text: str) -> tuple[list[Callable[[Object], bool]], str | None]:
    known = {
        "metadata.name": ("metadata", "name"),
        "metadata.namespace": ("metadata", "namespace"),
        **kind.fields,
    }
    tests: list[Callable[[Object], bool]] = []
    name: str | None = None
    for term in filter(None, text.split(",")):
        found = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", term)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        key, operator, wanted = found.groups()
        path = known.get(key)
        if path is None:
            raise bad_request(f"field label not supported: {key}")
        if key == "metadata.name" and operator != "!=":
            name = wanted
        tests.append(_field(path, wanted, operator != "!="))
    return tests, name


def _field(path: tuple[str, ...], wanted: str, same: bool) -> Callable[[Object], bool]:
    def test(value: Object) -> bool:
        found: Any = value
        for step in path:
            found = found.get(step) if is_object(found) else None
        return ((found or "") == wanted) is same

    return test


def labels_of(value: Object) -> dict[str, str]:
    """Return an object's labels."""
    found: dict[str, str] | None = value["metadata"].get("labels")
    return found or {}
