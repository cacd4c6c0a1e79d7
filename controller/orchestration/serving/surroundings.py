"""What the control loops see of the mesh beside objects: its members, who hears whom, what is predicted.
Pure: an interface; `mesh` reads it from the running controller.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from controller.orchestration.control.apps import App
from controller.orchestration.control.chosen import Chosen
from controller.orchestration.objects.schema import Object
from controller.orchestration.placement.wanted import Held


@dataclass(frozen=True, slots=True)
class Asked:
    """An app that is to be placed, and where it runs; ``apart``: the apps that keep apart from it."""

    app: App
    held: Held
    apart: tuple[str, ...] = ()


class View(Protocol):
    """The mesh at one moment. All calls are for another thread, the first of them `prepare`."""

    def prepare(self) -> None:
        """Work out what is asked below."""
        ...

    def choose(self, asked: Sequence[Asked]) -> list[Chosen]:
        """Return where each app is to run, beside those before it."""
        ...

    def explain(self, asked: Asked) -> Object:
        """Return where an app would run as the mesh is, and why (`explaining`); nothing changes by it."""
        ...

    def distance(self, source: str, target: str) -> float | None:
        """Return the round trip (ms) that is expected from one node to another; None: not known."""
        ...

    def cloud(self) -> Set[str]:
        """Return the nodes of the cloud."""
        ...


class Surroundings(Protocol):
    """The mesh as it is now. All calls are cheap, and for the event loop."""

    def addresses(self) -> Mapping[str, str]:
        """Return the members of the mesh: their names and overlay addresses."""
        ...

    def heard(self) -> frozenset[str]:
        """Return the nodes that others of the mesh hear."""
        ...

    def look(self, living: frozenset[str], reached: frozenset[str]) -> View:
        """Return the mesh at this moment: which nodes live, and which of them the controller reaches."""
        ...
