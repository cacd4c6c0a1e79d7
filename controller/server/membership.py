"""Letting nodes in and out: each operation is one transaction of the store around a pure decision of
`controller.enrolment`.

Used by the agent channel, the HTTP API and the command line; several processes may do so at once. I/O:
the store.
"""

import os
import time
from dataclasses import dataclass

from controller.enrolment.addresses import host_prefixes
from controller.enrolment.authority import NODE_LIFETIME_S
from controller.enrolment.enrol import Enrolment, announce, enrol, renew
from controller.enrolment.errors import NotAMember
from controller.enrolment.tokens import DEFAULT_TTL_S, SECRET_BYTES, TokenGrant, check_token, digest_of, grant
from controller.registry import Node
from controller.state import State
from controller.store.store import Member
from overlayd.model.ids import NodeId
from overlayd.model.node import Revocation, SignedRevocation
from overlayd.protocol.controller import Joined, JoinRequest
from overlayd.protocol.signed import read_record, read_revocation, signed_by
from overlayd.protocol.token import JoinToken, encode_token


@dataclass(frozen=True, slots=True)
class NewToken:
    """``text`` is the only copy of the secret: it is shown once and kept nowhere."""

    text: str
    grant: TokenGrant


def create_token(
    state: State,
    name: str,
    *,
    relay: bool = False,
    prefixes: tuple[str, ...] = (),
    price_per_gb: float = 0.0,
    ttl_s: int = DEFAULT_TTL_S,
) -> NewToken:
    """Make a token with which one host can join as ``name``. Raises an ``EnrolmentError``."""
    secret = os.urandom(SECRET_BYTES)
    made = grant(
        secret, name, time.time(), relay=relay, prefixes=prefixes, price_per_gb=price_per_gb, ttl_s=ttl_s
    )
    with state.store.transaction():
        state.store.save_token(made)
    token = JoinToken(url=state.config.advertise[0], pin=state.issuer.authority.pin, secret=secret.hex())
    return NewToken(encode_token(token), made)


def join(state: State, request: JoinRequest) -> tuple[Member, Joined]:
    """Make a node of the host that sent ``request`` and use its token up. Raises an ``EnrolmentError``."""
    store, now = state.store, time.time()
    digest = digest_of(request.token)
    with store.transaction():
        token = check_token(store.token(digest), request.name, now)
        members = [member.node for member in store.members()]
        made = enrol(
            request,
            token,
            members,
            store.ids_ever_used(),
            store.ids_reusable(now),
            state.issuer,
            now,
            os.urandom,
            store.revocation_epoch(),
        )
        store.consume_token(digest, now)
        node = store.save_member(made.node, made.record, int(now) + NODE_LIFETIME_S)
    return Member(node, made.record), Joined(
        certificate=made.certificate,
        ca=state.issuer.authority.trust_pem,
        signer=state.issuer.signer.public_hex,
        record=made.record,
    )


def renew_member(state: State, node: NodeId, csr: str) -> tuple[Member, Enrolment]:
    """Give a member new credentials. Raises an ``EnrolmentError``."""
    store, now = state.store, time.time()
    with store.transaction():
        made = renew(store.member(node).node, csr, state.issuer, now, os.urandom)
        saved = store.save_member(made.node, made.record, int(now) + NODE_LIFETIME_S)
    return Member(saved, made.record), made


def announce_prefixes(state: State, member: Member, wanted: tuple[str, ...]) -> Member:
    """Put those of ``wanted`` in force that ``member`` may announce; signs a new record only if
    something changed.
    """
    node = member.node
    own = set(host_prefixes(node.spec.addresses))
    wanted = tuple(prefix for prefix in wanted if prefix not in own)
    if wanted == node.status.announced:
        return member
    store = state.store
    with store.transaction():
        members = [other.node for other in store.members()]
        announcing, record = announce(node, wanted, members, state.issuer, time.time())
        if announcing.status.announced == node.status.announced:
            return Member(store.save_node(announcing), member.record)
        return Member(store.save_node(announcing, record), record)


def remove(state: State, node: NodeId, reason: str) -> Node:
    """Revoke a node: its certificate opens nothing from now on, its name is free. Raises
    :class:`NotAMember`.
    """
    store, now = state.store, time.time()
    with store.transaction():
        gone = store.member(node).node
        epoch = store.revocation_epoch() + 1
        revocation = Revocation(epoch, node, gone.spec.public_key, int(now), reason)
        store.save_revocation(revocation, state.issuer.signer.sign_revocation(revocation))
        store.remove_node(node, now)
    return gone


def recall(state: State, signed: SignedRevocation) -> NodeId | None:
    """Take over a revocation that an agent holds and this store, restored from an older copy, does not.

    Returns who was a member only by that copy. Raises ``BadRecord`` for what this network did not sign.
    """
    authentic = signed_by(state.issuer.signer.public_hex)
    revocation = read_revocation(signed, authentic)
    store = state.store
    if revocation.epoch <= store.revocation_epoch():
        return None
    with store.transaction():
        store.save_revocation(revocation, signed)
        for member in store.members():
            if revocation.voids(read_record(member.record, authentic)):
                store.remove_node(member.node.spec.id, time.time())
                return member.node.spec.id
    return None


def find(state: State, name: str) -> Node:
    """Return the member called ``name``. Raises :class:`NotAMember`."""
    for member in state.store.members():
        if member.node.metadata.name == name:
            return member.node
    raise NotAMember(f"there is no node named {name!r}; `overlayd-controller node list` shows all")
