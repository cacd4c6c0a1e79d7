"""Becoming a member, staying one and ceasing to be one. I/O: the controller, the state directory."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from overlayd.daemon.config import Configuration
from overlayd.daemon.state import AgentState, Credentials, Membership
from overlayd.daemon.tls import Validity, make_csr, make_key, validity_of
from overlayd.daemon.uplink import JoinError, join
from overlayd.model.node import NodeRecord, SignedRecord
from overlayd.protocol import controller
from overlayd.protocol.signed import Authentic, BadRecord, read_record, signed_by
from overlayd.protocol.token import BadToken, decode_token

RENEWAL_ASKED_AGAIN_S = 600.0
CREDENTIAL = "overlayd.join-token"


def join_token_file(configuration: Configuration, environment: Mapping[str, str]) -> Path | None:
    """Return where a join token is: as configured, else a credential of systemd's, else nowhere."""
    if configuration.agent.join_token_file:
        return Path(configuration.agent.join_token_file)
    directory = environment.get("CREDENTIALS_DIRECTORY")
    file = Path(directory) / CREDENTIAL if directory else None
    # Without a credential the directory may not be ours to look into.
    return file if file is not None and os.access(file, os.R_OK) else None


def identify(membership: Membership) -> tuple[Authentic, NodeRecord]:
    """Return the check of signatures in this network, and who we are by it. Raises :class:`BadRecord`."""
    try:
        authentic = signed_by(membership.signer)
    except ValueError as error:
        raise BadRecord(f"the signer's key is none: {error}") from error
    return authentic, read_record(membership.record, authentic)


async def enrol(
    state: AgentState, token_text: str, name: str, public_key: str, prefixes: tuple[str, ...]
) -> Membership:
    """Join with a token: make a TLS key, have it certified, store all.

    ``public_key`` is the engine's, in hex. Raises :class:`JoinError`; nothing is kept then.
    """
    try:
        token = decode_token(token_text)
    except BadToken as error:
        raise JoinError("bad-token", str(error)) from error
    key = make_key()
    request = controller.JoinRequest(token.secret, name, make_csr(key, name), public_key, prefixes)
    joined = await join(token, request)
    membership = Membership(token.url, joined.signer, joined.record)
    try:
        identify(membership)
        state.join(membership, Credentials(key, joined.certificate, joined.ca))
    except BadRecord as error:
        raise JoinError("protocol", f"the controller answered with a record that is none: {error}") from error
    except OSError as error:
        raise JoinError("not-stored", f"{state.directory}: {error.strerror}") from error
    return membership


class Renewal:
    """When to ask for the next certificate: at half of its life, by the wall clock or by its time in use.

    Two clocks, so that a wall clock set back does not let it run out.
    """

    def __init__(self, state: AgentState, now_ns: int) -> None:
        self._state = state
        self._validity = self._read()
        self._since_ns = now_ns
        self._asked_ns: int | None = None

    @property
    def not_before(self) -> float | None:
        """Unix seconds; None if the certificate cannot be read."""
        return self._validity.not_before if self._validity else None

    @property
    def not_after(self) -> float | None:
        """Unix seconds; None if the certificate cannot be read."""
        return self._validity.not_after if self._validity else None

    def request(self, name: str, now_ns: int, unix: float) -> controller.RenewRequest | None:
        """Return the request to send now; None if it is not time yet or one was just sent."""
        if self._validity is None or not self._is_due(self._validity, now_ns, unix):
            return None
        if self._asked_ns is not None and now_ns - self._asked_ns < RENEWAL_ASKED_AGAIN_S * 1e9:
            return None
        self._asked_ns = now_ns
        return controller.RenewRequest(make_csr(self._state.key_file.read_text("ascii"), name))

    def renewed(
        self, certificate: str, record: SignedRecord, membership: Membership, now_ns: int
    ) -> Membership:
        """Store what came; return the membership with its new record. Raises :class:`OSError`."""
        membership = msgspec.structs.replace(membership, record=record)
        self._state.renew(certificate, membership)
        self._validity, self._since_ns, self._asked_ns = self._read(), now_ns, None
        return membership

    def _is_due(self, validity: Validity, now_ns: int, unix: float) -> bool:
        in_use_s = (now_ns - self._since_ns) / 1e9
        return unix >= validity.half_life or in_use_s >= (validity.not_after - validity.not_before) / 2

    def _read(self) -> Validity | None:
        try:
            return validity_of(self._state.certificate_file.read_text("ascii"))
        except (OSError, ValueError):
            return None
