"""Topology files in containerlab's format."""

from pathlib import Path
from textwrap import dedent

import pytest

from sim.lab.document import parse
from sim.lab.errors import FileFault
from sim.lab.expect import read_expectations
from sim.lab.overlay import read_overlay
from sim.lab.topology import Endpoint, Topology, parse_topology, read_topology

LABS = Path(__file__).parents[3] / "containerlab" / "labs"

SOUND = """
    name: pair
    mgmt: {external-access: false}
    topology:
      defaults: {kind: linux, image: some/image}
      nodes:
        a:
          exec: [ip link show, "sh -c 'echo two'"]
          sysctls: {net.ipv4.ip_forward: 1}
        b: {binds: ["a:b"]}
      links:
        - endpoints: ["a:eth1", "b:eth1"]
          mtu: 1500
          vars: {impair: {delay: 20ms, b->a: {loss: 1%}}, other: free}
        - type: veth
          endpoints: [{node: a, interface: eth2}, {node: b, interface: eth2}]
    """


def topology(text: str) -> Topology:
    return parse_topology(parse(dedent(text), "topo.clab.yml"))


def test_nodes_and_links_are_read() -> None:
    lab = topology(SOUND)
    assert [node.name for node in lab.nodes] == ["a", "b"]
    assert lab.nodes[0].exec == ("ip link show", "sh -c 'echo two'")
    assert lab.nodes[0].sysctls == (("net.ipv4.ip_forward", "1"),)
    first, second = lab.links
    assert (first.a, first.b, first.mtu) == (Endpoint("a", "eth1"), Endpoint("b", "eth1"), 1500)
    assert first.ways == ("a:eth1->b:eth1", "b:eth1->a:eth1")
    assert (first.impairments.there.loss_ratio, first.impairments.back.loss_ratio) == (0.0, 0.01)
    assert (second.b, second.mtu) == (Endpoint("b", "eth2"), 9500)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("name: pair", "nmae: pair", "unknown key 'nmae'; did you mean 'name'"),
        ("name: pair", "name: 'a/b'", "name: 'a/b' is not a name"),
        ("kind: linux", "kind: srl", "only nodes of kind linux"),
        ("binds:", "bindz:", r"topology.nodes.b: unknown key 'bindz'; did you mean 'binds'"),
        ('"b:eth1"', '"c:eth1"', "there is no node 'c'; nodes: a, b"),
        ('"b:eth1"', '"a:eth9"', "both ends are on one node"),
        ('"b:eth1"', '"b"', "is not NODE:INTERFACE"),
        ('"b:eth1"', '"b:an-interface-too-long"', "at most 15 characters"),
        ("interface: eth2}, {", "interface: eth1}, {", "a:eth1 is the end of another link already"),
        ("type: veth", "type: macvlan", "only links of type veth"),
        ("mtu: 1500", "mtu: 15", "15 is not a whole number from 68"),
        ("delay: 20ms", "delay: 20", r"topology.links\[0\].vars.impair: delay: 20 is not a time"),
        ("delay: 20ms", "dealy: 20ms", "did you mean 'delay'"),
        ("nodes:", "nodes: {}\n      groups:", "there are no nodes"),
        ("topology:", "topology: [", "is not YAML"),
    ],
)
def test_a_fault_is_told_with_its_place(old: str, new: str, problem: str) -> None:
    assert old in SOUND
    with pytest.raises(FileFault, match=problem):
        topology(SOUND.replace(old, new, 1))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFault, match=r"absent\.yml: cannot be read: No such file"):
        read_topology(tmp_path / "absent.yml")


@pytest.mark.parametrize("lab", sorted(path.name for path in LABS.iterdir()))
def test_every_lab_of_the_project_is_sound_and_uses_an_mtu_that_the_internet_has(lab: str) -> None:
    found = read_topology(LABS / lab / "topo.clab.yml")
    nodes = [node.name for node in found.nodes]
    assert found.name == lab
    assert {link.mtu for link in found.links} == {1500}
    assert read_overlay(LABS / lab / "overlay.yml", found).edges
    assert read_expectations(LABS / lab / "expect.yml", nodes).assertions
    assert "```" in (LABS / lab / "README.md").read_text(), "a map"
