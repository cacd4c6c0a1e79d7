"""What containerlab is given of a lab's file."""

from pathlib import Path

import yaml

from sim.lab.document import Cursor
from sim.lab.render import host_ends, render
from sim.lab.topology import parse_topology, read_topology

FILE = Path(__file__).parents[3] / "containerlab" / "labs" / "nat-and-relay" / "topo.clab.yml"
DOCUMENT = yaml.safe_load(FILE.read_text("utf-8"))
TOPOLOGY = read_topology(FILE)
BINDS = {node.name: [f"/run/{node.name}:/run/{node.name}"] for node in TOPOLOGY.nodes}
RENDERED = render(DOCUMENT, TOPOLOGY, "mine", BINDS)


def test_nodes_are_the_file_s_own_with_nothing_but_the_lab_s_network() -> None:
    assert RENDERED["name"] == "mine"
    for name, node in DOCUMENT["topology"]["nodes"].items():
        assert RENDERED["topology"]["nodes"][name] == {**node, "binds": BINDS[name]}
    defaults = RENDERED["topology"]["defaults"]
    assert (defaults["network-mode"], defaults["cap-add"]) == ("none", ["NET_ADMIN"])
    assert defaults["sysctls"]["net.ipv4.conf.all.rp_filter"] == "0"


def test_every_end_of_a_link_leads_to_the_host_where_the_emulator_takes_it() -> None:
    links = RENDERED["topology"]["links"]
    assert len(links) == 2 * len(TOPOLOGY.links)
    for index, link in enumerate(TOPOLOGY.links):
        a, b = links[2 * index : 2 * index + 2]
        assert (a["host-interface"], b["host-interface"]) == host_ends("mine", index)
        assert (a["endpoint"]["node"], b["endpoint"]["node"]) == (link.a.node, link.b.node)
        assert a["type"] == b["type"] == "host"
        assert a["mtu"] == b["mtu"] == link.mtu


def test_links_that_the_kernel_impairs_stay_between_nodes() -> None:
    rendered = render(DOCUMENT, TOPOLOGY, "mine", BINDS, by_emulator=False)
    assert rendered["topology"]["links"] == DOCUMENT["topology"]["links"]


def test_interfaces_of_the_host_have_names_that_the_kernel_takes_and_labs_do_not_share() -> None:
    names = [name for lab in ("mine", "yours") for index in range(100) for name in host_ends(lab, index)]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 15


def test_the_file_itself_is_left_as_it_was() -> None:
    assert parse_topology(Cursor("again", "", DOCUMENT)) == TOPOLOGY
