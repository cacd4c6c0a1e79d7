"""Carries traffic for as long as the node's workload unit runs, by the last steering that it had.

I/O, by `traffic`; a file with the steering.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import msgspec

from overlayd.daemon.errors import StartError
from overlayd.daemon.files import read_checked, write_checked
from overlayd.daemon.log import fields
from overlayd.daemon.metrics_place import MetricsPlace
from overlayd.protocol.steering import SteeringSpec
from overlayd.protocol.workload import Demand, Outcomes, Wanted
from overlayd.traffic.traffic import Traffic

LOG = logging.getLogger(__name__)
SCHEMA: Final = 1
DEMAND_S: Final = 15.0
"""So often it is said what users asked for."""
OUTCOMES_S: Final = 3.0
"""So often it is said what became of it, while several revisions serve a route."""


async def run(
    state_dir: Path,
    runtime_dir: Path,
    address: str,
    steering: AsyncIterator[SteeringSpec | None],
    say: Callable[[Wanted | Demand | Outcomes], None],
    listen: tuple[str, int] | None = None,
) -> None:
    """Carry traffic as ``steering`` says, until cancelled; what was set up then goes on by itself.

    It begins with the steering that was in force last. None: the controller has none for this node, which
    keeps what it has. ``address`` is the node's in the overlay. Files are
    in ``traffic`` of ``state_dir`` and beside ``runtime_dir`` (``/run/overlayd-traffic``). Metrics are
    served at ``listen``.
    """
    file = state_dir / "traffic" / "steering.json"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Beside the folder, which lets in no other users; HAProxy and dnsmasq have users of their own.
    beside = runtime_dir.with_name(f"{runtime_dir.name}-traffic")
    traffic = Traffic(beside, lambda route: say(Wanted(route)), address)
    place = MetricsPlace(traffic.metrics)
    telling = [asyncio.create_task(one(traffic, say)) for one in (_tell_demand, _tell_outcomes)]
    try:
        try:
            await place.move(listen)
        except StartError as error:  # users come before who watches them
            LOG.error("metrics are not told", extra=fields(problem=error))
        if (kept := _read(file)) is not None:
            await traffic.apply(kept)
        async for wanted in steering:
            if wanted is None or wanted == kept:
                continue
            _write(file, wanted)  # first: a restart is not to begin with what was in force before
            await traffic.apply(wanted)
            kept = wanted
        await asyncio.Event().wait()  # no more is said: what is there is kept
    finally:
        for one in telling:
            one.cancel()
        await place.close()
        await traffic.close()


async def _tell_demand(traffic: Traffic, say: Callable[[Demand], None]) -> None:
    while True:
        await asyncio.sleep(DEMAND_S)
        if (demand := await traffic.demand()).asked:
            say(demand)


async def _tell_outcomes(traffic: Traffic, say: Callable[[Outcomes], None]) -> None:
    while True:
        await asyncio.sleep(OUTCOMES_S)
        if (outcomes := await traffic.outcomes()) is not None:
            say(outcomes)


def _read(file: Path) -> SteeringSpec | None:
    body = read_checked(file, SCHEMA)
    try:
        return None if body is None else msgspec.json.decode(body, type=SteeringSpec)
    except msgspec.DecodeError as error:
        LOG.error("kept steering is not understood", extra=fields(problem=error))
        return None


def _write(file: Path, spec: SteeringSpec) -> None:
    try:
        write_checked(file, SCHEMA, msgspec.json.encode(spec))
    except OSError as error:
        LOG.error("steering is not kept", extra=fields(problem=error.strerror))
