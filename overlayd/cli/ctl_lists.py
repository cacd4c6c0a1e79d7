"""``overlayctl node|link|route list``: the agent's view, or with ``--controller`` the network's.
Chooses, does no I/O itself.
"""

import argparse

from overlayd.cli import ctl_node
from overlayd.cli.ctl_failure import USAGE, Failure


def nodes(arguments: argparse.Namespace) -> int:
    """List members."""
    return _from_controller(arguments, "nodes") if arguments.controller else ctl_node.nodes(arguments)


def links(arguments: argparse.Namespace) -> int:
    """List links."""
    return _from_controller(arguments, "links") if arguments.controller else ctl_node.links(arguments)


def routes(arguments: argparse.Namespace) -> int:
    """List routes."""
    if arguments.source and not arguments.controller:
        raise Failure(USAGE, "--source asks a controller; name it with --controller URL")
    return _from_controller(arguments, "routes") if arguments.controller else ctl_node.routes(arguments)


def _from_controller(arguments: argparse.Namespace, what: str) -> int:
    from overlayd.cli import ctl_controller

    return ctl_controller.show_list(arguments, what)
