"""``overlayctl events``: what happened on this host, or with ``--controller`` in the mesh. I/O: agent or API.

The agent remembers since its start, the controller as its API says. With ``--watch`` each event is a line of
JSON, as it happens.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from overlayd.cli.ctl_client import Document, ask
from overlayd.cli.ctl_controller import moment, request
from overlayd.cli.ctl_failure import OK, TIMEOUT, UNREACHABLE, USAGE, Failure
from overlayd.cli.ctl_output import NOTHING, emit, emit_lines, mark, say, table, way

WATCHED_EVERY_S = 1.0
MOST_OF_API = 1000
_MOODS = {"info": "good", "warning": "odd", "error": "bad"}


def events(arguments: argparse.Namespace) -> int:
    """Show events, the oldest first; with ``--watch``, go on until interrupted."""
    since = _since(arguments.since) if arguments.since else 0.0
    if not 1 <= arguments.limit <= MOST_OF_API:
        raise Failure(USAGE, f"--limit: from 1 to {MOST_OF_API}")
    read = _of_controller(arguments, since) if arguments.controller else _of_agent(arguments, since)
    document, rows = read()
    if arguments.watch:
        while True:
            emit_lines(rows, document["schema"])
            time.sleep(WATCHED_EVERY_S)
            try:
                document, rows = read()
            except Failure as failure:
                if failure.exit_code not in (UNREACHABLE, TIMEOUT):
                    raise
                rows = []  # it starts anew; what follows is told then
    if arguments.output == "json":
        emit(document)
    elif arguments.output == "jsonl":
        emit_lines(rows, document["schema"])
    elif arguments.controller:
        say(table(("AT", "WHAT", "NODES", "REASON"), [_row_of_controller(row) for row in rows]))
    else:
        head, *lines = table(("AT", "EVENT", "ABOUT"), [_row_of_agent(row) for row in rows]).split("\n")
        say(head)
        for line, row in zip(lines, rows, strict=True):
            say(line if row["level"] == "info" else mark(line, _MOODS[row["level"]]))
    return OK


def _of_agent(arguments: argparse.Namespace, since: float) -> Callable[[], tuple[Document, list[Document]]]:
    """Reads what is new at each call: by number, which begins anew with the agent."""
    last = {"began": 0.0, "after": 0}

    def read() -> tuple[Document, list[Document]]:
        wanted = {"since": since, "after": last["after"], "limit": arguments.limit}
        document = ask(arguments.socket, "events", wanted)
        if document["began"] != last["began"] and last["after"]:
            document = ask(arguments.socket, "events", {**wanted, "after": 0})
        rows = document["events"]
        last["began"] = document["began"]
        last["after"] = rows[-1]["number"] if rows else last["after"]
        return document, rows

    return read


def _of_controller(
    arguments: argparse.Namespace, since: float
) -> Callable[[], tuple[Document, list[Document]]]:
    """Reads what is new at each call: the API tells the newest first, without numbers."""
    known: set[str] = set()

    def read() -> tuple[Document, list[Document]]:
        document = request(arguments, "GET", "/v1/events", {"limit": str(arguments.limit)})
        document["items"] = [row for row in reversed(document["items"]) if _unix(row["at"]) >= since]
        named = [json.dumps(row, sort_keys=True) for row in document["items"]]
        fresh = [row for name, row in zip(named, document["items"], strict=True) if name not in known]
        known.clear()
        known.update(named)
        return document, fresh

    return read


def _since(text: str) -> float:
    said = moment(text)  # "15m" is Unix seconds by now
    try:
        return float(said)
    except ValueError:
        pass
    try:
        return _unix(said)
    except ValueError as error:
        raise Failure(
            USAGE, f"--since: {text!r} is neither 90s, 15m, 2h, 1d nor 2026-05-04T12:00:00Z"
        ) from error


def _unix(text: str) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _row_of_agent(row: Document) -> tuple[str, str, str]:
    at = datetime.fromtimestamp(row["at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return at, row["event"], _about(row["values"].items()) or NOTHING


def _about(values: Iterable[tuple[str, object]]) -> str:
    return ", ".join(f"{key.rstrip('_')} {value}" for key, value in values if value is not None)


def _row_of_controller(row: Document) -> tuple[str, str, str, str]:
    reason = row["reason"]
    if row["kind"] == "route":
        reason = f"{way(row['before'] or ())} → {way(row['after'] or ())}, {row['class']}: {reason}"
    return row["at"], row["kind"], " → ".join(row["nodes"]), reason
