"""``overlayctl route pin``, ``unpin`` and ``pins``: paths chosen by hand. I/O: a controller's API, stdout."""

import argparse

from overlayd.cli.ctl_client import Document
from overlayd.cli.ctl_controller import request
from overlayd.cli.ctl_failure import OK
from overlayd.cli.ctl_output import emit, emit_lines, say, table, way


def pin(arguments: argparse.Namespace) -> int:
    """Have traffic take a path as long as it carries anything."""
    via = [name for name in (arguments.via or "").split(",") if name]
    wanted: Document = {"source": arguments.source, "destination": arguments.destination, "via": via}
    if arguments.service:
        wanted["class"] = arguments.service
    return _show(arguments, request(arguments, "PUT", "/v1/pins", body=wanted))


def unpin(arguments: argparse.Namespace) -> int:
    """Let the controller choose again."""
    query = {"src": arguments.source, "dst": arguments.destination}
    if arguments.service:
        query["class"] = arguments.service
    document = request(arguments, "DELETE", "/v1/pins", query)
    if arguments.output == "table":
        say(f"{document['pins']} let go")
    else:
        emit(document)
    return OK


def pins(arguments: argparse.Namespace) -> int:
    """List the paths that are pinned."""
    return _show(arguments, request(arguments, "GET", "/v1/pins"))


def _show(arguments: argparse.Namespace, document: Document) -> int:
    if arguments.output == "json":
        emit(document)
    elif arguments.output == "jsonl":
        emit_lines(document["items"], document["schema"])
    else:
        rows = [
            (
                f"{item['source']} → {item['destination']}",
                item["class"] or "all",
                way((*item["via"], item["destination"])),
                "yes" if item["inForce"] else "not now",
                item["setAt"],
            )
            for item in document["items"]
        ]
        say(table(("ROUTE", "CLASS", "PINNED TO", "IN FORCE", "SINCE"), rows))
    return OK
