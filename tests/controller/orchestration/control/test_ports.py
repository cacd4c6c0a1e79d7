"""Ports of nodes: those that are asked for if nobody has them, else free ones, the same again where it can
be.
"""

import pytest

from controller.orchestration.control.ports import FIRST, LAST, PortTaken, choose_ports
from controller.orchestration.objects.reading import AppSpec
from controller.orchestration.objects.schema import Object


def app(*ports: Object) -> AppSpec:
    meta = {"name": "qc", "namespace": "default", "uid": "u"}
    return AppSpec.of(
        {"kind": "App", "metadata": meta, "spec": {"source": {"image": "x"}, "ports": list(ports)}}
    )


def test_free_ports_are_the_same_again_and_each_once() -> None:
    spec = app({"port": 80, "name": "http"}, {"port": 81, "name": "admin"})
    made = choose_ports(spec, "a", {})
    assert made == choose_ports(spec, "b", {}) and len(set(made.values())) == 2
    assert all(FIRST <= port <= LAST for port in made.values())
    taken = dict.fromkeys(made.values(), "another")
    assert not set(choose_ports(spec, "a", taken).values()) & set(made.values())


def test_a_port_that_is_asked_for_is_given_or_it_is_said_who_has_it() -> None:
    spec = app({"port": 80, "hostPort": 8080})
    assert list(choose_ports(spec, "a", {}).values()) == [8080]
    with pytest.raises(PortTaken, match="port 8080 of a is taken by other-x"):
        choose_ports(spec, "a", {8080: "other-x"})


def test_where_all_are_taken_it_is_said() -> None:
    with pytest.raises(PortTaken, match="no port of a"):
        choose_ports(app({"port": 80}), "a", dict.fromkeys(range(FIRST, LAST + 1), "x"))
