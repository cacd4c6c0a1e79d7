"""What the loops want done: verbs on objects, each of an object as it was seen. Pure data.

Who carries them out leaves one undone whose object has changed meanwhile: the change is looked at again
anyway.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from controller.orchestration.objects.schema import Object


@dataclass(frozen=True, slots=True)
class About:
    """One object, of a kind by its name; ``version`` is its resourceVersion when it was looked at."""

    kind: str
    namespace: str
    name: str
    uid: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Make:
    """An object that is to be there."""

    kind: str
    body: Object


@dataclass(frozen=True, slots=True)
class Change:
    """A merge patch."""

    about: About
    patch: Object


@dataclass(frozen=True, slots=True)
class Replace:
    """An object as it is to be, whole but for its status."""

    about: About
    body: Object


@dataclass(frozen=True, slots=True)
class Report:
    """A status, whole."""

    about: About
    status: Object


@dataclass(frozen=True, slots=True)
class Remove:
    """An object is not wanted; its finalizers hold it until it has come to its end."""

    about: About


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A pod that nobody can stop any more. Where it runs by a lease, only once that has surely ended."""

    about: About
    node: str
    lease_s: int | None


@dataclass(frozen=True, slots=True)
class Say:
    """An event about an object."""

    about: About
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


Intent: TypeAlias = Make | Change | Replace | Report | Remove | GiveUp | Say
