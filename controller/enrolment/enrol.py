"""The decisions of enrolment: may this host join, and as what; which prefixes may a node announce;
renewal. Pure.

The caller (`controller.server.membership`) runs each inside one transaction of the store.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.enrolment.addresses import AddressPlan, allocate_id, check_free, check_granted, host_prefixes
from controller.enrolment.authority import NODE_LIFETIME_S, Authority, Entropy, check_csr
from controller.enrolment.errors import BadRequest, EnrolmentError, KeyTaken, NameTaken
from controller.enrolment.records import Signer
from controller.enrolment.tokens import TokenGrant, check_name
from controller.registry import Metadata, Node, NodeSpec, announcing, certified, timestamp
from overlayd.model.ids import NodeId
from overlayd.model.node import NodeRecord, SignedRecord
from overlayd.protocol.controller import JoinRequest

_X25519 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Issuer:
    """What enrolment works with: the authority, the signer and the address plan of one network."""

    authority: Authority
    signer: Signer
    plan: AddressPlan


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A node with its credentials. ``certificate`` is a PEM chain."""

    node: Node
    certificate: str
    record: SignedRecord


def enrol(
    request: JoinRequest,
    token: TokenGrant,
    members: Sequence[Node],
    ever_used: Iterable[NodeId],
    reusable: Iterable[NodeId],
    issuer: Issuer,
    unix_s: float,
    entropy: Entropy,
    epoch: int = 0,
) -> Enrolment:
    """Make a node of a host that holds ``token``; ``epoch`` is that of the newest revocation.

    Raises an :class:`EnrolmentError`.
    """
    check_name(request.name)
    if any(request.name == node.metadata.name for node in members):
        raise NameTaken(
            f"a node named {request.name!r} exists; "
            f"`overlayd-controller node remove {request.name}` frees the name"
        )
    if not _X25519.fullmatch(request.public_key):
        raise BadRequest("the engine's public key has to be 32 bytes in lower-case hex")
    if owner := next((n for n in members if n.spec.public_key == request.public_key), None):
        raise KeyTaken(f"the node {owner.metadata.name!r} has this engine's key; each host makes its own")
    key = check_csr(request.csr)
    check_granted(request.prefixes, token.prefixes)
    check_free(request.prefixes, issuer.plan, _announced(members))
    node_id = allocate_id(ever_used, reusable)
    addresses = issuer.plan.allocate(node_id, (a for node in members for a in node.spec.addresses))
    uid = _uuid4(entropy(16))
    node = Node(
        metadata=Metadata(name=request.name, uid=uid, creation_timestamp=timestamp(unix_s)),
        spec=NodeSpec(
            id=node_id,
            public_key=request.public_key,
            addresses=addresses,
            relay=token.relay,
            prefixes=token.prefixes,
            price_per_gb=token.price_per_gb,
            epoch=epoch,
        ),
    )
    node = announcing(node, request.prefixes, (), unix_s)
    not_after = int(unix_s) + NODE_LIFETIME_S
    certificate = issuer.authority.issue_node(key, node_id, request.name, unix_s, entropy)
    signed = issuer.signer.sign_record(record_of(node, not_after))
    return Enrolment(certified(node, not_after), certificate, signed)


def renew(node: Node, csr: str, issuer: Issuer, unix_s: float, entropy: Entropy) -> Enrolment:
    """Give a member a new certificate and record for another seven days. Raises :class:`BadRequest`."""
    key = check_csr(csr)
    not_after = int(unix_s) + NODE_LIFETIME_S
    certificate = issuer.authority.issue_node(key, node.spec.id, node.metadata.name, unix_s, entropy)
    signed = issuer.signer.sign_record(record_of(node, not_after))
    return Enrolment(certified(node, not_after), certificate, signed)


def announce(
    node: Node, wanted: tuple[str, ...], members: Sequence[Node], issuer: Issuer, unix_s: float
) -> tuple[Node, SignedRecord]:
    """Return the node with those of the wanted prefixes in force that it may announce, and its new record.

    What is refused stands in the node's conditions: a node that lost a prefix keeps all else.
    """
    others = [other for other in members if other.spec.id != node.spec.id]
    accepted: list[str] = []
    refused: list[str] = []
    for prefix in wanted:
        try:
            check_granted((prefix,), node.spec.prefixes)
            check_free((prefix,), issuer.plan, _announced(others))
            accepted.append(prefix)
        except EnrolmentError:
            refused.append(prefix)
    node = announcing(node, tuple(accepted), tuple(refused), unix_s)
    not_after = int(unix_s) + NODE_LIFETIME_S
    return node, issuer.signer.sign_record(record_of(node, not_after))


def record_of(node: Node, not_after: int) -> NodeRecord:
    """Return what is signed about ``node``; ``not_after`` is Unix seconds."""
    return NodeRecord(
        id=node.spec.id,
        name=node.metadata.name,
        public_key=node.spec.public_key,
        addresses=node.spec.addresses,
        prefixes=(*host_prefixes(node.spec.addresses), *node.status.announced),
        relay=node.spec.relay,
        not_after=not_after,
        epoch=node.spec.epoch,
    )


def _announced(members: Iterable[Node]) -> list[tuple[str, str]]:
    return [(prefix, node.metadata.name) for node in members for prefix in node.status.announced]


def _uuid4(entropy: bytes) -> str:
    raw = bytearray(entropy)
    raw[6] = (raw[6] & 0x0F) | 0x40
    raw[8] = (raw[8] & 0x3F) | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
