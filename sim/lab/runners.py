"""The nodes of each runner, by its name. Pure; called by `runner` and `daemons`."""

from sim.lab.containers import ContainerNodes
from sim.lab.namespaces import NamespaceNodes
from sim.lab.nodes import Nodes, Runner


def nodes_of(runner: Runner) -> Nodes:
    """What the nodes of a lab are made of."""
    match runner:
        case "netns":
            return NamespaceNodes()
        case "clab":
            return ContainerNodes()
