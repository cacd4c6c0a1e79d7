"""Tokens, certificates, addresses, records: the decisions of enrolment, without any I/O."""

import ipaddress

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from controller.enrolment import errors
from controller.enrolment.addresses import address_plan, allocate_id
from controller.enrolment.authority import Authority, check_csr, create_authority, node_of, pin_of
from controller.enrolment.enrol import Enrolment, Issuer, announce, enrol, renew
from controller.enrolment.records import Signer
from controller.enrolment.tokens import TokenGrant, check_token, digest_of, grant
from controller.registry import PREFIXES_ACCEPTED, Node
from overlayd.model.ids import NodeId
from overlayd.model.node import NodeRecord, Revocation, SignedRecord
from overlayd.protocol.controller import JoinRequest
from overlayd.protocol.signed import BadRecord, read_record, read_revocation, signed_by
from tests.controller.client import engine_key, make_csr

NOW = 1_700_000_000.0
DAY = 86_400


class Entropy:
    """Repeatable bytes, different at every call."""

    def __init__(self, seed: int = 0) -> None:
        self._calls = seed

    def __call__(self, number: int) -> bytes:
        self._calls += 1
        digest = hashes.Hash(hashes.SHAKE256(number))
        digest.update(self._calls.to_bytes(8, "big"))
        return digest.finalize()


def issuer(network: str = "test") -> Issuer:
    signer = Signer(Ed25519PrivateKey.from_private_bytes(Entropy(1000)(32)))
    return Issuer(
        create_authority(network, NOW, Entropy()).authority, signer, address_plan(7, "100.64.0.0/16")
    )


class Network:
    """Members that joined so far."""

    def __init__(self) -> None:
        self.issuer = issuer()
        self.members: list[Node] = []
        self.entropy = Entropy(50)

    def join(
        self, name: str, *, key: str | None = None, prefixes: tuple[str, ...] = (), **options: object
    ) -> Enrolment:
        token = grant(bytes(32), name, NOW, **options)  # type: ignore[arg-type]
        request = JoinRequest("", name, make_csr()[0], engine_key(key or name), prefixes)
        ids = [node.spec.id for node in self.members]
        made = enrol(request, token, self.members, ids, [], self.issuer, NOW, self.entropy)
        self.members.append(made.node)
        return made


# Tokens


def token(**options: object) -> TokenGrant:
    return grant(b"s" * 32, "paris", NOW, **options)  # type: ignore[arg-type]


def test_a_token_is_kept_as_a_hash_and_found_by_its_secret() -> None:
    kept = token()
    assert (b"s" * 32).hex() not in repr(kept)
    assert digest_of((b"s" * 32).hex()) == kept.digest


def test_a_token_lives_fifteen_minutes() -> None:
    check_token(token(), "paris", NOW + 899)
    with pytest.raises(errors.TokenExpired, match="expired 1 s ago"):
        check_token(token(), "paris", NOW + 901)


def test_a_token_is_for_one_name() -> None:
    with pytest.raises(errors.TokenForAnother, match="'paris', not 'oslo'"):
        check_token(token(), "oslo", NOW)


def test_an_unknown_token_buys_nothing() -> None:
    with pytest.raises(errors.TokenUnknown):
        check_token(None, "paris", NOW)
    with pytest.raises(errors.TokenUnknown):
        digest_of("no hex")


@pytest.mark.parametrize("name", ["", "Paris", "-a", "a-", "a" * 64, "a b", "a/b", "ä"])
def test_what_cannot_name_a_host_names_no_node(name: str) -> None:
    with pytest.raises(errors.BadRequest):
        grant(bytes(32), name, NOW)


# Certificates


def test_a_nodes_chain_verifies_against_the_root_as_a_client_and_not_as_a_server() -> None:
    authority = issuer().authority
    key = check_csr(make_csr()[0])
    leaf, intermediate = chain(authority.issue_node(key, NodeId(5), "paris", NOW, Entropy(9)))
    verify(authority, leaf, intermediate)
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert leaf.not_valid_after_utc.timestamp() == NOW + 7 * DAY
    der = leaf.public_bytes(serialization.Encoding.DER)
    assert node_of(der, "test") == 5
    with pytest.raises(errors.NotAMember):
        node_of(der, "other")


