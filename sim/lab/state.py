"""What is known of the labs that are up: one folder each under /run/overlayd-lab. I/O; called by `runner`
and `check`.

``lab.json`` is written before anything is made and says all that may exist, so that whatever a crash leaves
behind can be taken down.
"""

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from sim.lab.errors import LabError, LabIsDown
from sim.lab.impair import Pair
from sim.lab.process import Process

ROOT = Path(os.environ.get("OVERLAYD_LAB_ROOT", "/run/overlayd-lab"))
SCHEMA = 1


class LinkState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A link as it is now: its ends (``node:interface``), the emulator's names of its ways, its
    impairments.
    """

    a: str
    b: str
    there: str
    back: str
    impairments: Pair


class LabState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``namespaces`` maps nodes to namespaces; ``wire`` is the emulator's. ``topology``: the file it was
    built from. ``runner``: what its nodes are made of. ``links_by``: what impairs its links.
    """

    name: str
    topology: str
    seed: int
    namespaces: dict[str, str]
    wire: str
    links: tuple[LinkState, ...]
    processes: tuple[Process, ...] = ()
    complete: bool = False
    runner: Literal["netns", "clab"] = "netns"
    links_by: Literal["emulator", "netem"] = "emulator"
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of one lab."""

    path: Path

    @property
    def control(self) -> Path:
        return self.path / "emulator.sock"

    def log(self, process: str) -> Path:
        return self.path / "logs" / f"{process}.log"

    def node(self, name: str) -> Path:
        """State, sockets and configuration of one node's daemons."""
        return self.path / "nodes" / name

    def create(self) -> None:
        (self.path / "logs").mkdir(parents=True, mode=0o755)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other changes of this lab's state waiting. Raises :class:`LabIsDown` where there is no lab."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            raise LabIsDown(f"lab {self.path.name} is not up") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def write(self, state: LabState) -> None:
        """Replace ``lab.json`` as a whole."""
        draft = self.path / "lab.json.new"
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
        draft.replace(self.path / "lab.json")

    def read(self) -> LabState:
        """Raises :class:`LabIsDown` where there is no lab, :class:`LabError` for an unreadable file."""
        file = self.path / "lab.json"
        try:
            return msgspec.json.decode(file.read_bytes(), type=LabState)
        except FileNotFoundError:
            raise LabIsDown(f"lab {self.path.name} is not up") from None
        except (msgspec.DecodeError, OSError) as error:
            raise LabError(f"{file}: {error}") from error

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def folder(lab: str) -> Folder:
    return Folder(ROOT / lab)


def labs() -> list[str]:
    """The names of the labs that are up, or were left half-built."""
    return sorted(path.name for path in ROOT.iterdir()) if ROOT.exists() else []
