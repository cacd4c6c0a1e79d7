"""``overlayctl status|join|leave|version``, and the lists as this node's own agent sees them. I/O."""

import argparse
import sys

from overlayd.cli.ctl_client import Document, ask
from overlayd.cli.ctl_failure import DEGRADED, OK, USAGE, Failure
from overlayd.cli.ctl_output import (
    NOTHING,
    duration,
    emit,
    emit_lines,
    mark,
    milliseconds,
    percent,
    rate,
    reached,
    say,
    table,
    way,
)

JOIN_TIMEOUT_S = 60.0
LEAVE_TIMEOUT_S = 15.0
_MOODS = {"alive": "good", "dead": "bad"}


def status(arguments: argparse.Namespace) -> int:
    """Show how this node stands; with ``--check``, exit code 6 if anything is not as it should be."""
    result = ask(arguments.socket, "status")
    if arguments.output == "table":
        _show_status(result)
    else:
        emit(result)
    return DEGRADED if arguments.check and result["degraded"] else OK


def join(arguments: argparse.Namespace) -> int:
    """Join a network with a token from the controller."""
    token = sys.stdin.readline() if arguments.token == "-" else arguments.token
    if not token.strip():
        raise Failure(USAGE, "no token on stdin")
    return _done(arguments, ask(arguments.socket, "join", {"token": token.strip()}, JOIN_TIMEOUT_S))


def leave(arguments: argparse.Namespace) -> int:
    """Leave the network for good."""
    return _done(arguments, ask(arguments.socket, "leave", {"force": arguments.force}, LEAVE_TIMEOUT_S))


def version(arguments: argparse.Namespace) -> int:
    """Show the version of this program; it needs no agent."""
    from overlayd._engine import version as of_the_engine
    from overlayd.protocol.documents import Version, document

    if arguments.output == "table":
        say(f"overlayctl {of_the_engine()}")
    else:
        emit(document(Version(of_the_engine())))
    return OK


def nodes(arguments: argparse.Namespace) -> int:
    """List the members that this node knows."""
    result = ask(arguments.socket, "nodes")
    if arguments.output != "table":
        return _machine_readable(arguments, result, "nodes")
    rows = [
        (
            row["name"] + (" (this node)" if row["self"] else ""),
            str(row["id"]),
            ", ".join(row["addresses"]),
            "relay" if row["relay"] else "edge",
            _reached(row) or NOTHING,
            ", ".join(
                prefix for prefix in row["prefixes"] if prefix.partition("/")[0] not in row["addresses"]
            )
            or NOTHING,
        )
        for row in result["nodes"]
    ]
    say(table(("NODE", "ID", "ADDRESSES", "ROLE", "ENDPOINTS", "ANNOUNCES"), rows))
    return OK


def _reached(row: Document) -> str:
    endpoints = row["endpoints"]
    unknown: list[str | None] = [None] * len(endpoints)  # an older agent tells no more
    seen = zip(endpoints, row.get("reflexive") or unknown, row.get("nat") or unknown, strict=True)
    return ", ".join(reached(endpoint, reflexive, nat == "symmetric") for endpoint, reflexive, nat in seen)


def links(arguments: argparse.Namespace) -> int:
    """List this node's links."""
    result = ask(arguments.socket, "links")
    if arguments.output != "table":
        return _machine_readable(arguments, result, "links")
    rows = [
        (
            row["peer"],
            str(row["link"]),
            row["uplink"],
            row["remote"] or "calls us",
            ("up, in use" if row["in_use"] else "up") if row["up"] else "down",
            milliseconds(row["rtt_ms"]),
            percent(row["loss_out_ratio"]),
            percent(row["loss_in_ratio"]),
            rate(row["delivered_bps"]),
            str(row["mtu"]),
        )
        for row in result["links"]
    ]
    say(
        table(
            ("PEER", "LINK", "UPLINK", "REMOTE", "STATE", "RTT", "LOSS OUT", "LOSS IN", "DELIVERED", "MTU"),
            rows,
        )
    )
    return OK


def routes(arguments: argparse.Namespace) -> int:
    """List the installed routes."""
    result = ask(arguments.socket, "routes")
    if arguments.output != "table":
        return _machine_readable(arguments, result, "routes")
    rows = [
        (
            row["destination"],
            row["service"],
            way(row["in_use"] or ()),
            "; ".join(way(path) for path in row["paths"] if path != row["in_use"]) or NOTHING,
            row["decider"],
            row["reason"],
        )
        for row in result["routes"]
    ]
    say(table(("DESTINATION", "CLASS", "IN USE", "BACK-UPS", "DECIDED BY", "REASON"), rows))
    return OK


def _show_status(known: Document) -> None:
    addresses = f", overlay address {', '.join(known['addresses'])}" if known["addresses"] else ""
    mood = {"online": "good", "revoked": "bad"}.get(known["state"], "odd")
    say(mark(f"{known['node']} is {known['state'].replace('-', ' ')}{addresses}", mood))
    engine, controller = known["engine"], known["controller"]
    if engine["connected"]:
        say(f"engine      {engine['version']} on {engine['interface']}, snapshot {engine['generation']}")
    if len(shards := engine.get("shards", ())) > 1:
        carried = ", ".join(f"{shard['packets_in']}/{shard['packets_out']}" for shard in shards)
        say(f"shards      {len(shards)}, packets in/out {carried}")
    if probing := engine.get("probing"):
        often = f"each {probing['in_use_ms']:.0f} ms in use, each {probing['idle_ms'] / 1000:.1f} s idle"
        say(f"probes      {probing['rate'] / 1000:.1f} of {probing['budget'] / 1000:.0f} kB/s, {often}")
    if engine.get("drops"):
        say(f"dropped     {', '.join(f'{count} {reason}' for reason, count in engine['drops'].items())}")
    told = {name: engine.get(name) for name in ("stranded", "congestion_marks", "advised")}
    if any(told.values()):
        say(f"counted     {', '.join(f'{count} {name}' for name, count in told.items() if count)}")
    if controller["url"] is not None:
        verb = "connected" if controller["connected"] else "away"
        since = f"{verb} for {duration(controller['since_s'])}, mesh {controller['generation']}"
        say(f"controller  {controller['url']} {since}")
    if known["peers"]:
        rows = [
            (
                peer["node"],
                peer["data_plane"],
                way(peer["path"]),
                milliseconds(peer["rtt_ms"]),
                percent(peer["loss_ratio"]),
                f"{peer['links_up']}/{peer['links']}",
            )
            for peer in known["peers"]
        ]
        head, *lines = table(("PEER", "DATA PLANE", "PATH", "RTT", "LOSS", "LINKS UP"), rows).split("\n")
        say(head)
        for line, peer in zip(lines, known["peers"], strict=True):
            say(mark(line, _MOODS.get(peer["data_plane"], "odd")))
    for problem in known["degraded"]:
        say(mark(f"! {problem}", "bad"))


def _done(arguments: argparse.Namespace, result: Document) -> int:
    if arguments.output == "table":
        say(result["message"])
    else:
        emit(result)
    return OK


def _machine_readable(arguments: argparse.Namespace, result: Document, rows: str) -> int:
    if arguments.output == "jsonl":
        emit_lines(result[rows], result["schema"])
    else:
        emit(result)
    return OK
