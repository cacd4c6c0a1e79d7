"""What is wrong with an object, field by field, in Kubernetes' wording. Pure."""

from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong, and at which field."""

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def invalid(field: str, value: Any, problem: str) -> Cause:
    return Cause("FieldValueInvalid", field, f"Invalid value: {shown(value)}: {problem}")


def required(field: str, problem: str = "") -> Cause:
    return Cause("FieldValueRequired", field, f"Required value: {problem}" if problem else "Required value")


def shown(value: Any) -> str:
    """Return a value as messages tell it."""
    return value if isinstance(value, Bare) else msgspec.json.encode(value).decode()


class Bare(str):
    """Text that messages tell without quotation marks."""

    __slots__ = ()
