"""What a lab's nodes are made of: the one place where the runners differ.

Each runner makes the nodes of a topology file and lays, for link number i, the far ends of its two
interfaces as ``l<i>a`` and ``l<i>b`` into the namespace of wires, where the emulator joins them. From there
on a node is a network namespace of a known name, and a place to run commands in. Called by `runner` and
`daemons`.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from sim.lab.process import Process
from sim.lab.state import Folder, LabState
from sim.lab.topology import Topology

Runner = Literal["netns", "clab"]


class Nodes(Protocol):
    """Every method raises :class:`sim.lab.errors.LabError`."""

    def namespace(self, prefix: str, lab: str, node: str) -> str:
        """The name that a node's network namespace will have under ``/run/netns``."""
        ...

    def make(self, place: Folder, state: LabState, topology: Topology) -> None:
        """Make all nodes and links; the namespace of wires is there already."""
        ...

    def configure(self, state: LabState, topology: Topology) -> None:
        """Carry out the nodes' ``exec`` lines, if :meth:`make` has not."""
        ...

    def remove(self, place: Folder, state: LabState) -> None:
        """Remove the nodes with all that runs on them, without regard to what is missing."""
        ...

    def program(self, name: str) -> str:
        """Where a command of ours stands on a node."""
        ...

    def run(self, state: LabState, node: str, command: Sequence[str]) -> str:
        """Run a command on a node to its end; answers what it wrote."""
        ...

    def prefix(
        self, state: LabState, node: str, variables: Mapping[str, str], *, terminal: bool
    ) -> list[str]:
        """The words of this machine before a command that is to run on a node as if it were typed there, with
        these variables beside what it has; ``terminal``: it talks to one.
        """
        ...

    def start(self, place: Folder, state: LabState, name: str, node: str, command: Sequence[str]) -> Process:
        """Start a process on a node, its output appended to the log ``name``."""
        ...


def wire_ends(index: int) -> tuple[str, str]:
    """The far ends of link number ``index`` in the namespace of wires."""
    return f"l{index}a", f"l{index}b"
