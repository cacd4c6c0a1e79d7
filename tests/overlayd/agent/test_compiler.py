"""Snapshots: the same tables give the same bytes, and nothing is handed over that the engine would refuse."""

from dataclasses import replace

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from overlayd.agent.compiler import compile_snapshot, installable
from overlayd.agent.mesh import MeshView
from overlayd.agent.prober import LinkIds, LocalUplink, numbered, wanted
from overlayd.model.ids import NodeId, Path
from overlayd.model.service import DEFAULT_CLASSES, HostRule, Rule
from overlayd.protocol import engine
from tests.overlayd.agent.dialogue import BERLIN, ME, OSLO, ROME, believe, mesh, record, uplink

LOCAL = (LocalUplink(0, "198.51.100.1", uplink(ME)),)
NEIGHBOURS = frozenset({BERLIN, ROME})


def view(*peers: NodeId) -> MeshView:
    return MeshView().apply(mesh(3, peers=peers, classes=DEFAULT_CLASSES), ME, believe).view


def compiled(
    *peers: NodeId, orders: dict[tuple[NodeId, int], tuple[Path, ...]] | None = None
) -> engine.Snapshot:
    held = view(*peers)
    assert held.network is not None
    links = wanted(ME, LOCAL, held.peers, ())
    ids = LinkIds().assign(links)
    made = [numbered(link, ids[key]) for key, link in links.items()]
    return compile_snapshot(7, record(ME), held, held.network, made, orders or {})


@given(st.permutations([BERLIN, ROME, OSLO]))
def test_the_order_in_which_peers_came_does_not_matter(peers: list[NodeId]) -> None:
    once = compiled(BERLIN, ROME, OSLO)
    assert msgspec.json.encode(compiled(*peers)) == msgspec.json.encode(once)


def test_a_snapshot_survives_its_encoding() -> None:
    snapshot = compiled(BERLIN, ROME, orders={(BERLIN, 0): ((BERLIN,), (ROME, BERLIN))})
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=engine.Snapshot) == snapshot


def test_each_code_point_selects_its_class() -> None:
    classifiers = {classifier.dscp: classifier.class_ for classifier in compiled(BERLIN).classifiers}
    for class_id, service in enumerate(DEFAULT_CLASSES):
        assert all(classifiers[dscp] == class_id for dscp in service.dscp)


def test_what_a_class_has_of_a_full_link_reaches_the_engine() -> None:
    made = {one.name: (one.weight, one.priority_ratio) for one in compiled(BERLIN).classes}
    assert made == {"interactive": (4, 0.0), "realtime": (4, 0.3), "bulk": (1, 0.0), "reliable": (4, 0.0)}


def test_a_hosts_rules_go_before_the_networks_and_these_before_code_points() -> None:
    held = view(BERLIN)
    assert held.network is not None
    voice = Rule(protocol="udp", destination="10.1.0.0/16", destination_port=5060)
    classes = tuple(
        msgspec.structs.replace(one, rules=(voice,)) if one.name == "realtime" else one
        for one in DEFAULT_CLASSES
    )
    network = msgspec.structs.replace(held.network, classes=classes)
    rules = (HostRule(class_="bulk", dscp=46), HostRule(class_="nonsense", port=1))
    made = compile_snapshot(7, record(ME), held, network, (), {}, rules)
    assert made.classifiers[:2] == (
        engine.Classifier(2, dscp=46),
        engine.Classifier(1, protocol=17, destination="10.1.0.0/16", destination_port=5060),
    )
    assert all(one.dscp is not None and one.port is None for one in made.classifiers[2:])


def test_own_addresses_are_covered_by_own_prefixes() -> None:
    node = compiled(BERLIN).node
    assert all(f"{address}/32" in node.prefixes for address in node.addresses)


def test_a_route_without_paths_is_left_out() -> None:
    assert compiled(BERLIN, orders={(BERLIN, 0): ()}).routes == ()


def test_only_paths_that_can_be_walked_are_installed() -> None:
    held = view(BERLIN, ROME, OSLO)
    assert installable((BERLIN,), ME, held, NEIGHBOURS)
    assert installable((ROME, BERLIN), ME, held, NEIGHBOURS)
    assert installable((ROME, OSLO), ME, held, NEIGHBOURS)
    assert not installable((OSLO,), ME, held, NEIGHBOURS), "no link to the first hop"
    assert not installable((ROME, NodeId(9)), ME, held, NEIGHBOURS), "an unknown node"
    assert not installable((ROME, ME), ME, held, NEIGHBOURS), "over this node itself"
    assert not installable((ROME, BERLIN, ROME), ME, held, NEIGHBOURS), "a loop"


def test_a_node_that_is_no_relay_is_not_passed() -> None:
    held = view(BERLIN, ROME)
    edge = msgspec.structs.replace(held.peers[ROME].record, relay=False)
    peers = dict(held.peers) | {ROME: type(held.peers[ROME])(edge, held.peers[ROME].signed, ())}
    held = MeshView(held.generation, held.network, peers, {})
    assert installable((ROME,), ME, held, NEIGHBOURS)
    assert not installable((ROME, BERLIN), ME, held, NEIGHBOURS)


def test_a_peer_has_as_many_lanes_as_its_uplinks_say_within_what_an_engine_takes() -> None:
    held = view(BERLIN, ROME)
    assert held.network is not None
    for lanes, wanted_lanes in ((1, 1), (4, 4), (0, 1), (-3, 1), (99, 16)):
        there = held.peers[ROME]
        uplinks = tuple(msgspec.structs.replace(one, lanes=lanes) for one in there.uplinks)
        peers = {**held.peers, ROME: replace(there, uplinks=uplinks)}
        made = compile_snapshot(7, record(ME), replace(held, peers=peers), held.network, (), {})
        assert [peer.lanes for peer in made.peers] == [1, wanted_lanes]
