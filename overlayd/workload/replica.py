"""A copy of what the controller holds of some objects: a list, then changes, in order. Pure.

What cannot be read (it is of a newer controller) does not go: as long as it is there, its last readable form
stands for it. Nothing is stopped because a word was not understood.
"""

from typing import Generic, Literal, TypeVar

import msgspec

_T = TypeVar("_T")


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str


class Listed(msgspec.Struct, frozen=True):
    """A list as the API answers it."""

    metadata: ListMeta
    items: tuple[msgspec.Raw, ...]


class Event(msgspec.Struct, frozen=True):
    """One line of a watch."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str
    name: str = ""
    namespace: str = ""


class _Head(msgspec.Struct, frozen=True):
    metadata: _Meta


class Status(msgspec.Struct, frozen=True):
    """What the API says of a request that it did not do."""

    message: str = ""
    reason: str = ""
    code: int = 0


class Expired(Exception):
    """The watch cannot go on from where it was: list anew."""


class Replica(Generic[_T]):
    """Objects of one type. ``version``: of what it is a copy; empty: of nothing yet."""

    def __init__(self, type_: type[_T]) -> None:
        self._decoder = msgspec.json.Decoder(type_)
        self._held: dict[tuple[str, str], _T] = {}
        self.version = ""
        self.unread: dict[tuple[str, str], str] = {}
        """Why objects could not be read, by namespace and name."""

    def objects(self) -> tuple[_T, ...]:
        """Return all objects, by namespace and name."""
        return tuple(self._held[key] for key in sorted(self._held))

    def listed(self, body: bytes) -> None:
        """Take a whole list. Raises :class:`msgspec.DecodeError` for what is none, and changes nothing."""
        found = msgspec.json.decode(body, type=Listed)
        before, self._held, self.unread = self._held, {}, {}
        for item in found.items:
            self._take(item, before)
        self.version = found.metadata.resource_version

    def changed(self, line: bytes) -> bool:
        """Take one line of a watch; tell whether objects changed. Raises :class:`Expired`, and
        :class:`msgspec.DecodeError` for what is no such line.
        """
        event = msgspec.json.decode(line, type=Event)
        if event.type == "ERROR":
            said = msgspec.json.decode(event.object, type=Status)
            raise Expired(said.message)
        head = msgspec.json.decode(event.object, type=_Head).metadata
        if event.type == "DELETED":
            self._held.pop((head.namespace, head.name), None)
            self.unread.pop((head.namespace, head.name), None)
        elif event.type != "BOOKMARK":
            self._take(event.object, self._held)
        self.version = head.resource_version
        return event.type != "BOOKMARK"

    def _take(self, body: msgspec.Raw, before: dict[tuple[str, str], _T]) -> None:
        head = msgspec.json.decode(body, type=_Head).metadata
        key = (head.namespace, head.name)
        try:
            self._held[key] = self._decoder.decode(body)
            self.unread.pop(key, None)
        except msgspec.DecodeError as error:
            self.unread[key] = str(error)
            if key in before:
                self._held[key] = before[key]