def test_another_networks_authority_vouches_for_nothing() -> None:
    other = create_authority("test", NOW, Entropy(77)).authority
    leaf, intermediate = chain(
        other.issue_node(check_csr(make_csr()[0]), NodeId(5), "paris", NOW, Entropy(9))
    )
    with pytest.raises(InvalidSignature):
        verify(issuer().authority, leaf, intermediate)


def test_the_controllers_certificate_names_its_hosts_and_no_node() -> None:
    authority = issuer().authority
    key = Ed25519PrivateKey.generate().public_key()
    leaf, _ = chain(authority.issue_server(key, ["192.0.2.1", "ctl.example"], NOW, Entropy(9)))
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == ["ctl.example"]
    assert san.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.0.2.1")]
    with pytest.raises(errors.NotAMember):
        node_of(leaf.public_bytes(serialization.Encoding.DER), "test")


def test_the_pin_is_the_hash_of_the_root() -> None:
    authority = issuer().authority
    assert authority.pin == pin_of(authority.root) and len(authority.pin) == 64


def test_the_same_entropy_makes_the_same_authority() -> None:
    assert (
        create_authority("n", NOW, Entropy()).authority.pin
        == create_authority("n", NOW, Entropy()).authority.pin
    )


def test_a_request_that_does_not_prove_its_key_is_refused() -> None:
    with pytest.raises(errors.BadRequest, match="cannot be read"):
        check_csr("no request")
    tampered = x509.load_pem_x509_csr(make_csr()[0].encode()).public_bytes(serialization.Encoding.DER)
    der = bytearray(tampered)
    der[-1] ^= 1
    pem = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(errors.BadRequest):
        check_csr(pem)


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())]
)
def test_keys_of_other_kinds_are_refused(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    with pytest.raises(errors.BadRequest, match="neither ECDSA P-256 nor Ed25519"):
        check_csr(csr.public_bytes(serialization.Encoding.PEM).decode())


# Ids and addresses


def test_ids_are_not_given_twice_until_all_are_used_up() -> None:
    assert allocate_id([], []) == 1
    assert allocate_id([NodeId(1), NodeId(7)], [NodeId(3)]) == 8
    everything = [NodeId(i) for i in range(1, 65536)]
    assert allocate_id(everything, [NodeId(9), NodeId(4)]) == 4
    with pytest.raises(errors.NetworkFull):
        allocate_id(everything, [])


def test_addresses_follow_the_id_and_avoid_what_is_taken() -> None:
    plan = address_plan(7, "100.64.0.0/16")
    ipv4, ipv6 = plan.allocate(NodeId(5), [])
    assert ipv4 == "100.64.0.5"
    assert ipaddress.ip_address(ipv6) in ipaddress.ip_network("fd00::/8")
    assert plan.allocate(NodeId(5), ["100.64.0.5"])[0] == "100.64.0.1"
    with pytest.raises(errors.AddressTaken):
        plan.allocate(NodeId(5), [ipv6])


def test_a_small_pool_is_used_to_its_last_address() -> None:
    plan = address_plan(7, "10.0.0.0/29")
    taken: list[str] = []
    for node in range(100, 106):
        taken.append(plan.allocate(NodeId(node), taken)[0])
    assert len(set(taken)) == 6
    with pytest.raises(errors.NetworkFull):
        plan.allocate(NodeId(106), taken)


# Joining


def test_two_nodes_cannot_have_one_name_or_one_engine() -> None:
    network = Network()
    network.join("paris")
    with pytest.raises(errors.NameTaken, match="node remove paris"):
        network.join("paris", key="another")
    with pytest.raises(errors.KeyTaken, match="'paris' has this engine's key"):
        network.join("oslo", key="paris")
    assert len(network.members) == 1


def test_a_prefix_needs_a_grant_and_no_other_owner() -> None:
    network = Network()
    with pytest.raises(errors.PrefixDenied, match="--prefix"):
        network.join("paris", prefixes=("10.1.0.0/16",))
    allowed = grant(bytes(32), "paris", NOW, prefixes=("10.1.0.0/16",))
    request = JoinRequest("", "paris", make_csr()[0], engine_key("paris"), ("10.1.2.0/24",))
    made = enrol(request, allowed, [], [], [], network.issuer, NOW, network.entropy)
    assert made.node.status.announced == ("10.1.2.0/24",)
    record = read(network, made.record)
    assert record.prefixes == (*(str(ipaddress.ip_network(a)) for a in record.addresses), "10.1.2.0/24")
    rival = grant(bytes(32), "oslo", NOW, prefixes=("10.0.0.0/8",))
    request = JoinRequest("", "oslo", make_csr()[0], engine_key("oslo"), ("10.1.0.0/16",))
    with pytest.raises(errors.PrefixTaken, match="'paris' announces"):
        enrol(request, rival, [made.node], [NodeId(1)], [], network.issuer, NOW, network.entropy)


def test_nobody_announces_the_overlays_own_addresses() -> None:
    network = Network()
    everything = grant(bytes(32), "paris", NOW, prefixes=("0.0.0.0/0",))
    request = JoinRequest("", "paris", make_csr()[0], engine_key("paris"), ("100.64.0.0/24",))
    with pytest.raises(errors.PrefixTaken, match="overlay's own"):
        enrol(request, everything, [], [], [], network.issuer, NOW, network.entropy)


def test_announcing_more_than_was_granted_loses_only_that() -> None:
    network = Network()
    token = grant(bytes(32), "paris", NOW, prefixes=("10.1.0.0/16",))
    request = JoinRequest("", "paris", make_csr()[0], engine_key("paris"))
    made = enrol(request, token, [], [], [], network.issuer, NOW, network.entropy)
    node, signed = announce(made.node, ("10.1.0.0/24", "10.9.0.0/24"), [made.node], network.issuer, NOW)
    assert node.status.announced == ("10.1.0.0/24",)
    condition = node.condition(PREFIXES_ACCEPTED)
    assert condition is not None and condition.status == "False" and "10.9.0.0/24" in condition.message
    assert "10.9.0.0/24" not in read(network, signed).prefixes


@pytest.mark.parametrize("key", ["", "00", "zz" * 32, "AB" * 32])
def test_an_engine_key_is_32_bytes_in_hex(key: str) -> None:
    request = JoinRequest("", "paris", make_csr()[0], key)
    with pytest.raises(errors.BadRequest, match="32 bytes"):
        enrol(request, grant(bytes(32), "paris", NOW), [], [], [], issuer(), NOW, Entropy())


def test_renewal_moves_the_end_and_nothing_else() -> None:
    network = Network()
    made = network.join("paris")
    later = renew(made.node, make_csr()[0], network.issuer, NOW + 4 * DAY, network.entropy)
    before, after = read(network, made.record), read(network, later.record)
    assert after.not_after - before.not_after == 4 * DAY
    assert later.node.metadata == made.node.metadata and later.node.spec == made.node.spec


# Records


def test_what_the_signer_signs_its_members_believe() -> None:
    network = Network()
    signer = network.issuer.signer
    authentic = signed_by(signer.public_hex)
    made = network.join("paris")
    assert read_record(made.record, authentic).name == "paris"
    revocation = Revocation(1, made.node.spec.id, made.node.spec.public_key, int(NOW), "lost")
    assert read_revocation(signer.sign_revocation(revocation), authentic) == revocation
    with pytest.raises(BadRecord):
        read_record(made.record, signed_by(Signer(Ed25519PrivateKey.generate()).public_hex))


def test_a_record_bears_the_epoch_in_which_its_node_joined_also_when_it_is_renewed() -> None:
    network = Network()
    request = JoinRequest("", "paris", make_csr()[0], engine_key("paris"))
    token = grant(bytes(32), "paris", NOW)
    made = enrol(request, token, [], [], [], network.issuer, NOW, network.entropy, epoch=7)
    later = renew(made.node, make_csr()[0], network.issuer, NOW + DAY, network.entropy)
    assert [read(network, signed).epoch for signed in (made.record, later.record)] == [7, 7]


def read(network: Network, signed: SignedRecord) -> NodeRecord:
    return read_record(signed, signed_by(network.issuer.signer.public_hex))


def chain(pem: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem.encode())


def verify(authority: Authority, leaf: x509.Certificate, intermediate: x509.Certificate) -> None:
    """Check the signatures down from the root; TLS itself is in the tests of the channel."""
    intermediate.verify_directly_issued_by(authority.root)
    leaf.verify_directly_issued_by(intermediate)
