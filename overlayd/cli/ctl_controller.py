"""What ``overlayctl`` asks a controller: its HTTP API, with the admin token from a file. I/O.

Documents are those of the controller's OpenAPI description; keys are camelCase there.
"""

import argparse
import http.client
import ipaddress
import json
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from overlayd.cli.ctl_client import Document
from overlayd.cli.ctl_failure import (
    CONFLICT,
    DENIED,
    FAILED,
    NOT_FOUND,
    OK,
    TIMEOUT,
    UNREACHABLE,
    USAGE,
    Failure,
)
from overlayd.cli.ctl_output import NOTHING, emit, emit_lines, milliseconds, percent, reached, say, table, way
from overlayd.model.duration import seconds_of

TIMEOUT_S = 10.0
_EXIT_CODES = {400: USAGE, 401: DENIED, 403: DENIED, 404: NOT_FOUND, 409: CONFLICT, 422: USAGE}


def show_list(arguments: argparse.Namespace, what: str) -> int:
    """Show all ``nodes``, ``links`` or ``routes``."""
    query = {"src": arguments.source} if what == "routes" and arguments.source else {}
    document = request(arguments, "GET", f"/v1/{what}", query)
    while cursor := document.pop("next", None):  # what is long comes page by page
        page = request(arguments, "GET", f"/v1/{what}", query | {"after": cursor})
        document["items"] += page["items"]
        document["next"] = page.get("next")
    if arguments.output == "table":
        head, row = _COLUMNS[what]
        say(table(head, [row(item) for item in document["items"]]))
        return OK
    return _machine_readable(arguments, document, "items")


def explain(arguments: argparse.Namespace, source: str, destination: str) -> int:
    """Show why a route is as it is, as the controller decided it."""
    query = {"src": source, "dst": destination}
    if arguments.service:
        query["class"] = arguments.service
    if arguments.at:
        query["at"] = moment(arguments.at)
    document = request(arguments, "GET", "/v1/explain", query)
    if arguments.output != "table":
        return _machine_readable(arguments, document, "candidates")
    say(f"{document['source']} → {document['destination']}, class {document['class']}")
    said = (
        f"decided by the {document['decider']} at {document['decidedAt']}, objective {document['objective']}"
    )
    say(f"{said}: {document['reason']}")
    if document.get("figuresAt"):
        say(f"figures of the decision at {document['figuresAt']}")
    rows: list[tuple[str, ...]] = []
    for candidate in document["candidates"]:
        seen = candidate["endToEnd"] or {"rttMs": None, "lossRatio": None, "active": False}
        rows.append(
            (
                "→" if seen["active"] else " ",
                way(candidate["path"]),
                candidate["verdict"],
                milliseconds(candidate["forecastRttMs"]),
                milliseconds(_first(seen["rttMs"], candidate["measuredRttMs"])),
                percent(candidate["forecastLossRatio"]),
                percent(_first(seen["lossRatio"], candidate["measuredLossRatio"])),
                NOTHING if candidate["cost"] is None else f"{candidate['cost']:.1f}",
                candidate["reason"],
            )
        )
    say(table(("", "PATH", "VERDICT", "FORECAST", "MEASURED", "LOSS FORECAST", "LOSS", "COST", "WHY"), rows))
    for event in document["history"]:
        change = f"{way(event['before'] or ())} → {way(event['after'] or ())}"
        say(f"{event['at']}  {change}, by the {event['decider']}: {event['reason']}")
    return OK


def tokens(arguments: argparse.Namespace) -> int:
    """List join tokens."""
    return show_list(arguments, "tokens")


def create_token(arguments: argparse.Namespace) -> int:
    """Make a join token; in a table's place stands nothing but the token, to be piped on."""
    wanted = {
        "name": arguments.name,
        "relay": arguments.relay,
        "prefixes": arguments.prefix,
        "ttlSeconds": arguments.ttl,
    }
    document = request(arguments, "POST", "/v1/tokens", body=wanted)
    if arguments.output == "table":
        say(document["token"])
    else:
        emit(document)
    return OK


