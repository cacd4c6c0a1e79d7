"""OpenAPI version 2 as protocol buffers, which is how kubectl asks for it. Pure.

Only messages and fields that `openapi.version_2` uses. Source: gnostic-models, ``openapiv2/OpenAPIv2.proto``.
"""

import struct
from typing import Any

import msgspec

from controller.orchestration.objects.schema import Object

_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def encode(document: Object) -> bytes:
    """Return a document of version 2 as ``openapi.v2.Document``."""
    info = document["info"]
    paths = (_bytes(2, _bytes(1, path) + _bytes(2, _path(item))) for path, item in document["paths"].items())
    definitions = (_named(name, _schema(schema)) for name, schema in document["definitions"].items())
    return (
        _bytes(1, document["swagger"])
        + _bytes(2, _bytes(1, info["title"]) + _bytes(2, info["version"]))
        + _bytes(8, b"".join(paths))
        + _bytes(9, b"".join(definitions))
    )


def _path(item: Object) -> bytes:
    return b"".join(_bytes(_METHODS[method], _operation(operation)) for method, operation in item.items())


def _operation(operation: Object) -> bytes:
    made = _bytes(5, operation["operationId"])
    made += b"".join(_bytes(6, media) for media in operation["produces"])
    made += b"".join(_bytes(7, media) for media in operation["consumes"])
    made += b"".join(_bytes(8, _bytes(1, _parameter(parameter))) for parameter in operation["parameters"])
    answers = b"".join(_bytes(1, _answer(code, answer)) for code, answer in operation["responses"].items())
    return made + _bytes(9, answers) + _extensions(13, operation)


def _parameter(parameter: Object) -> bytes:
    name, where = parameter["name"], parameter["in"]
    required = _flag(1, parameter.get("required", False))
    if where == "body":
        return _bytes(
            1, _bytes(2, name) + _bytes(3, where) + _flag(4, True) + _bytes(5, _schema(parameter["schema"]))
        )
    if where == "query":
        return _bytes(
            2, _bytes(3, required + _bytes(2, where) + _bytes(4, name) + _bytes(6, parameter["type"]))
        )
    return _bytes(2, _bytes(4, required + _bytes(2, where) + _bytes(4, name) + _bytes(5, parameter["type"])))


def _answer(code: str, answer: Object) -> bytes:
    response = _bytes(1, answer["description"]) + _bytes(2, _bytes(1, _schema(answer["schema"])))
    return _bytes(1, code) + _bytes(2, _bytes(1, response))


def _schema(schema: Object) -> bytes:
    made = b""
    for number, key in ((1, "$ref"), (2, "format"), (4, "description")):
        made += _bytes(number, schema[key]) if key in schema else b""
    if "default" in schema:
        made += _bytes(5, _any(schema["default"]))
    for number, key in ((7, "maximum"), (9, "minimum")):
        made += _double(number, schema[key]) if key in schema else b""
    for number, key in ((11, "maxLength"), (12, "minLength"), (14, "maxItems"), (15, "minItems")):
        made += _varint(number << 3) + _varint(schema[key]) if key in schema else b""
    made += _bytes(13, schema["pattern"]) if "pattern" in schema else b""
    made += b"".join(_bytes(19, name) for name in schema.get("required", ()))
    made += b"".join(_bytes(20, _any(one)) for one in schema.get("enum", ()))
    if "additionalProperties" in schema:
        made += _bytes(21, _bytes(1, _schema(schema["additionalProperties"])))
    made += _bytes(22, _bytes(1, schema["type"])) if "type" in schema else b""
    made += _bytes(23, _bytes(1, _schema(schema["items"]))) if "items" in schema else b""
    if "properties" in schema:
        made += _bytes(25, b"".join(_named(name, _schema(one)) for name, one in schema["properties"].items()))
    return made + _extensions(31, schema)


def _named(name: str, value: bytes) -> bytes:
    return _bytes(1, _bytes(1, name) + _bytes(2, value))


def _extensions(number: int, holder: Object) -> bytes:
    found = ((key, value) for key, value in holder.items() if key.startswith("x-"))
    return b"".join(_bytes(number, _bytes(1, key) + _bytes(2, _any(value))) for key, value in found)


def _any(value: Any) -> bytes:
    return _bytes(2, msgspec.json.encode(value) + b"\n")  # JSON is YAML


def _flag(number: int, value: bool) -> bytes:
    return _varint(number << 3) + _varint(1) if value else b""


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _bytes(number: int, value: bytes | str) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
