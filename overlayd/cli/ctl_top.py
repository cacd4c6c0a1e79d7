"""``overlayctl top``: links, paths and flows as they are now. I/O: the agent's socket, stdout.

On a terminal the picture is drawn anew in place, until interrupted; elsewhere it is shown once.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

from overlayd.cli.ctl_client import Document, ask
from overlayd.cli.ctl_failure import OK, USAGE, Failure
from overlayd.cli.ctl_flows import FlowWatch
from overlayd.cli.ctl_output import NOTHING, emit, milliseconds, percent, rate, say, table, way

HOUR_S = 3600
_FROM_THE_TOP, _TO_THE_END, _TO_LINE_END = "\x1b[H", "\x1b[J", "\x1b[K"
_FIRST_S = 1.0
"""Flows are counted for so long before the first look shows them."""
_FLOWS = 20
_IDLE_BPS = 10_000
"""Below this a link carries probes and little else."""


def top(arguments: argparse.Namespace) -> int:
    """Show what goes on."""
    if not 0.1 <= arguments.interval <= HOUR_S:
        raise Failure(USAGE, "top needs an interval from 0.1 s to an hour")
    goes_on = arguments.watch or (arguments.output == "table" and not arguments.once and sys.stdout.isatty())
    for found in _looks(arguments.socket, arguments.interval if goes_on else None):
        if arguments.watch or arguments.output != "table":
            emit(found)
            sys.stdout.flush()
        elif goes_on:
            _draw(drawn(found, every=arguments.all))
        else:
            say("\n".join(drawn(found, every=arguments.all)))
    return OK


def _looks(path: str, interval: float | None) -> Iterator[Document]:
    """What the agent says, with the flows since the look before; ``interval`` None: one look."""
    found = ask(path, "top")
    watch = _watch(found.get("interface"))
    try:
        flows = watch and watch.count(min(interval or _FIRST_S, _FIRST_S))
        while True:
            yield {**found, "flows": flows}
            if interval is None:
                return
            if watch is None:
                time.sleep(interval)
            else:
                flows = watch.count(interval)
            found = ask(path, "top")
    finally:
        if watch is not None:
            watch.close()


def _watch(interface: str | None) -> FlowWatch | None:
    """None where there is nothing to look at, or this user may not."""
    with suppress(OSError):
        return FlowWatch(interface) if interface else None
    return None


def drawn(found: Document, *, every: bool) -> list[str]:
    """Return the lines of one picture; ``every``: idle links too."""
    links = [link for link in found["links"] if every or not _is_idle(link)]
    rows = [row for link in links for row in _link_rows(link)]
    head = ("LINK TO", "UPLINK", "OUT", "IN", "RTT", "LOSS OUT", "LOSS IN", "CLASS")
    lines = table((*head, "RESIDUAL", "REDUNDANCY", "QUEUE"), rows).split("\n")
    if len(links) < len(found["links"]):
        lines.append(f"{len(found['links']) - len(links)} idle links; --all shows them")
    paths = [
        (
            path["destination"],
            path["service"],
            way(path["path"]) + ("" if path["alive"] else ", dead"),
            milliseconds(path["rtt_ms"]),
            percent(path["loss_ratio"]),
        )
        for path in found["paths"]
    ]
    lines += ["", *table(("PATH TO", "CLASS", "VIA", "RTT", "LOSS"), paths).split("\n")]
    return [*lines, "", *_flow_lines(found["flows"], every=every)]


def _flow_lines(flows: list[Document] | None, *, every: bool) -> list[str]:
    if flows is None:
        return ["flows: shown to root (CAP_NET_RAW) where an engine runs"]
    shown = flows if every else flows[:_FLOWS]
    rows = [
        (flow["local"], flow["remote"], flow["protocol"], rate(flow["out_bps"]), rate(flow["in_bps"]))
        for flow in shown
    ]
    lines = table(("FLOW FROM", "TO", "PROTOCOL", "OUT", "IN"), rows).split("\n")
    rest = len(flows) - len(shown)
    return [*lines, f"{rest} smaller flows; --all shows them"] if rest else lines


def _link_rows(link: Document) -> Iterable[tuple[str, ...]]:
    """A line for the link, with its first class of service; a line for each further one."""
    name = link["peer"] + ("" if link["up"] else ", down")
    figures = (
        name,
        link["uplink"],
        NOTHING if link["out_bps"] is None else rate(link["out_bps"]),
        NOTHING if link["in_bps"] is None else rate(link["in_bps"]),
        milliseconds(link["rtt_ms"]),
        percent(link["loss_out_ratio"]),
        percent(link["loss_in_ratio"]),
    )
    classes = [
        (
            one["service"],
            percent(one["lost_ratio"]),
            percent(one["redundancy_ratio"]),
            f"{one['waiting_bytes'] / 1000:.1f} kB" if one["waiting_bytes"] else NOTHING,
        )
        for one in link["classes"]
    ] or [(NOTHING,) * 4]
    yield (*figures, *classes[0])
    for further in classes[1:]:
        yield ("",) * len(figures) + further


def _is_idle(link: Document) -> bool:
    waits = any(one["waiting_bytes"] for one in link["classes"])
    return link["up"] and not waits and (link["out_bps"] or 0) + (link["in_bps"] or 0) < _IDLE_BPS


def _draw(lines: list[str]) -> None:
    """Over the picture before, as much as the terminal has room for: nothing flickers, nothing scrolls."""
    width, height = shutil.get_terminal_size()
    shown = [line[:width] + _TO_LINE_END for line in lines[: height - 1]]
    sys.stdout.write(_FROM_THE_TOP + "\n".join(shown) + _TO_LINE_END + "\n" + _TO_THE_END)
    sys.stdout.flush()
