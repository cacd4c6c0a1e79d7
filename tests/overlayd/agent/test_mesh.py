"""A mesh and its changes: whatever order they come in, what is held is what was sent."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlayd.agent.mesh import BaseMismatch, MeshView
from overlayd.model.ids import NodeId
from overlayd.model.node import SignedRevocation
from overlayd.protocol.controller import Mesh, PeerInfo
from tests.overlayd.agent.dialogue import BERLIN, ME, OSLO, ROME, believe, mesh, revoked, route, signed

PEERS = (BERLIN, ROME, OSLO)


def test_a_complete_mesh_replaces_what_is_held() -> None:
    view = MeshView().apply(mesh(1, route(BERLIN, (BERLIN,)), peers=PEERS), ME, believe).view
    view = view.apply(mesh(2, peers=(ROME,)), ME, believe).view
    assert (view.generation, set(view.peers), dict(view.routes)) == (2, {ROME}, {})


def test_whom_to_probe_holds_until_something_else_is_said() -> None:
    def said(generation: int, base: int, *named: NodeId, silent: bool = False) -> Mesh:
        change = mesh(generation, peers=PEERS, base=base)
        return msgspec.structs.replace(change, neighbours=None if silent else named)

    view = MeshView().apply(said(1, 0, BERLIN, ROME), ME, believe).view
    assert view.neighbours == {BERLIN, ROME}
    view = view.apply(said(2, 1, silent=True), ME, believe).view
    kept = view.message()
    assert kept is not None and MeshView().apply(kept, ME, believe).view.neighbours == {BERLIN, ROME}
    assert view.apply(said(3, 2), ME, believe).view.neighbours is None
    assert view.apply(said(3, 0, silent=True), ME, believe).view.neighbours is None


def test_a_mesh_in_which_all_probe_all_says_nothing_that_older_agents_do_not_know() -> None:
    assert b"neighbours" not in msgspec.msgpack.encode(mesh(1))


def test_a_change_for_another_base_is_refused_and_changes_nothing() -> None:
    view = MeshView().apply(mesh(5), ME, believe).view
    for base in (4, 6):
        with pytest.raises(BaseMismatch):
            view.apply(mesh(7, base=base), ME, believe)


def test_a_complete_mesh_without_a_network_is_refused() -> None:
    with pytest.raises(BaseMismatch):
        MeshView().apply(msgspec.structs.replace(mesh(1), network=None), ME, believe)


def test_one_refused_record_costs_that_peer_only() -> None:
    def authentic(body: bytes, signature: bytes) -> bool:
        return b'"rome"' not in body

    applied = MeshView().apply(mesh(1, peers=PEERS), ME, authentic)
    assert set(applied.view.peers) == {BERLIN, OSLO}
    assert applied.problems == ("a node record was not signed by this network's signer",)


def revoking(change: Mesh, *revocations: SignedRevocation) -> Mesh:
    return msgspec.structs.replace(change, revocations=revocations)


def test_who_is_revoked_goes_and_no_older_record_brings_it_back() -> None:
    view = MeshView().apply(mesh(1, peers=PEERS), ME, believe).view
    view = view.apply(revoking(mesh(2, peers=(), base=1), revoked(ROME, 4)), ME, believe).view
    assert (set(view.peers), view.epoch) == ({BERLIN, OSLO}, 4)
    for change in (mesh(3, peers=PEERS, base=2), mesh(3, peers=PEERS)):
        later = view.apply(change, ME, believe)
        assert set(later.view.peers) == {BERLIN, OSLO} and later.view.epoch == 4
        assert later.problems == ("the record of rome is of epoch 0, and was revoked in epoch 4: stolen",)


def test_who_joined_after_the_revocation_is_let_in_under_the_same_id_and_key() -> None:
    view = MeshView().apply(revoking(mesh(1), revoked(ROME, 4)), ME, believe).view
    assert set(view.peers) == {BERLIN}
    again = PeerInfo(signed(ROME, epoch=4), ())
    change = msgspec.structs.replace(mesh(2, peers=(), base=1), peers=(again,))
    assert set(view.apply(change, ME, believe).view.peers) == {BERLIN, ROME}


def test_a_revoked_key_lets_nobody_in_under_another_id() -> None:
    revocation = revoked(NodeId(99), 4, key_of=ROME)
    applied = MeshView().apply(revoking(mesh(1, peers=PEERS), revocation), ME, believe)
    assert set(applied.view.peers) == {BERLIN, OSLO}


def test_an_older_revocation_does_not_replace_a_newer_one() -> None:
    for order in ((4, 7), (7, 4)):
        change = revoking(mesh(1), *(revoked(ROME, epoch) for epoch in order))
        assert MeshView().apply(change, ME, believe).view.epoch == 7


@pytest.mark.parametrize(
    "forged",
    [
        SignedRevocation(revoked(ROME, 4).revocation, b"by somebody else"),
        SignedRevocation(signed(ROME).record, b"signature"),
        revoked(ROME, 0),
    ],
)
def test_what_is_no_revocation_of_this_network_revokes_nobody(forged: SignedRevocation) -> None:
    applied = MeshView().apply(revoking(mesh(1, peers=PEERS), forged), ME, believe)
    assert set(applied.view.peers) == set(PEERS) and applied.view.epoch == 0
    assert len(applied.problems) == 1


def test_the_own_record_is_told_apart_and_never_a_peer() -> None:
    applied = MeshView().apply(mesh(1, peers=(ME, BERLIN)), ME, believe)
    assert set(applied.view.peers) == {BERLIN}
    assert applied.own is not None and applied.own.record.id == ME


PEER_SETS = st.sets(st.sampled_from(PEERS)).map(lambda peers: tuple(sorted(peers)))


@given(st.lists(st.tuples(PEER_SETS, st.sets(st.sampled_from(PEERS))), max_size=20))
def test_a_stored_view_gives_the_same_view_again(
    changes: list[tuple[tuple[NodeId, ...], set[NodeId]]],
) -> None:
    view = MeshView().apply(revoking(mesh(1), revoked(NodeId(9), 3, key_of=ME)), ME, believe).view
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
