"""Checking an object against its schema and rules: what is wrong, at which field, in Kubernetes' words. Pure.

Source of the wording: apiextensions-apiserver's schema validation, as recorded from it
(``tests/kubernetes``).
"""

import ipaddress
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from controller.orchestration.objects.causes import Bare, Cause, invalid, required
from controller.orchestration.objects.rules import broken, has_rules, pattern
from controller.orchestration.objects.schema import Object, Schema, is_list, is_object

_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


_BLOCKING = ("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid")
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to "
    "complete validation"
)


def validate(schema: Schema, value: Any, path: str = "") -> list[Cause]:
    """Return all that is wrong with ``value``; its unknown fields are another matter (`structure`).

    Rules are carried out once nothing is missing or of another type.
    """
    causes = list(_checked(schema, value, path))
    if any(cause.reason.removeprefix("FieldValue") in _BLOCKING for cause in causes):
        return [*causes, invalid("<nil>", None, _UNCHECKED)] if has_rules(schema) else causes
    for of, found, place, message in broken(schema, value, path):
        shown = "" if of.type in ("object", "array") else f"{_compact(found)}: "
        causes.append(Cause("FieldValueInvalid", place, f"Invalid value: {shown}{message}"))
    return causes


def _checked(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    if not _is(schema.type, value):
        yield _mistyped(schema, value, path)
        if schema.enum and value is not None:
            yield _unsupported(schema, value, path)
        return
    match schema.type:
        case "object":
            yield from _object(schema, value, path)
        case "array":
            yield from _array(schema, value, path)
        case "string":
            yield from _string(schema, value, path)
        case "integer" | "number":
            yield from _number(schema, value, path)
        case "int-or-string" if isinstance(value, str):
            yield from _string(schema, value, path)
        case _:
            return


def _is(kind: str, value: Any) -> bool:
    match kind:
        case "integer":
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            return whole and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "object":
            return is_object(value)
        case "array":
            return is_list(value)
        case "string":
            return isinstance(value, str)
        case "int-or-string":
            return isinstance(value, str) or _is("integer", value)
        case _:
            return isinstance(value, bool)


def _mistyped(schema: Schema, value: Any, path: str) -> Cause:
    if value is None:
        return required(path)
    found = _NAMES[type(value)]
    expected = "integer,string" if schema.type == "int-or-string" else schema.type
    return Cause(
        "FieldValueTypeInvalid",
        path,
        f'Invalid value: "{found}": {path} in body must be of type {expected}: "{found}"',
    )


def _unsupported(schema: Schema, value: Any, path: str) -> Cause:
    listed = ", ".join(f'"{one}"' for one in schema.enum)
    said = f"Unsupported value: {_compact(value)}: supported values: {listed}"
    return Cause("FieldValueNotSupported", path, said)


def _object(schema: Schema, fields: Object, path: str) -> Iterator[Cause]:
    for key in sorted(fields):
        below = schema.child(key)
        if below is not None:
            yield from _checked(below, fields[key], _below(path, key))
    for key in schema.required:
        if key not in fields:
            yield required(_below(path, key))
    if schema.max_properties is not None and len(fields) > schema.max_properties:
        said = f"Too many: {len(fields)}: must have at most {schema.max_properties} items"
        yield Cause("FieldValueTooMany", path, said)


def _array(schema: Schema, items: list[Any], path: str) -> Iterator[Cause]:
    if schema.max_items is not None and len(items) > schema.max_items:
        said = f"Too many: {len(items)}: must have at most {schema.max_items} items"
        yield Cause("FieldValueTooMany", path, said)
    if schema.min_items is not None and len(items) < schema.min_items:
        said = f"{path} in body should have at least {schema.min_items} items"
        yield invalid(path, len(items), said)
    if schema.items is None:
        return
    for place, item in enumerate(items):
        yield from _checked(schema.items, item, f"{path}[{place}]")
    seen: list[Any] = []
    for place, item in enumerate(items):
        key = identity(schema, item)
        if key is not None and key in seen:
            yield Cause("FieldValueDuplicate", f"{path}[{place}]", f"Duplicate value: {_compact(key)}")
        seen.append(key)


def identity(schema: Schema, item: Any) -> Any:
    """Return by what an item of a list is known among its others; None where lists are one value."""
    match schema.list_type:
        case "set":
            return item
        case "map" if is_object(item) and schema.items is not None:
            fields = item
            return {
                key: fields.get(key, declared.default)
                for key in schema.list_keys
                if (declared := schema.items.properties[key]).default is not None or key in fields
            }
        case _:
            return None


def _string(schema: Schema, value: str, path: str) -> Iterator[Cause]:
    if schema.max_length is not None and len(value) > schema.max_length:
        said = f"Too long: may not be more than {schema.max_length} bytes"
        yield Cause("FieldValueTooLong", path, said)
    if schema.min_length is not None and len(value) < schema.min_length:
        said = f"{path} in body should be at least {schema.min_length} chars long"
        yield invalid(path, value, said)
    if schema.pattern and not pattern(schema.pattern).search(value):
        yield invalid(path, value, f"{path} in body should match '{schema.pattern}'")
    if schema.format and not _fits(schema.format, value):
        found = _compact(value)
        said = f"Invalid value: {found}: {path} in body must be of type {schema.format}: {found}"
        yield Cause("FieldValueTypeInvalid", path, said)
    if schema.enum and value not in schema.enum:
        yield _unsupported(schema, value, path)


def _number(schema: Schema, value: float, path: str) -> Iterator[Cause]:
    if schema.minimum is not None and value < schema.minimum:
        said = f"{path} in body should be greater than or equal to {schema.minimum:.15g}"
        yield invalid(path, _short(value), said)
    if schema.maximum is not None and value > schema.maximum:
        yield invalid(
            path, _short(value), f"{path} in body should be less than or equal to {schema.maximum:.15g}"
        )


def _short(value: float) -> Bare:
    """Return a number as Go writes it: large and small ones that are no integers with an exponent."""
    if isinstance(value, float) and value and not 1e-4 <= abs(value) < 1e6:
        digits, _, exponent = f"{value:.14e}".partition("e")
        return Bare(f"{digits.rstrip('0').rstrip('.')}e{int(exponent):+03d}")
    return Bare(f"{value:.15g}")


def _fits(form: str, value: str) -> bool:
    match form:
        case "date-time":
            if not _TIME.fullmatch(value):
                return False
            try:
                datetime.fromisoformat(value.upper().replace("Z", "+00:00"))
            except ValueError:
                return False
            return True
        case "cidr":
            try:
                ipaddress.ip_interface(value)
            except ValueError:
                return False
            return "/" in value and value.rpartition("/")[2].isdecimal()
        case _:
            return True


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _compact(value: Any) -> str:
    return msgspec.json.encode(value).decode()
