"""Which node of a lab runs which daemon, and the configuration it gets."""

import tomllib
from pathlib import Path
from textwrap import dedent

import pytest

from sim.lab import toml
from sim.lab.document import parse
from sim.lab.errors import FileFault
from sim.lab.overlay import Controller, Overlay, parse_overlay, read_overlay
from sim.lab.topology import Node, Topology

LAB = Topology("lab", (Node("cloud"), Node("paris"), Node("madrid")), ())
SOUND = """
    controller: {node: cloud, listen: "[fd10:1::6]:7443"}
    edges:
      paris:
        relay: true
        uplink: [{name: isp1, address: 10.1.0.1}, {name: isp2, address: "fd10:1::1"}]
        agent: {announce: [192.168.7.0/24], lan_discovery: false}
      madrid: {}
    """


def overlay(text: str) -> Overlay:
    return parse_overlay(parse(dedent(text), "overlay.yml"), LAB)


def test_controller_and_edges_are_read() -> None:
    found = overlay(SOUND)
    assert found.controller == Controller("cloud", "[fd10:1::6]:7443")
    assert found.edges[0].prefixes == ["192.168.7.0/24"]
    assert found.edges[1].prefixes == []
    assert [(edge.node, edge.relay) for edge in found.edges] == [("paris", True), ("madrid", False)]


def test_tables_of_an_edge_survive_as_toml() -> None:
    tables = overlay(SOUND).edges[0].tables
    assert tomllib.loads(toml.encode(tables)) == tables


def test_any_text_survives_as_toml() -> None:
    tables = {"node": {"name": 'a "b"\\ \x7f\n\té\u2028', "mtu": 1380, "on": True, "share": 0.5, "none": []}}
    assert tomllib.loads(toml.encode(tables)) == tables


def test_tables_of_tables_survive_as_toml() -> None:
    tables = {
        "listen": "10.1.0.6:7443",
        "nodes": {"paris": {"region": "eu", "labels": ["a=b"]}, "a b": {"region": ""}},
        "log": {"level": "info", "of": [{"name": "x", "deep": {"on": True}}, {"name": "y"}]},
    }
    assert tomllib.loads(toml.encode(tables)) == tables


def test_tables_of_the_controller_are_read() -> None:
    found = overlay(SOUND.replace('7443"}', '7443", probing: {budget: 5000}}', 1))
    assert found.controller is not None
    assert found.controller.tables == {"probing": {"budget": 5000}}


def test_a_lab_without_the_file_has_no_daemons(tmp_path: Path) -> None:
    assert read_overlay(tmp_path / "overlay.yml", LAB) == Overlay()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("node: cloud", "node: clowd", "there is no node 'clowd'"),
        ("madrid:", "madird:", "did you mean 'madrid'"),
        ("relay: true", "relay: maybe", "edges.paris: relay: 'maybe' is neither"),
        ("uplink:", "uplinks:", "did you mean 'uplink'"),
        ("node: cloud,", "", "the key 'node' is missing"),
        ("node: cloud,", "node: cloud, probe: {},", "did you mean 'probing'"),
        ("]:7443", "]", "is not address:port"),
        ("uplink: [", "uplink: {}\n        log: [", "edges.paris.uplink: has to be a list"),
        ("controller:", "controler:", "did you mean 'controller'"),
    ],
)
def test_a_fault_is_told_with_its_place(old: str, new: str, problem: str) -> None:
    assert old in SOUND
    with pytest.raises(FileFault, match=problem):
        overlay(SOUND.replace(old, new, 1))
