"""``overlayctl link matrix`` and ``route history``: what a controller remembers. I/O: its API, stdout."""

import argparse

from overlayd.cli.ctl_controller import moment, request
from overlayd.cli.ctl_failure import OK
from overlayd.cli.ctl_output import NOTHING, emit, emit_lines, say, table, way

_UNITS = {"rtt": "ms", "loss": "% lost", "residual": "% lost after repair"}


def matrix(arguments: argparse.Namespace) -> int:
    """Show one figure of all links."""
    query = {"metric": arguments.metric}
    if arguments.at:
        query["at"] = moment(arguments.at)
    document = request(arguments, "GET", "/v1/links/matrix", query)
    nodes, values = document["nodes"], document["values"]
    if arguments.output == "json":
        emit(document)
        return OK
    if arguments.output == "jsonl":
        rows = (
            {"source": source, "destination": destination, document["metric"]: value, "at": document["at"]}
            for source, row in zip(nodes, values, strict=True)
            for destination, value in zip(nodes, row, strict=True)
            if value is not None
        )
        emit_lines(rows, document["schema"])
        return OK
    say(f"{_UNITS[document['metric']]}, from row to column, at {document['at']}")
    factor = 1 if document["metric"] == "rtt" else 100
    shown = [
        (source, *(NOTHING if value is None else f"{factor * value:.3g}" for value in row))
        for source, row in zip(nodes, values, strict=True)
    ]
    say(table(("", *nodes), shown))
    return OK


def history(arguments: argparse.Namespace) -> int:
    """Show how a route came to be what it is, newest change first."""
    query = {"src": arguments.source, "dst": arguments.destination, "limit": str(arguments.limit)}
    if arguments.service:
        query["class"] = arguments.service
    if arguments.until:
        query["until"] = moment(arguments.until)
    document = request(arguments, "GET", "/v1/routes/history", query)
    if arguments.output == "json":
        emit(document)
    elif arguments.output == "jsonl":
        emit_lines(document["items"], document["schema"])
    else:
        rows = [
            (
                item["at"],
                item["class"],
                f"{way(item['before'] or ())} → {way(item['after'] or ())}",
                item["decider"],
                item["reason"],
            )
            for item in document["items"]
        ]
        say(table(("AT", "CLASS", "CHANGE", "DECIDED BY", "REASON"), rows))
    return OK
