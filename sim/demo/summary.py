"""The facts of a run as ``summary.json`` holds them, and whether they are what the demo promises.

Pure; called by `story`. A figure that was not measured is None, and falls short.
"""

from collections.abc import Iterator

import msgspec

HOSTS = 5
RUN_S = 180.0
OFF_S = 5.0
BEST_PATH_S = 15.0
OUTAGE_MS = 150.0
PROBES = 5000
OF_CLEAN_MESH = 0.8
OF_DEGRADED_DIRECT = 10.0


class Transfer(msgspec.Struct, frozen=True):
    """The downloads through the mesh: bytes received, whether each was the file that was served, how many
    broke.
    """

    bytes: int = 0
    sha256_equal: bool = False
    broken_connections: int | None = None


class Reroute(msgspec.Struct, frozen=True):
    """Seconds after the degradation: ``seconds_off`` until no traffic used the degraded link any more,
    ``seconds`` until it took what the controller had decided since, for ``reason``.
    """

    seconds_off: float | None = None
    seconds: float | None = None
    path_before: tuple[str, ...] = ()
    path_after: tuple[str, ...] = ()
    reason: str = ""


class RelayKill(msgspec.Struct, frozen=True):
    """The longest time without a probe at either end, in ms."""

    outage_ms: float | None = None


class AgentKill(msgspec.Struct, frozen=True):
    """Probes 1 ms apart while the agent died; lost: did not come back."""

    probes_sent: int = 0
    probes_lost: int | None = None


class Goodput(msgspec.Struct, frozen=True):
    """Of downloads, in Mbit/s as the receiving program got them; ``direct_*`` are those outside the mesh."""

    direct_clean: float | None = None
    direct_degraded: float | None = None
    mesh_clean: float | None = None
    mesh_degraded: float | None = None


class Facts(msgspec.Struct, frozen=True):
    """All that was measured. ``hosts``: those that reached each other; ``seconds``: the whole run."""

    hosts: int = 0
    seconds: float = 0.0
    transfer: Transfer = Transfer()
    reroute: Reroute = Reroute()
    relay_kill: RelayKill = RelayKill()
    agent_kill: AgentKill = AgentKill()
    goodput_mbps: Goodput = Goodput()


def shortfalls(facts: Facts) -> list[str]:
    """What falls short of the promise, one sentence each; none: the run was good."""
    return [*_of_traffic(facts), *_of_goodput(facts.goodput_mbps)]


def document(facts: Facts, problem: str | None = None) -> bytes:
    """``summary.json``: the facts, after ``ok``. ``problem``: why the story broke off, if it did."""
    ok = problem is None and not shortfalls(facts)
    summary = {"ok": ok, **msgspec.to_builtins(facts)}
    return msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"


def _of_traffic(facts: Facts) -> Iterator[str]:
    transfer, reroute, agent = facts.transfer, facts.reroute, facts.agent_kill
    if facts.hosts < HOSTS:
        yield f"{facts.hosts} hosts reached each other, not {HOSTS}"
    yield from _at_most("the demo took", facts.seconds, RUN_S, " s")
    if not transfer.sha256_equal:
        yield "a download through the mesh is not the file that was served"
    yield from _at_most("broken connections:", transfer.broken_connections, 0, "")
    yield from _at_most("traffic left the degraded path after", reroute.seconds_off, OFF_S, " s")
    yield from _at_most("traffic was on the controller's best path after", reroute.seconds, BEST_PATH_S, " s")
    if len(reroute.path_before) != 2 or len(reroute.path_after) < 3:
        before, after = (" → ".join(path) or "unknown" for path in (reroute.path_before, reroute.path_after))
        yield f"traffic did not move from the direct path to a relay, but from {before} to {after}"
    yield from _at_most(
        "the outage after the relay's death was", facts.relay_kill.outage_ms, OUTAGE_MS, " ms"
    )
    if agent.probes_sent < PROBES:
        yield f"{agent.probes_sent} probes were sent while the agent died, not {PROBES}"
    yield from _at_most("probes lost while the agent died:", agent.probes_lost, 0, "")


def _of_goodput(goodput: Goodput) -> Iterator[str]:
    degraded = goodput.mesh_degraded
    for name, other, factor in (
        ("the clean mesh's", goodput.mesh_clean, OF_CLEAN_MESH),
        ("the degraded direct path's", goodput.direct_degraded, OF_DEGRADED_DIRECT),
    ):
        if degraded is None or not other:
            yield f"goodput on the degraded mesh against {name}: not measured"
        elif degraded < factor * other:
            text = f"{degraded:.1f} Mbit/s is {degraded / other:.2f} × {name} {other:.1f} Mbit/s"
            yield f"goodput on the degraded mesh: {text}, below {factor:g} ×"
    if goodput.direct_clean is None:
        yield "goodput on the clean direct path: not measured"


def _at_most(what: str, value: float | None, bound: float, unit: str) -> Iterator[str]:
    limit = f"(at most {bound:g}{unit})"
    if value is None:
        yield f"{what} – not measured {limit}"
    elif value > bound:
        yield f"{what} {value:g}{unit} {limit}"
