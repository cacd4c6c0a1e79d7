"""The pure parts of the resource model by themselves; whole requests are in ``tests/kubernetes``."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.orchestration.objects import gnostic, lifecycle, openapi, patches
from controller.orchestration.objects.applying import apply
from controller.orchestration.objects.crd import manifest
from controller.orchestration.objects.fields import Path, decode, difference, dotted, encode, fields_of
from controller.orchestration.objects.managers import Manager, Owners
from controller.orchestration.objects.problems import Problem
from controller.orchestration.objects.schema import Object
from controller.orchestration.objects.selectors import parse
from controller.orchestration.objects.structure import fill, prune
from controller.orchestration.objects.tables import duration, found
from controller.orchestration.objects.usergroup import USER_GROUP
from controller.orchestration.objects.validation import validate
from tests.kubernetes.trial import KINDS, TRIAL

SCHEMA = TRIAL.schema
STEPS = st.sampled_from(["f:a", "f:b", 'k:{"port":1}', 'v:"x"'])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def trial(**spec: Any) -> Object:
    return {"metadata": {"name": "a"}, "spec": spec}


def who(name: str) -> Manager:
    return Manager(name, "Apply", TRIAL.api_version)


@given(st.frozensets(st.lists(STEPS, min_size=1, max_size=4).map(tuple), max_size=12))
def test_sets_of_fields_survive_being_written(paths: frozenset[Path]) -> None:
    assert decode(encode(paths)) == paths


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_of_all_that_differs_makes_the_other(before: Object, after: Object) -> None:
    def without_nulls(value: Any) -> Any:
        match value:
            case dict():
                return {key: without_nulls(part) for key, part in value.items() if part is not None}
            case _:
                return value

    after = without_nulls(after)
    patch = {**dict.fromkeys(before), **after}
    made = patches.merge({key: 0 for key in before}, patch)
    assert made == after


def test_fields_are_named_as_people_read_them() -> None:
    before, after = trial(ports=[{"port": 80}], tags=["x"]), trial(ports=[{"port": 80, "name": "w"}], tags=[])
    change = difference(SCHEMA, before, after)
    assert sorted(map(dotted, change.added)) == [".spec.ports[port=80].name"]
    assert sorted(map(dotted, change.removed)) == ['.spec.tags[="x"]']


def test_an_atomic_value_is_one_field() -> None:
    assert fields_of(SCHEMA, trial(place={"x": 1, "y": 2})) == {("f:spec", "f:place")}


def test_what_nobody_applies_any_more_goes_and_what_others_own_stays() -> None:
    live: Object = {"metadata": {"name": "a"}}
    owners: Owners = {}
    one = trial(env={"A": "1", "B": "2"}, limits={"cpu": "1"})
    live, owners = apply(SCHEMA, live, one, owners, who("alice"), force=False, now="t")
    live, owners = apply(SCHEMA, live, trial(env={"B": "2"}), owners, who("bob"), force=False, now="t")
    live, owners = apply(SCHEMA, live, trial(mode="fast"), owners, who("alice"), force=False, now="t")
    assert live["spec"] == {"mode": "fast", "env": {"B": "2"}}


def test_applying_the_same_twice_changes_nothing() -> None:
    config = trial(mode="fast", ports=[{"port": 1}, {"port": 2}], tags=["a"], env={"A": "1"})
    first, owners = apply(SCHEMA, {"metadata": {"name": "a"}}, config, {}, who("a"), force=False, now="1")
    second, same = apply(SCHEMA, first, config, owners, who("a"), force=False, now="2")
    assert (second, same) == (first, owners)


def test_a_conflict_names_its_owner_and_leaves_the_object() -> None:
    start: Object = {"metadata": {"name": "a"}}
    live, owners = apply(SCHEMA, start, trial(mode="fast"), {}, who("alice"), force=False, now="t")
    with pytest.raises(Problem, match=r'conflict with "alice": \.spec\.mode'):
        apply(SCHEMA, live, trial(mode="slow"), owners, who("bob"), force=False, now="t")
    assert live["spec"] == {"mode": "fast"}


def test_a_change_of_an_object_that_is_another_by_now_is_told_both_versions() -> None:
    live = {"metadata": {"name": "a", "uid": "1", "resourceVersion": "9"}, "spec": {"mode": "fast"}}
    sent = {"metadata": {"name": "a", "resourceVersion": "5"}, "spec": {"mode": "slow"}}
    with pytest.raises(Problem) as told:
        lifecycle.update(TRIAL, live, sent, lifecycle.Write("test", "t", "2", b"12345"))
    assert (told.value.code, told.value.reason) == (409, "Conflict")
    assert "the object has been modified" in told.value.message
    assert told.value.message.endswith("(version 5 was sent, 9 is the latest)")


def test_true_is_not_one_in_a_json_patch() -> None:
    with pytest.raises(Problem):
        patches.json_patch({"a": True}, [{"op": "test", "path": "/a", "value": 1}])


@pytest.mark.parametrize("path", ["/a/-1", "/a/9", "/a/01", "/a/x", "/b/c", "a"])
def test_places_that_are_not_there_are_refused(path: str) -> None:
    with pytest.raises(Problem):
        patches.json_patch({"a": [1]}, [{"op": "replace", "path": path, "value": 1}])


def test_a_failed_json_patch_leaves_its_target() -> None:
    target: Object = {"a": [1]}
    with pytest.raises(Problem):
        patches.json_patch(
            target, [{"op": "add", "path": "/a/-", "value": 2}, {"op": "remove", "path": "/b"}]
        )
    assert target == {"a": [1]}


def test_unknown_fields_are_taken_out_and_told_with_their_places() -> None:
    value = {"mode": "fast", "ports": [{"port": 1, "odd": 2}], "env": {"any": "x"}, "new": 1}
    assert prune(SCHEMA.properties["spec"], value, "spec") == [("spec.new", ""), ("spec.ports[0].odd", "")]
    assert value == {"mode": "fast", "ports": [{"port": 1}], "env": {"any": "x"}}


def test_an_unknown_field_is_told_with_the_nearest_known() -> None:
    assert prune(SCHEMA.properties["spec"], {"replica": 1}, "spec") == [("spec.replica", "replicas")]


def test_defaults_stand_where_nothing_was_said() -> None:
    value: Object = {"spec": {"ingress": [{"node": "a"}, {"node": "b", "weight": 0}]}}
    fill(USER_GROUP.schema, value)
    assert [one["weight"] for one in value["spec"]["ingress"]] == [1, 0]


@given(VALUES)
def test_whatever_is_sent_is_checked_without_failing(value: Any) -> None:
    validate(SCHEMA.properties["spec"], value, "spec")


@pytest.mark.parametrize(
    ("selector", "takes"),
    [("a=1", True), ("a==2", False), ("a!=2", True), ("a", True), ("!a", False), ("b", False), ("!b", True),
     ("a in (1, 2)", True), ("a notin (1,2)", False), ("b notin (1)", True), ("a=1,b", False), ("a>0", True),
     ("a < 1", False), ("", True)],
)  # fmt: skip
def test_label_selectors(selector: str, takes: bool) -> None:
    value: Object = {"metadata": {"name": "x", "labels": {"a": "1"}}}
    assert parse(TRIAL, selector, "").takes(value) is takes


@pytest.mark.parametrize("selector", ["a=b=c", "a in 1", "in (a)", "a b", "=", "a in (1", "a/b/c=1"])
def test_selectors_that_mean_nothing_are_refused(selector: str) -> None:
    with pytest.raises(Problem):
        parse(TRIAL, selector, "")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (600, "10m"), (10_799, "179m"), (10_800, "3h"),
     (11_460, "3h11m"), (28_800, "8h"), (172_800, "2d"), (180_000, "2d2h"), (691_200, "8d"),
     (63_072_000, "2y"), (-5, "<invalid>")],
)  # fmt: skip
def test_ages_are_told_as_kubectl_does(seconds: int, said: str) -> None:
    assert duration(seconds) == said


def test_paths_find_conditions_by_their_type() -> None:
    value = {"status": {"conditions": [{"type": "A", "status": "x"}, {"type": "Ready", "status": "True"}]}}
    assert found(value, '.status.conditions[?(@.type=="Ready")].status') == ["True"]
    assert found(value, ".status.conditions[*].type") == ["A", "Ready"]
    assert found(value, ".nothing.here") == []


def test_every_field_of_ours_is_described() -> None:
    silent: list[str] = []

    def walk(schema: Object, path: str) -> None:
        for key, below in schema.get("properties", {}).items():
            if not below.get("description") and path:
                silent.append(f"{path}.{key}")
            walk(below, f"{path}.{key}")
        if "items" in schema:
            walk(schema["items"], path)

    for kind in KINDS:
        if kind is not TRIAL and kind.custom:
            walk(manifest(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "")
    assert silent == []


def test_references_of_documents_lead_somewhere() -> None:
    second = openapi.version_2(KINDS, "v1")
    third = openapi.version_3(list(KINDS), "v1")

    def references(value: Any) -> set[str]:
        match value:
            case dict():
                own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set[str]()
                return own.union(*map(references, value.values()))
            case list():
                return set[str]().union(*map(references, value))
            case _:
                return set()

    assert references(second) <= {f"#/definitions/{name}" for name in second["definitions"]}
    assert references(third) <= {f"#/components/schemas/{name}" for name in third["components"]["schemas"]}


def test_the_document_as_protocol_buffers_has_the_same_names() -> None:
    document = openapi.version_2(KINDS, "v1")
    fields = dict(_fields(gnostic.encode(document)))
    assert fields[1] == [b"2.0"]
    names = [dict(_fields(one))[1][0].decode() for one in dict(_fields(fields[9][0]))[1]]
    assert names == list(document["definitions"])
    paths = [dict(_fields(one))[1][0].decode() for one in dict(_fields(fields[8][0]))[2]]
    assert paths == list(document["paths"])


def _fields(message: bytes) -> list[tuple[int, list[bytes]]]:
    """Take a message apart by the rules of protocol buffers, apart from the encoder."""
    made: dict[int, list[bytes]] = {}
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(message):
        key = varint()
        match key & 7:
            case 0:
                content = struct.pack("<q", varint())
            case 1:
                content, place = message[place : place + 8], place + 8
            case _:
                size = varint()
                content, place = message[place : place + size], place + size
        made.setdefault(key >> 3, []).append(content)
    return list(made.items())
