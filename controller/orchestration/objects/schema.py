"""What a field may be: a structural schema, of which every other view of a kind is made.

Only what Kubernetes' structural schemas allow and our kinds use. Descriptions are what ``kubectl explain``
shows. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeGuard

Object: TypeAlias = dict[str, Any]
"""A JSON object as decoded: an API object or part of one."""

_NOTHING: Mapping[str, "Schema"] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rule:
    """What has to hold of a value beside its shape: ``text`` in CEL, where ``self`` is the value, and the
    ``message`` where it does not hold. ``at`` is the field below that is to blame (``.max``), if it is one.
    """

    text: str
    message: str
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """One value. ``values`` is the schema of a map's values, ``items`` of a list's.

    ``list_type`` says how lists of several owners are merged: as one value (``atomic``), by value (``set``)
    or by the fields ``list_keys`` (``map``). ``open`` keeps fields that are not declared. ``name`` is that
    of a definition which OpenAPI documents refer to; without one the schema is written where it is used.
    ``rules`` are carried out where all shapes are right.
    """

    type: Literal["object", "array", "string", "integer", "number", "boolean", "int-or-string"]
    description: str = ""
    properties: Mapping[str, "Schema"] = field(default_factory=lambda: _NOTHING)
    required: tuple[str, ...] = ()
    values: "Schema | None" = None
    items: "Schema | None" = None
    list_type: Literal["atomic", "set", "map"] = "atomic"
    list_keys: tuple[str, ...] = ()
    atomic: bool = False
    open: bool = False
    default: Any = None
    enum: tuple[str, ...] = ()
    pattern: str = ""
    format: str = ""
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    max_properties: int | None = None
    rules: tuple[Rule, ...] = ()
    name: str = ""

    def child(self, key: str) -> "Schema | None":
        """Return the schema of a field or map value; None where there is none."""
        return self.properties.get(key) or self.values

    def document(self) -> Object:
        """Return the schema as OpenAPI v3, without references."""
        return render(self, None)


def render(schema: Schema, prefix: str | None) -> Object:
    """Return ``schema`` as OpenAPI; with ``prefix`` named schemas below become references of that prefix."""
    made: Object = {}
    if schema.description:
        made["description"] = schema.description
    if schema.type == "int-or-string":
        made["x-kubernetes-int-or-string"] = True
    else:
        made["type"] = schema.type
    made |= {key: value for key, value in _bounds(schema) if value is not None}
    if schema.properties:
        made["properties"] = {
            key: _referring(value, prefix) for key, value in sorted(schema.properties.items())
        }
    if schema.required:
        made["required"] = list(schema.required)
    if schema.values is not None:
        made["additionalProperties"] = _referring(schema.values, prefix)
    if schema.items is not None:
        made["items"] = _referring(schema.items, prefix)
        made["x-kubernetes-list-type"] = schema.list_type
        if schema.list_keys:
            made["x-kubernetes-list-map-keys"] = list(schema.list_keys)
    if schema.atomic:
        made["x-kubernetes-map-type"] = "atomic"
    if schema.open:
        made["x-kubernetes-preserve-unknown-fields"] = True
    if schema.rules:
        made["x-kubernetes-validations"] = [
            {"rule": rule.text, "message": rule.message} | ({"fieldPath": rule.at} if rule.at else {})
            for rule in schema.rules
        ]
    return made


def _referring(schema: Schema, prefix: str | None) -> Object:
    if not schema.name or prefix is None:
        return render(schema, prefix)
    reference: Object = {"$ref": prefix + schema.name}
    if prefix.startswith("#/definitions/"):  # a reference of version 2 may stand beside a description
        return reference | ({"description": schema.description} if schema.description else {})
    made: Object = {"allOf": [reference], "default": {}}
    return made | ({"description": schema.description} if schema.description else {})


def _bounds(schema: Schema) -> list[tuple[str, Any]]:
    return [
        ("default", schema.default),
        ("enum", list(schema.enum) or None),
        ("pattern", schema.pattern or None),
        ("format", schema.format or None),
        ("minimum", schema.minimum),
        ("maximum", schema.maximum),
        ("minLength", schema.min_length),
        ("maxLength", schema.max_length),
        ("minItems", schema.min_items),
        ("maxItems", schema.max_items),
        ("maxProperties", schema.max_properties),
    ]


def is_object(value: Any) -> TypeGuard[Object]:
    """Tell whether a JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Tell whether a JSON value is a list."""
    return isinstance(value, list)


def part(value: Object, key: str) -> Object:
    """Return a field that is an object; an empty one where there is none."""
    return value.get(key) or {}


def parts(value: Object, key: str) -> list[Any]:
    """Return a field that is a list; an empty one where there is none."""
    return value.get(key) or []


def text(description: str = "", **bounds: Any) -> Schema:
    """Return the schema of a string."""
    return Schema(type="string", description=description, **bounds)


def whole(description: str = "", **bounds: Any) -> Schema:
    """Return the schema of an integer of 64 bits."""
    bounds.setdefault("format", "int64")
    return Schema(type="integer", description=description, **bounds)


def number(description: str = "", **bounds: Any) -> Schema:
    """Return the schema of a number."""
    return Schema(type="number", description=description, **bounds)


def flag(description: str = "", **bounds: Any) -> Schema:
    """Return the schema of a boolean."""
    return Schema(type="boolean", description=description, **bounds)


def record(description: str, properties: Mapping[str, Schema], *required: str, **more: Any) -> Schema:
    """Return the schema of an object with these fields, of which ``required`` have to be there."""
    return Schema(type="object", description=description, properties=properties, required=required, **more)


def mapping(description: str, values: Schema, **more: Any) -> Schema:
    """Return the schema of a map from any string to ``values``."""
    return Schema(type="object", description=description, values=values, **more)


def series(description: str, items: Schema, *keys: str, **more: Any) -> Schema:
    """Return the schema of a list; with ``keys`` it is merged by these fields of its items."""
    if keys:
        more |= {"list_type": "map", "list_keys": keys}
    return Schema(type="array", description=description, items=items, **more)
