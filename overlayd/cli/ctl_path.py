"""``overlayctl explain`` and ``trace``: why a path, and what each hop of it does. I/O: the agent's socket."""

import argparse

from overlayd.cli.ctl_client import Document, ask
from overlayd.cli.ctl_failure import OK, USAGE, Failure
from overlayd.cli.ctl_output import (
    NOTHING,
    duration,
    emit,
    emit_lines,
    mark,
    milliseconds,
    percent,
    say,
    table,
    way,
)

TRACE_MARGIN_S = 2.0
TIMEOUT_MAX_S = 60.0


def explain(arguments: argparse.Namespace) -> int:
    """Show the paths that were weighed; with a source other than this node, as its controller knows them."""
    *source, destination = arguments.places
    if len(source) > 1:
        raise Failure(USAGE, "explain takes one place (the destination) or two (source and destination)")
    if arguments.at and not arguments.controller:
        raise Failure(USAGE, "only a controller remembers; name it with --controller URL")
    if arguments.controller:
        from overlayd.cli.ctl_controller import explain as explain_from_controller

        own = source[0] if source else ask(arguments.socket, "status")["node"]
        return explain_from_controller(arguments, own, destination)
    if source and source[0] != ask(arguments.socket, "status")["node"]:
        raise Failure(
            USAGE, f"only the controller knows the routes of {source[0]}; name it with --controller URL"
        )
    result = ask(arguments.socket, "explain", {"destination": destination, "service": arguments.service})
    if arguments.output == "table":
        show_explanation(result)
    elif arguments.output == "jsonl":
        emit_lines(result["candidates"], result["schema"])
    else:
        emit(result)
    return OK


def trace(arguments: argparse.Namespace) -> int:
    """Show the path in use, hop by hop."""
    if not 0 < arguments.timeout <= TIMEOUT_MAX_S:
        raise Failure(USAGE, f"trace needs a timeout above 0 s, {TIMEOUT_MAX_S:g} s at most")
    asked = {
        "destination": arguments.destination,
        "service": arguments.service,
        "timeout_s": arguments.timeout,
    }
    result = ask(arguments.socket, "trace", asked, arguments.timeout + TRACE_MARGIN_S)
    if arguments.output == "table":
        _show_trace(result)
    elif arguments.output == "jsonl":
        emit_lines(result["hops"], result["schema"])
    else:
        emit(result)
    return OK


def show_explanation(known: Document) -> None:
    """Print an explanation for a person."""
    say(f"{known['source']} → {known['destination']}, class {known['service']}")
    say(f"decided by the {known['decider']}: {known['reason']}")
    if known["moved"]:
        say(f"moved by the agent: {known['moved']}")
    rows: list[tuple[str, ...]] = []
    for row in known["candidates"]:
        said = [row["reason"], row["now"] or ""]
        if row["hold_left_s"] is not None:
            said.append(f"{duration(row['hold_left_s'])} of health to go")
        rows.append(
            (
                "→" if row["in_use"] else " ",
                way(row["path"]),
                row["verdict"] if row["rank"] is None else f"{row['verdict']}, {_place(row['rank'])}",
                milliseconds(row["forecast_rtt_ms"]),
                milliseconds(row["measured_rtt_ms"]),
                percent(row["forecast_loss_ratio"]),
                percent(row["measured_loss_ratio"]),
                NOTHING if row["cost"] is None else f"{row['cost']:.1f}",
                "; ".join(text for text in said if text),
            )
        )
    head = ("", "PATH", "VERDICT", "FORECAST", "MEASURED", "LOSS FORECAST", "LOSS", "COST", "WHY")
    title, *lines = table(head, rows).split("\n")
    say(title)
    for line, row in zip(lines, known["candidates"], strict=True):
        say(mark(line, "good") if row["in_use"] else line)


def _show_trace(known: Document) -> None:
    whole = f"RTT {milliseconds(known['rtt_ms'])}"
    if known["loss_ratio"] is not None:
        whole += f", loss {percent(known['loss_ratio'])} after repair"
    say(f"to {known['destination']}, class {known['service']}, {way(known['path'])}: {whole}")
    rows = [
        (
            str(number),
            f"{hop['start']} → {hop['end']}",
            {True: "up", False: "down", None: "unknown"}[hop["up"]],
            milliseconds(hop["rtt_ms"]),
            percent(hop["loss_ratio"]),
            percent(hop["recovered_ratio"]),
            percent(hop["lost_ratio"]),
            NOTHING if hop["burst_length"] is None else f"{hop['burst_length']:.1f}",
            percent(hop["repair_ratio"]),
            percent(hop["retransmitted_ratio"]),
            milliseconds(hop["added_p50_ms"]),
            milliseconds(hop["added_p99_ms"]),
            hop["problem"] or "",
        )
        for number, hop in enumerate(known["hops"], 1)
    ]
    head = (
        *("", "HOP", "LINK", "RTT", "LOSS", "REPAIRED", "LEFT", "RUN"),
        *("FEC", "RESENT", "ADDED P50", "P99", ""),
    )
    say(table(head, rows))


def _place(rank: int) -> str:
    places = ("first", "second", "third")
    return places[rank] if rank < len(places) else f"place {rank + 1}"
