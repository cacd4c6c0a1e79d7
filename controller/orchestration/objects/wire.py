"""Objects of the core group as current clients send them: Kubernetes' protocol buffers. Pure.

Typed clients write namespaces and events so and read JSON all the same. Source: ``generated.proto`` of
apimachinery's meta/v1 and of api's core/v1.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from controller.orchestration.objects.problems import bad_request
from controller.orchestration.objects.schema import Object

MEDIA = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

_Part: TypeAlias = "Literal['text', 'whole', 'time', 'texts', 'map'] | Mapping[int, tuple[str, _Part]]"
_Message: TypeAlias = Mapping[int, tuple[str, _Part]]

_META: _Message = {
    1: ("name", "text"),
    2: ("generateName", "text"),
    3: ("namespace", "text"),
    5: ("uid", "text"),
    6: ("resourceVersion", "text"),
    7: ("generation", "whole"),
    8: ("creationTimestamp", "time"),
    9: ("deletionTimestamp", "time"),
    11: ("labels", "map"),
    12: ("annotations", "map"),
    14: ("finalizers", "texts"),
}
_REFERENCE: _Message = {
    1: ("kind", "text"),
    2: ("namespace", "text"),
    3: ("name", "text"),
    4: ("uid", "text"),
    5: ("apiVersion", "text"),
    6: ("resourceVersion", "text"),
    7: ("fieldPath", "text"),
}
_MESSAGES: Mapping[str, _Message] = {
    "Namespace": {
        1: ("metadata", _META),
        2: ("spec", {1: ("finalizers", "texts")}),
        3: ("status", {1: ("phase", "text")}),
    },
    "Event": {
        1: ("metadata", _META),
        2: ("involvedObject", _REFERENCE),
        3: ("reason", "text"),
        4: ("message", "text"),
        5: ("source", {1: ("component", "text"), 2: ("host", "text")}),
        6: ("firstTimestamp", "time"),
        7: ("lastTimestamp", "time"),
        8: ("count", "whole"),
        9: ("type", "text"),
        10: ("eventTime", "time"),
        11: ("series", {1: ("count", "whole"), 2: ("lastObservedTime", "time")}),
        12: ("action", "text"),
        13: ("related", _REFERENCE),
        14: ("reportingComponent", "text"),
        15: ("reportingInstance", "text"),
    },
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "whole"),
        2: ("preconditions", {1: ("uid", "text"), 2: ("resourceVersion", "text")}),
        4: ("propagationPolicy", "text"),
        5: ("dryRun", "texts"),
    },
}


def decode(body: bytes) -> Object:
    """Return an object. Raises :class:`Problem` (400) for what is none, or of a kind that is not sent so."""
    try:
        if not body.startswith(_MAGIC):
            raise ValueError
        envelope = dict(_fields(body[len(_MAGIC) :]))
        head = {number: str(value, "utf-8") for number, value in _fields(_content(envelope.get(1, b"")))
                if isinstance(value, bytes)}  # fmt: skip
        message = _MESSAGES.get(head.get(2, ""))
        if message is None:
            raise bad_request(f"a {head.get(2, '')} is not taken as protocol buffers; send JSON")
        made = _object(message, _content(envelope.get(2, b"")))
    except (ValueError, IndexError, OverflowError) as error:
        raise bad_request("the body is no object in protocol buffers") from error
    return {"apiVersion": head.get(1, ""), "kind": head.get(2, ""), **made}


def _object(message: _Message, body: bytes) -> Object:
    made: Object = {}
    for number, value in _fields(body):
        if number not in message:
            continue
        name, part = message[number]
        match part:
            case "whole":
                made[name] = value
            case "text":
                made[name] = str(_content(value), "utf-8")
            case "texts":
                made.setdefault(name, []).append(str(_content(value), "utf-8"))
            case "map":
                entry = dict(_fields(_content(value)))
                pair = (str(_content(entry.get(at, b"")), "utf-8") for at in (1, 2))
                made.setdefault(name, {}).update([tuple(pair)])
            case "time":
                made[name] = _time(dict(_fields(_content(value))))
            case _:
                made[name] = _object(part, _content(value))
    return {name: value for name, value in made.items() if value not in ("", None, {})}


def _time(fields: dict[int, Any]) -> str | None:
    if not fields:
        return None
    return datetime.fromtimestamp(int(fields.get(1, 0)), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _content(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes are to be")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        match key & 7:
            case 0:
                value, place = _varint(message, place)
                yield key >> 3, value - (1 << 64) if value >> 63 else value
            case 2:
                size, place = _varint(message, place)
                if place + size > len(message):
                    raise ValueError("cut off")
                yield key >> 3, message[place : place + size]
                place += size
            case _:
                raise ValueError("no such type")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("too long")
