"""A mesh and its changes: whatever order they come in, what is held is what was sent."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlayd.agent.mesh import BadRecord, BaseMismatch, MeshView
from overlayd.model.ids import NodeId
from overlayd.model.node import NodeRecord, SignedRecord
from overlayd.protocol.controller import Mesh
from tests.overlayd.agent.dialogue import BERLIN, ME, OSLO, ROME, believe, mesh, route

PEERS = (BERLIN, ROME, OSLO)


def test_a_complete_mesh_replaces_what_is_held() -> None:
    view = MeshView().apply(mesh(1, route(BERLIN, (BERLIN,)), peers=PEERS), ME, believe).view
    view = view.apply(mesh(2, peers=(ROME,)), ME, believe).view
    assert (view.generation, set(view.peers), dict(view.routes)) == (2, {ROME}, {})


def test_a_change_for_another_base_is_refused_and_changes_nothing() -> None:
    view = MeshView().apply(mesh(5), ME, believe).view
    for base in (4, 6):
        with pytest.raises(BaseMismatch):
            view.apply(mesh(7, base=base), ME, believe)


def test_a_complete_mesh_without_a_network_is_refused() -> None:
    with pytest.raises(BaseMismatch):
        MeshView().apply(msgspec.structs.replace(mesh(1), network=None), ME, believe)


def test_one_refused_record_costs_that_peer_only() -> None:
    def verify(signed: SignedRecord) -> NodeRecord:
        record = believe(signed)
        if record.id == ROME:
            raise BadRecord("forged")
        return record

    applied = MeshView().apply(mesh(1, peers=PEERS), ME, verify)
    assert set(applied.view.peers) == {BERLIN, OSLO} and applied.problems == ("forged",)


def test_the_own_record_is_told_apart_and_never_a_peer() -> None:
    applied = MeshView().apply(mesh(1, peers=(ME, BERLIN)), ME, believe)
    assert set(applied.view.peers) == {BERLIN}
    assert applied.own is not None and applied.own.record.id == ME


PEER_SETS = st.sets(st.sampled_from(PEERS)).map(lambda peers: tuple(sorted(peers)))


@given(st.lists(st.tuples(PEER_SETS, st.sets(st.sampled_from(PEERS))), max_size=20))
def test_a_stored_view_gives_the_same_view_again(
    changes: list[tuple[tuple[NodeId, ...], set[NodeId]]],
) -> None:
    view = MeshView().apply(mesh(1), ME, believe).view
    for generation, (added, removed) in enumerate(changes, 2):
        routes = [route(peer, (peer,)) for peer in added]
        change = mesh(generation, *routes, peers=added, base=generation - 1)
        gone = tuple(sorted(removed - set(added)))
        dropped = tuple((node, 0) for node in gone)
        change = msgspec.structs.replace(change, removed=gone, routes_removed=dropped, network=None)
        view = view.apply(change, ME, believe).view
    message = view.message()
    assert message is not None
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Mesh)
    assert MeshView().apply(again, ME, believe).view == view
