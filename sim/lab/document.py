"""Reading YAML files of labs with checks that name the place of a fault. Reads files; called by `topology`,
`overlay`, `expect`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from sim.lab.errors import FileFault, unknown


@dataclass(frozen=True, slots=True)
class Cursor:
    """A value inside a document, and where it stands."""

    source: str
    place: str
    value: Any

    def fault(self, problem: str) -> FileFault:
        return FileFault(self.source, self.place, problem)

    def mapping(self, known: Iterable[str] | None = None) -> dict[str, "Cursor"]:
        """The entries of a mapping with string keys; None counts as empty. ``known``: no other key is
        allowed.
        """
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.fault(f"has to be a mapping, not {self.value!r}")
        entries = cast("dict[Any, Any]", self.value)
        names = None if known is None else list(known)
        for key in entries:
            if not isinstance(key, str):
                raise self.fault(f"the key {key!r} has to be a string")
            if names is not None and key not in names:
                raise self.fault(unknown(key, names))
        return {
            key: Cursor(self.source, f"{self.place}.{key}".lstrip("."), value)
            for key, value in entries.items()
        }

    def items(self) -> list["Cursor"]:
        """The entries of a list; None counts as empty."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.fault(f"has to be a list, not {self.value!r}")
        entries = cast("list[Any]", self.value)
        return [Cursor(self.source, f"{self.place}[{index}]", value) for index, value in enumerate(entries)]

    def text(self) -> str:
        """A non-empty string."""
        if not isinstance(self.value, str) or not self.value:
            raise self.fault(f"has to be a text, not {self.value!r}")
        return self.value

    def texts(self) -> tuple[str, ...]:
        return tuple(item.text() for item in self.items())


def read(file: Path) -> Cursor:
    """The document of a YAML file. Raises :class:`FileFault`."""
    try:
        return parse(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise FileFault(str(file), "", f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FileFault(str(file), "", "is not UTF-8") from error


def parse(text: str, source: str) -> Cursor:
    """The document of a YAML text. Raises :class:`FileFault`."""
    try:
        return Cursor(source, "", yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise FileFault(source, "", f"is not YAML: {' '.join(str(error).split())}") from error
