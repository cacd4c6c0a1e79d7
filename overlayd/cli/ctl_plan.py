"""``overlayctl plan``: what would happen if. I/O: the controller's API, stdout."""

import argparse

from overlayd.cli.ctl_controller import request
from overlayd.cli.ctl_failure import OK, USAGE, Failure
from overlayd.cli.ctl_output import emit, emit_lines, milliseconds, percent, say, table, way


def plan(arguments: argparse.Namespace) -> int:
    """Show which routes would move, what would become worse and who would be cut off."""
    query = {
        "without_node": ",".join(arguments.without_node),
        "without_link": ",".join(arguments.without_link),
        "degrade": ",".join(arguments.degrade),
    }
    query = {name: value for name, value in query.items() if value}
    if not query:
        raise Failure(USAGE, "say what to suppose: --without-node, --without-link or --degrade")
    document = request(arguments, "GET", "/v1/plan", query)
    if arguments.output == "json":
        emit(document)
        return OK
    if arguments.output == "jsonl":
        emit_lines(document["consequences"], document["schema"])
        return OK
    told = f"{document['moved']} move, {document['worse']} become worse, {document['cutOff']} are cut off"
    say(f"of {document['routes']} routes {told}")
    if document["consequences"]:
        rows = [
            (
                f"{item['source']} → {item['destination']}",
                item["class"],
                item["fate"].replace("-", " "),
                way(item["before"]),
                way(item["after"] or ()),
                f"{milliseconds(item['rttBeforeMs'])} → {milliseconds(item['rttAfterMs'])}",
                f"{percent(item['lossBeforeRatio'])} → {percent(item['lossAfterRatio'])}",
            )
            for item in document["consequences"]
        ]
        say(table(("ROUTE", "CLASS", "FATE", "NOW", "THEN", "RTT", "LOSS"), rows))
    loads = [
        (item["relay"], str(item["before"]), str(item["after"]))
        for item in document["relays"]
        if item["before"] != item["after"]
    ]
    if loads:
        say(table(("RELAY", "ROUTES NOW", "THEN"), loads))
    if document["singlePoints"]:
        say(f"then the mesh would hang on {', '.join(document['singlePoints'])}")
    return OK
