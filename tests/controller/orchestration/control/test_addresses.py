"""Addresses of routes: kept as long as the route is there, none given twice."""

from ipaddress import IPv4Network

from controller.orchestration.control.addresses import assign

PREFIX = IPv4Network("100.127.0.0/29")


def test_an_address_stays_and_new_routes_get_free_ones() -> None:
    assert assign({"b": "100.127.0.1", "a": "", "c": ""}, PREFIX) == {
        "b": "100.127.0.1", "a": "100.127.0.2", "c": "100.127.0.3",
    }  # fmt: skip


def test_an_address_that_two_have_or_of_another_prefix_is_given_anew() -> None:
    made = assign({"a": "100.127.0.5", "b": "100.127.0.5", "c": "10.0.0.1", "d": "here"}, PREFIX)
    assert made["a"] == "100.127.0.5" and len(set(made.values())) == 4


def test_where_none_is_free_none_is_given() -> None:
    made = assign({str(number): "" for number in range(9)}, PREFIX)
    assert len(made) == 6 and "100.127.0.0" not in made.values() and "100.127.0.7" not in made.values()
