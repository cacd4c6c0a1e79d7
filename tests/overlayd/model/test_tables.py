"""What is said of a faulty table of a configuration file."""

from typing import Annotated

import msgspec
import pytest

from overlayd.model.tables import out_of_range, unknown, unknown_key


class Item(msgspec.Struct, frozen=True):
    size: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5


class Table(msgspec.Struct, frozen=True):
    item: Item = Item()
    items: tuple[Item, ...] = ()
    number: Annotated[int, msgspec.Meta(ge=1, le=9)] = 5
    free: int = 0
    name: str = ""


def test_all_keys_are_named_where_none_is_near() -> None:
    assert unknown(["size", "name"], "sice") == "did you mean 'size'?"
    assert unknown(["size", "name"], "qqq") == "known keys: size, name"


@pytest.mark.parametrize(
    ("tables", "found"),
    [
        ({"item": {"size": 1}, "items": [{"size": 1}, {}], "free": 1}, None),
        ({"itme": {}}, "itme"),
        ({"item": {"sice": 1}}, "item.sice"),
        ({"items": [{}, {"sice": 1}]}, "items[1].sice"),
        ({"item": "no table", "items": ["none"], "nmae": 1}, "nmae"),
    ],
)
def test_the_first_unknown_key_is_found_at_any_depth(tables: dict[str, object], found: str | None) -> None:
    problem = unknown_key(tables, Table)
    assert problem == (found and (found, problem and problem[1]))


@pytest.mark.parametrize(
    ("tables", "place", "said"),
    [
        ({"number": 12}, "number", "12 is out of range: at least 1, at most 9"),
        ({"item": {"size": 0}}, "item.size", "0 is out of range: above 0, below 1"),
        ({"items": [{}, {"size": 1.5}]}, "items[1].size", "1.5 is out of range: above 0, below 1"),
        ({"number": "12"}, "number", None),
        ({"number": True}, "number", None),
        ({"number": 1.5}, "number", None),
        ({"free": 1.5}, "free", None),
        ({"name": 3}, "name", None),
        ({}, "number", None),
        ({}, "", None),
    ],
)
def test_a_number_out_of_range_is_named_with_its_bounds(
    tables: dict[str, object], place: str, said: str | None
) -> None:
    assert out_of_range(tables, Table, place) == said
