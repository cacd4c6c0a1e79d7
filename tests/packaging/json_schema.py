"""What of JSON Schema (2020-12) the published schemas use; a word that it does not know fails."""

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
    "null": (type(None),),
}
_SAID_ONLY = {"$schema", "$id", "$defs", "title", "description", "default", "x-reloadable", "format"}


def violations(value: Any, schema: dict[str, Any], *, strict: bool = False) -> list[str]:
    """Return where ``value`` is not as ``schema`` says; ``strict``: one that is not named is wrong."""
    return list(_Check(schema.get("$defs", {}), strict).check(value, schema, "$"))


class _Check:
    def __init__(self, definitions: dict[str, Any], strict: bool) -> None:
        self._definitions = definitions
        self._strict = strict

    def check(self, value: Any, schema: dict[str, Any], at: str) -> list[str]:
        found: list[str] = []
        for word, wanted in schema.items():
            if word not in _SAID_ONLY:
                rule = getattr(self, "_" + word.replace("$", ""))
                found += rule(value, wanted, at, schema)
        return found

    def _ref(self, value: Any, wanted: str, at: str, _: dict[str, Any]) -> list[str]:
        return self.check(value, self._definitions[wanted.removeprefix("#/$defs/")], at)

    def _type(self, value: Any, wanted: str, at: str, _: dict[str, Any]) -> list[str]:
        fits = isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
        return [] if fits else [f"{at}: {value!r} is no {wanted}"]

    def _enum(self, value: Any, wanted: list[Any], at: str, _: dict[str, Any]) -> list[str]:
        return [] if value in wanted else [f"{at}: {value!r} is none of {wanted}"]

    def _const(self, value: Any, wanted: Any, at: str, _: dict[str, Any]) -> list[str]:
        return [] if value == wanted else [f"{at}: {value!r} is not {wanted!r}"]

    def _pattern(self, value: Any, wanted: str, at: str, _: dict[str, Any]) -> list[str]:
        fits = not isinstance(value, str) or re.search(wanted, value)
        return [] if fits else [f"{at}: {value!r} does not match {wanted}"]

    def _minimum(self, value: Any, wanted: float, at: str, _: dict[str, Any]) -> list[str]:
        return [f"{at}: {value} < {wanted}"] if _is_number(value) and value < wanted else []

    def _maximum(self, value: Any, wanted: float, at: str, _: dict[str, Any]) -> list[str]:
        return [f"{at}: {value} > {wanted}"] if _is_number(value) and value > wanted else []

    def _exclusiveMinimum(self, value: Any, wanted: float, at: str, _: dict[str, Any]) -> list[str]:  # noqa: N802
        return [f"{at}: {value} <= {wanted}"] if _is_number(value) and value <= wanted else []

    def _anyOf(self, value: Any, wanted: list[Any], at: str, _: dict[str, Any]) -> list[str]:  # noqa: N802
        tried = [self.check(value, schema, at) for schema in wanted]
        return [] if [] in tried else [f"{at}: {value!r} fits no way: {tried}"]

    def _allOf(self, value: Any, wanted: list[Any], at: str, _: dict[str, Any]) -> list[str]:  # noqa: N802
        return [one for schema in wanted for one in self.check(value, schema, at)]

    def _items(self, value: Any, wanted: dict[str, Any], at: str, _: dict[str, Any]) -> list[str]:
        if not isinstance(value, list | tuple):
            return []
        return [one for place, item in enumerate(value) for one in self.check(item, wanted, f"{at}[{place}]")]

    def _required(self, value: Any, wanted: list[str], at: str, _: dict[str, Any]) -> list[str]:
        return [f"{at}: {key} is missing" for key in wanted if isinstance(value, dict) and key not in value]

    def _properties(self, value: Any, wanted: dict[str, Any], at: str, schema: dict[str, Any]) -> list[str]:
        if not isinstance(value, dict):
            return []
        found = [
            one
            for key, inner in wanted.items()
            if key in value
            for one in self.check(value[key], inner, f"{at}.{key}")
        ]
        if self._strict and "additionalProperties" not in schema:
            found += [f"{at}: {key} is not named" for key in value if key not in wanted]
        return found

    def _additionalProperties(  # noqa: N802
        self, value: Any, wanted: Any, at: str, schema: dict[str, Any]
    ) -> list[str]:
        if not isinstance(value, dict) or wanted is True:
            return []
        others = [key for key in value if key not in schema.get("properties", {})]
        if wanted is False:
            return [f"{at}: {key} is not known" for key in others]
        return [one for key in others for one in self.check(value[key], wanted, f"{at}.{key}")]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
