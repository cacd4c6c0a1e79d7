"""Hosts with other numbers of shards, with agents and a controller that know of them."""

from collections.abc import Iterator

import pytest

from sim.lab.sketch import Sketch, full_mesh
from tests.network.lab.mesh import Mesh, running, wait_until

SHARDS = {"a": 4, "b": 2, "r": 1}
SKETCH = Sketch(
    nodes=tuple(SHARDS),
    wires=full_mesh(tuple(SHARDS)),
    controller="r",
    edges={
        node: {"relay": True, "engine": {"shards": count, "key_log": True}} for node, count in SHARDS.items()
    },
)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with running(tmp_path_factory.mktemp("lab"), "shards", SKETCH) as mesh:
        mesh.settle_all()
        yield mesh


def test_flows_spread_over_the_shards_that_both_have_and_status_shows_it(mesh: Mesh) -> None:
    def carried(node: str) -> list[int]:
        return [shard["packets_in"] for shard in mesh.ask(node, "status")["engine"]["shards"]]

    def several_have() -> bool:
        assert mesh.probe("a", "b").loss_ratio == 0
        assert mesh.probe("b", "a").loss_ratio == 0
        by_node = {node: carried(node) for node in SHARDS}
        told = {node: len(shards) for node, shards in by_node.items()} == SHARDS
        return told and min(*by_node["a"][:2], *by_node["b"]) > 20

    wait_until(several_have)
    assert carried("a")[2:] == [0, 0]
    assert "shards      4, packets in/out" in mesh.ctl("a", "status").stdout


def test_what_people_ask_is_answered_as_ever(mesh: Mesh) -> None:
    trace = mesh.ctl("a", "trace", "b")
    assert trace.returncode == 0, trace
    explained = mesh.ctl("a", "explain", "b")
    assert explained.returncode == 0, explained
    links = mesh.document("a", "link", "list")["links"]
    assert len(links) == 2, "a link is one, whatever its lanes"
    assert all(link["up"] for link in links)
    assert mesh.ask("a", "status")["degraded"] == []


def test_keys_of_all_lanes_are_logged(mesh: Mesh) -> None:
    (found,) = mesh.place.node("a").rglob("keys.jsonl")
    lanes = {line.rpartition('"lane":')[2].rstrip("}\n") for line in found.read_text().splitlines()}
    assert lanes == {"0", "1"}