def request(
    arguments: argparse.Namespace,
    method: str,
    path: str,
    query: dict[str, str] | None = None,
    body: Document | None = None,
) -> Document:
    """Return the controller's answer. Raises :class:`Failure`."""
    if not arguments.controller:
        raise Failure(USAGE, "name the controller with --controller URL")
    connection = _connect(arguments.controller)
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if token := _token(arguments.token_file):
        headers["Authorization"] = f"Bearer {token}"
    target = path + (f"?{urlencode(query)}" if query else "")
    try:
        connection.request(method, target, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        document: Any = json.loads(answer.read())
    except TimeoutError as error:
        raise Failure(TIMEOUT, f"{arguments.controller} did not answer within {TIMEOUT_S:g} s") from error
    except OSError as error:
        raise Failure(UNREACHABLE, f"{arguments.controller}: {error.strerror or error}") from error
    except (http.client.HTTPException, ValueError) as error:
        raise Failure(FAILED, f"{arguments.controller} is no controller's API: {error}") from error
    finally:
        connection.close()
    if answer.status >= 400:
        said = document.get("problem") or document.get("detail") or answer.reason
        hint = "; name a file with the admin token with --token-file" if answer.status == 401 else ""
        raise Failure(_EXIT_CODES.get(answer.status, FAILED), f"{said}{hint}")
    return document


def moment(text: str) -> str:
    """Return what the API is asked: ``15m`` is that long ago, anything else is the controller's to read."""
    try:
        ago_s = seconds_of(text)
    except argparse.ArgumentTypeError:
        return text
    return f"{time.time() - ago_s:.3f}"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


def _connect(url: str) -> http.client.HTTPConnection:
    """A connection to ``unix:/path``, or ``http://`` to this host: the token travels in the clear."""
    if url.startswith("unix:"):
        return _UnixConnection(url.removeprefix("unix:"))
    try:
        place = urlsplit(url)
        host, port = place.hostname, place.port or 80
    except ValueError:  # half a bracket, or a port that is none
        place = host = port = None
    if place is None or place.scheme != "http" or not host:
        raise Failure(USAGE, f"{url!r} is not of the form http://127.0.0.1:7480 or unix:/path")
    if not _is_local(host):
        raise Failure(USAGE, f"{host} is another host, and the API is plain HTTP; use a tunnel (ssh -L)")
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _token(file: str | None) -> str | None:
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="ascii").strip()
    except PermissionError as error:
        raise Failure(DENIED, f"{file}: only the controller's user may read the admin token") from error
    except OSError as error:
        raise Failure(USAGE, f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Failure(USAGE, f"{file} holds no admin token") from error


def _machine_readable(arguments: argparse.Namespace, document: Document, rows: str) -> int:
    if arguments.output == "jsonl":
        emit_lines(document[rows], document["schema"])
    else:
        emit(document)
    return OK


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _node_row(item: Document) -> tuple[str, ...]:
    spec, status = item["spec"], item["status"]
    conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
    return (
        item["metadata"]["name"],
        str(spec["id"]),
        "connected" if conditions.get("Connected") == "True" else "away",
        ", ".join(spec["addresses"]),
        "relay" if spec["relay"] else "edge",
        ", ".join(
            reached(uplink["endpoint"], uplink.get("reflexive"), uplink.get("symmetric", False))
            for uplink in status["uplinks"]
        )
        or NOTHING,
        ", ".join(status["announced"]) or NOTHING,
        status["lastSeen"] or NOTHING,
    )


def _link_row(item: Document) -> tuple[str, ...]:
    if item["down"]:
        state = "down"
    elif not item["known"]:
        state = "not measured lately"
    else:
        state = "up" if item["confirmed"] else "up, one end says so"
    return (
        f"{item['source']} → {item['destination']}",
        state,
        milliseconds(item["measuredRttMs"]),
        milliseconds(item["forecastRttQ80Ms"]),
        percent(item["measuredLossRatio"]),
        percent(item["forecastLossRatio"]),
    )


def _route_row(item: Document) -> tuple[str, ...]:
    primary, *others = item["paths"] or [()]
    return (
        f"{item['source']} → {item['destination']}",
        item["class"],
        way(primary),
        "; ".join(way(path) for path in others) or NOTHING,
        item["decidedAt"],
        item["reason"],
    )


def _token_row(item: Document) -> tuple[str, ...]:
    role = "relay" if item["relay"] else "edge"
    return (
        item["id"],
        item["name"],
        item["state"],
        role,
        ", ".join(item["prefixes"]) or NOTHING,
        item["expires"],
    )


_COLUMNS = {
    "nodes": (("NODE", "ID", "AGENT", "ADDRESSES", "ROLE", "ENDPOINTS", "ANNOUNCES", "LAST SEEN"), _node_row),
    "links": (("LINK", "STATE", "RTT", "RTT FORECAST", "LOSS", "LOSS FORECAST"), _link_row),
    "routes": (("ROUTE", "CLASS", "PRIMARY", "BACK-UPS", "DECIDED AT", "REASON"), _route_row),
    "tokens": (("ID", "NAME", "STATE", "ROLE", "MAY ANNOUNCE", "EXPIRES"), _token_row),
}
