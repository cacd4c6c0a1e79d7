"""``overlayctl netcheck``: what blocks a join or a direct path, before or after joining. I/O: sockets, /proc.

Facts come from `overlayd.cli.netcheck`, and from the agent where one answers; what they mean is said in its
`verdicts`. Nothing is changed: an interface is made for a moment, where root asks and there is no engine.
"""

import argparse
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from overlayd.cli.ctl_client import Document, ask
from overlayd.cli.ctl_failure import DEGRADED, FAILED, OK, USAGE, Failure
from overlayd.cli.ctl_output import emit, emit_lines, mark, say, table
from overlayd.cli.netcheck import host, reach, verdicts
from overlayd.cli.netcheck.exchange import Exchange
from overlayd.daemon.config import Configuration, UplinkSection, load
from overlayd.daemon.errors import ConfigurationError
from overlayd.daemon.reach import NoRoute, endpoint_of
from overlayd.protocol.documents import NetCheck, NetCheckRow, document
from overlayd.protocol.stun import Place

_MOODS = {"ok": "good", "degraded": "odd", "failed": "bad"}
_EXIT_CODES = {"ok": OK, "degraded": DEGRADED, "failed": FAILED}


def netcheck(arguments: argparse.Namespace) -> int:
    """Make all checks; exit code 0, 6 (degraded) or 1 (failed)."""
    configuration = _configuration(arguments.config)
    status, engine = _of_agent(arguments.socket)
    controller = _controller(arguments.where, status)
    met = reach.meet(controller, arguments.timeout, time.time, time.monotonic) if controller else None
    rows = [
        verdicts.controller(controller.url if controller else None, met),
        verdicts.clock(met, time.time()),
        verdicts.tun(*host.tun(), engine),
        verdicts.capability(host.may_have_net_admin(), engine),
    ]
    for uplink in configuration.uplink:
        rows += _of_uplink(uplink, configuration, controller, arguments.reflector, engine)
    found = tuple(row for row in rows if row is not None)
    told = NetCheck(verdicts.whole(found), controller.url if controller else None, found)
    _show(arguments.output, told)
    return _EXIT_CODES[told.verdict]


def _of_uplink(
    uplink: UplinkSection,
    configuration: Configuration,
    controller: reach.Named | None,
    reflector: str | None,
    engine: verdicts.Engine,
) -> Iterator[NetCheckRow | None]:
    port = host.port(uplink.address, uplink.port)
    yield verdicts.port(uplink.name, uplink.address, uplink.port, port, engine)
    if port.problem == "no-address":
        return
    try:
        callable_ = endpoint_of(uplink) is not None
    except NoRoute as problem:
        yield verdicts.no_route(uplink.name, str(problem))
        return
    family = socket.AF_INET6 if ":" in uplink.address else socket.AF_INET
    asked = _reflector(reflector, family) if reflector else None
    if asked is None and controller is not None:
        asked = next(iter(reach.reflectors(controller, family)), None)
    if asked is None:
        return  # what is missing is said of the controller
    way = _measure(uplink, port.problem == "", asked)
    yield verdicts.udp(way, engine)
    yield verdicts.nat(way, callable_)
    yield verdicts.mtu(way, configuration.engine.mtu)


def _measure(uplink: UplinkSection, from_port: bool, reflector: Place) -> verdicts.Way:
    """Ask from the uplink's own port where it is free: what is open for another is not open for it."""
    try:
        asking = Exchange(uplink.address, uplink.port if from_port else 0)
    except OSError as error:
        raise Failure(FAILED, f"uplink {uplink.name!r}: {error.strerror}") from error
    try:
        seen = asking.echo(reflector)
        changed = places = sizes = None
        if seen.answered:
            if seen.other is not None:
                changed = asking.echo(reflector, other_port=True)
                places = _places(uplink.address, reflector, seen.other)
            sizes = asking.sizes(reflector, uplink.mtu)
    finally:
        asking.close()
    return verdicts.Way(
        uplink.name, uplink.address, uplink.port, from_port, reflector, seen, changed, places, sizes
    )


def _places(address: str, one: Place, other: Place) -> tuple[Place, Place] | None:
    """Where one socket is seen from two ports; None: not both say so.

    It is a socket of its own: what went to the other port opens the way from there, for minutes.
    """
    asking = Exchange(address, 0)
    try:
        seen = [asking.echo(to, count=2).seen for to in (one, other)]
    finally:
        asking.close()
    return None if seen[0] is None or seen[1] is None else (seen[0], seen[1])


def _configuration(name: str) -> Configuration:
    """The host's, or where there is no such file yet, one that fits any host."""
    from overlayd.cli.ctl import CONFIGURATION

    if name == CONFIGURATION and not Path(name).exists():
        return Configuration((UplinkSection("main", "0.0.0.0", endpoint="auto"),))
    try:
        return load(Path(name), os.environ)
    except ConfigurationError as error:
        raise Failure(FAILED, str(error)) from error


def _of_agent(path: str) -> tuple[Document | None, verdicts.Engine]:
    """What the agent says, if there is one: before joining there may be none."""
    try:
        status = ask(path, "status")
    except Failure:
        return None, verdicts.Engine()
    links: list[Document] = []
    with suppress(Failure):
        links = ask(path, "links")["links"]
    interface = status["engine"]["interface"] if status["engine"]["connected"] else None
    return status, verdicts.Engine(interface, len(links), sum(bool(link["up"]) for link in links))


def _controller(where: str | None, status: Document | None) -> reach.Named | None:
    """The controller that is named, else that of the member. Raises :class:`Failure`."""
    text = sys.stdin.readline() if where == "-" else where
    if text is None:
        text = status["controller"]["url"] if status else None
    if text is None:
        return None
    try:
        return reach.named(text)
    except reach.NoController as error:
        raise Failure(USAGE, str(error)) from error


def _reflector(text: str, family: int) -> Place | None:
    """Where it is, for this family; None: not there. Raises :class:`Failure`."""
    name, _, port = text.rpartition(":")
    if not name or not port.isdecimal():
        raise Failure(USAGE, f"--reflector: {text!r} is not HOST:PORT")
    named = reach.Named(name.strip("[]"), int(port))
    return next(iter(reach.reflectors(named, family)), None)


def _show(output: str, told: NetCheck) -> None:
    made = document(told)
    if output == "json":
        emit(made)
    elif output == "jsonl":
        emit_lines(made["checks"], made["schema"])
    else:
        rows = [
            (row.check + (f" ({row.uplink})" if row.uplink else ""), row.verdict, row.found)
            for row in told.checks
        ]
        head, *lines = table(("CHECK", "VERDICT", "FOUND"), rows).split("\n")
        say(head)
        for line, row in zip(lines, told.checks, strict=True):
            say(mark(line, _MOODS[row.verdict]))
            if row.advice:
                say(f"    → {row.advice}")
