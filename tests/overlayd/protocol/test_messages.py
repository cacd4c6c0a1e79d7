"""Every message of every protocol survives its encoding; bytes that are none are refused, not misread."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overlayd.protocol import controller, engine, local, trace
from overlayd.protocol.token import BadToken, JoinToken, decode_token, encode_token

CODECS = {
    "to the engine": (engine.ToEngine, msgspec.json),
    "from the engine": (engine.FromEngine, msgspec.json),
    "from an agent": (controller.FromAgent, msgspec.msgpack),
    "to an agent": (controller.ToAgent, msgspec.msgpack),
    "local request": (local.Request, msgspec.json),
    "local answer": (local.Answer, msgspec.json),
    "trace": (trace.Question | trace.Reply, msgspec.msgpack),
}

EXAMPLES: list[tuple[str, Any]] = [
    ("to the engine", engine.Hello()),
    ("to the engine", engine.Reload()),
    ("from the engine", engine.Applied(7)),
    ("from the engine", engine.Refused(7, "links[3].peer", "9 is not the id of a peer")),
    ("from the engine", engine.LinkState(1, 2, 3, 4, "down")),
    ("from the engine", engine.Switch(1, 2, 3, 0, (3,), (4, 3), "dead")),
    ("from the engine", engine.Links(1, 2, ())),
    ("from the engine", engine.Paths(1, 2, (engine.PathReport(3, 0, (3,), True, True, 5, 1, 2, 0.0),))),
    ("from an agent", controller.Leave()),
    ("from an agent", controller.RenewRequest("csr")),
    ("from an agent", controller.Switched(3, 0, (3,), (4, 3), "agent", "RTT")),  # pyright: ignore
    ("from an agent", controller.Telemetry(True, 1.0, ())),
    ("to an agent", controller.Revoked("removed")),
    ("to an agent", controller.Denied("token-used", "used")),
    ("local request", local.Request("explain", {"destination": "berlin"})),
    ("local answer", local.Answer(problem=local.Problem("not-found", "no such node"))),
    ("trace", trace.Question(1, 2, 3, 0)),  # pyright: ignore
    ("trace", trace.Reply(1, 2, trace.Outgoing(True, 10.0), trace.Incoming(0.1, 0.0))),  # pyright: ignore
]


@pytest.mark.parametrize(("name", "message"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_messages_survive_their_encoding(name: str, message: Any) -> None:
    kind, codec = CODECS[name]
    assert codec.decode(codec.encode(message), type=kind) == message


@pytest.mark.parametrize("name", CODECS)
def test_arbitrary_bytes_are_refused_by_a_typed_error(name: str) -> None:
    kind, codec = CODECS[name]
    decoder = codec.Decoder(kind)

    @settings(max_examples=200)
    @given(st.binary(max_size=200))
    def refused(data: bytes) -> None:
        try:
            message = decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        assert isinstance(message, msgspec.Struct)

    refused()


@pytest.mark.parametrize("name", ["from an agent", "to an agent", "local request"])
def test_unknown_fields_are_refused(name: str) -> None:
    kind, codec = CODECS[name]
    known = msgspec.to_builtins(next(message for owner, message in EXAMPLES if owner == name))
    with pytest.raises(msgspec.ValidationError):
        codec.decode(codec.encode({**known, "surprise": 1}), type=kind)


@given(st.text(max_size=50), st.text(alphabet="0123456789abcdef", min_size=64, max_size=64))
def test_tokens_survive_their_encoding(url: str, secret: str) -> None:
    token = JoinToken(url, "ab" * 32, secret)
    text = encode_token(token)
    assert "\n" not in text and decode_token(f"  {text}\n") == token


@given(st.text(max_size=200))
def test_what_is_no_token_is_refused(text: str) -> None:
    for candidate in (text, f"ovl1_{text}"):
        with pytest.raises(BadToken):
            decode_token(candidate)


@given(st.data())
def test_a_truncated_token_is_refused(data: st.DataObject) -> None:
    text = encode_token(JoinToken("wss://192.0.2.1:7443", "ab" * 32, "cd" * 32))
    length = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(BadToken):
        decode_token(text[:length])
