"""What can go wrong with a lab, as typed errors with texts for people. Pure; raised all over `sim.lab`."""

from collections.abc import Iterable

from overlayd.model import tables


class LabError(Exception):
    """Something about a lab failed; the text says what, and what was left behind if anything was."""


class FileFault(LabError):
    """A lab file says something that it cannot mean. ``place`` is a path into the file such as
    ``links[2].vars``.
    """

    def __init__(self, source: str, place: str, problem: str) -> None:
        super().__init__(f"{source}: {place}: {problem}" if place else f"{source}: {problem}")
        self.source = source
        self.place = place
        self.problem = problem


class NoAgent(LabError):
    """No agent answers on its socket."""


class LabIsUp(LabError):
    """A lab of this name is up already."""


class LabIsDown(LabError):
    """No lab of this name is up."""


def unknown(key: str, known: Iterable[str]) -> str:
    """The text for a key that is not known: the nearest known one, or all of them."""
    return f"unknown key {key!r}; {tables.unknown(sorted(known), key)}"
