"""A small agent for tests of the controller's shell: joins and speaks over real TLS. Knows the protocol
and nothing else.
"""

import asyncio
import hashlib
import ssl
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from overlayd.model.ids import Generation, NodeId
from overlayd.model.node import NodeRecord, SignedRevocation, Uplink
from overlayd.protocol import compact
from overlayd.protocol.controller import (
    Denied,
    FromAgent,
    Hello,
    Joined,
    JoinRequest,
    LinkSample,
    Mesh,
    Telemetry,
    ToAgent,
)
from overlayd.protocol.routes import CompactMesh, mesh_of
from overlayd.protocol.token import decode_token

PLAIN = Subprotocol("overlayd.v1")
SUBPROTOCOLS = [PLAIN]
COMPACT = Subprotocol(compact.SUBPROTOCOL)


@dataclass
class Identity:
    """What a host holds after it joined."""

    joined: Joined
    key_pem: bytes

    @property
    def record(self) -> NodeRecord:
        return msgspec.json.decode(self.joined.record.record, type=NodeRecord)

    @property
    def id(self) -> NodeId:
        return self.record.id

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.joined.ca)
        with tempfile.TemporaryDirectory() as folder:
            chain, key = Path(folder) / "chain.pem", Path(folder) / "key.pem"
            chain.write_text(self.joined.certificate)
            key.write_bytes(self.key_pem)
            context.load_cert_chain(chain, key)
        return context


def make_csr(name: str = "whatever") -> tuple[str, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return csr.public_bytes(serialization.Encoding.PEM).decode(), key_pem


def engine_key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def fetch_ca(url: str, pin: str) -> str:
    """Fetch the CA unverified, as a joining host does, and hold it against the pin."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with urllib.request.urlopen(url.replace("wss://", "https://") + "/v1/ca", context=context) as answer:
        text = answer.read().decode()
    pins = [hashlib.sha256(c.public_bytes(serialization.Encoding.DER)).hexdigest() for c in
            x509.load_pem_x509_certificates(text.encode())]  # fmt: skip
    assert pin in pins
    return text


async def ask_to_join(url: str, token_text: str, request: JoinRequest) -> Joined | Denied:
    token = decode_token(token_text)
    ca = await asyncio.to_thread(fetch_ca, url, token.pin)
    context = ssl.create_default_context(cadata=ca)
    async with connect(url + "/v1/join", ssl=context, subprotocols=SUBPROTOCOLS) as channel:
        await channel.send(msgspec.msgpack.encode(request))
        return msgspec.msgpack.decode(await channel.recv(), type=Joined | Denied)  # type: ignore[arg-type]


async def join(url: str, token_text: str, name: str, prefixes: tuple[str, ...] = ()) -> Identity:
    csr, key_pem = make_csr()
    secret = decode_token(token_text).secret
    answer = await ask_to_join(url, token_text, JoinRequest(secret, name, csr, engine_key(name), prefixes))
    assert isinstance(answer, Joined), answer
    return Identity(answer, key_pem)


class Agent:
    """An open channel. Keeps what the meshes said, as an agent would; reports compactly where that is
    spoken.
    """

    def __init__(self, channel: ClientConnection) -> None:
        self.channel = channel
        self.generation = Generation(0)
        self.meshes: list[Mesh] = []
        self._columns = compact.Encoder() if channel.subprotocol == COMPACT else None

    async def say(self, message: FromAgent | compact.CompactTelemetry) -> None:
        await self.channel.send(msgspec.msgpack.encode(message))

    async def hello(
        self,
        endpoint: str = "192.0.2.1:51900",
        *,
        prefixes: tuple[str, ...] = (),
        holds: int = 0,
        revocation: SignedRevocation | None = None,
    ) -> None:
        uplinks = (Uplink("isp", endpoint),)
        await self.say(Hello(1, "test", uplinks, prefixes, Generation(holds), revocation))

    async def hear(self, timeout_s: float = 120.0) -> ToAgent:
        async with asyncio.timeout(timeout_s):
            frame = await self.channel.recv()
        heard: ToAgent | CompactMesh = msgspec.msgpack.decode(frame, type=ToAgent | CompactMesh)  # type: ignore[arg-type]
        message = mesh_of(heard) if isinstance(heard, CompactMesh) else heard
        if isinstance(message, Mesh):
            assert message.base in (0, self.generation)
            self.generation = message.generation
            self.meshes.append(message)
        return message

    async def hear_mesh(self) -> Mesh:
        message = await self.hear()
        assert isinstance(message, Mesh), message
        return message

    async def report(self, *links: LinkSample, urgent: bool = False) -> None:
        telemetry = Telemetry(urgent, 2.0 if urgent else 15.0, links)
        await self.say(telemetry if self._columns is None else self._columns.encode(telemetry))


@asynccontextmanager
async def agent(
    url: str, identity: Identity, subprotocols: Sequence[Subprotocol] = SUBPROTOCOLS
) -> AsyncIterator[Agent]:
    async with connect(url + "/v1/agent", ssl=identity.context(), subprotocols=subprotocols) as channel:
        yield Agent(channel)


def sample(
    peer: int,
    rtt_ms: float,
    *,
    loss: float = 0.0,
    samples: int = 150,
    up: bool = True,
    jitter_ms: float = 0.5,
) -> LinkSample:
    return LinkSample(NodeId(peer), up, samples, rtt_ms, rtt_ms, jitter_ms, loss, loss, 0)


def silent(peer: int, *, up: bool = False) -> LinkSample:
    return LinkSample(NodeId(peer), up, 0, None, None, None, None, None, 0)
