"""Labs: up, down, impair. I/O, needs root; called by `cli`, the demo and tests.

Each node is a network namespace, a bare one or a container's (`sim.lab.nodes`); each link two veth pairs
whose far ends lie in one more namespace, the wire, where the link emulator joins them; or, between containers
on a kernel that has netem, one veth pair. The daemons of a lab are started by `sim.lab.daemons`.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from sim.lab import daemons, netem, netns, process, wire
from sim.lab.errors import LabError, LabIsDown, LabIsUp
from sim.lab.impair import Settings
from sim.lab.nodes import Runner, wire_ends
from sim.lab.overlay import Overlay, overlay_beside
from sim.lab.process import Process, Tell
from sim.lab.runners import nodes_of
from sim.lab.state import Folder, LabState, LinkState, folder
from sim.lab.topology import Topology, read_topology

_READY_S = 20.0
_EMULATOR = "emulator"
# The wire only passes frames on: it has no addresses and says nothing itself.
_WIRE_SYSCTLS = {"net.ipv6.conf.all.disable_ipv6": "1", "net.ipv6.conf.default.disable_ipv6": "1"}


def up(
    file: Path,
    *,
    name: str | None = None,
    prefix: str = "",
    seed: int = 1,
    runner: Runner = "netns",
    tell: Tell = lambda _: None,
) -> LabState:
    """Build a lab from its topology file and start its daemons; on any failure take down what was made.

    ``name`` overrides the file's; namespaces are called ``<prefix><name>-<node>``, containers as
    containerlab calls them. Daemons are those of ``overlay.yml`` beside the file, if there is one. Raises
    :class:`LabError`, with nothing left behind.
    """
    if os.geteuid() != 0:
        raise LabError("a lab needs root: it makes network namespaces")
    topology = read_topology(file)
    overlay = overlay_beside(file, topology)
    state = _planned(topology, name or topology.name, file, prefix, seed, runner)
    place = folder(state.name)
    if place.path.exists():
        raise LabIsUp(f"lab {state.name} is up already; take it down first")
    for namespace in (state.wire, *state.namespaces.values()):
        if netns.exists(namespace):
            raise LabError(f"network namespace {namespace} is there already, and is not this lab's")
    place.create()
    place.write(state)
    try:
        return _build(place, state, topology, overlay, tell)
    except BaseException:
        _take_down(place, place.read())
        raise


def down(name: str) -> bool:
    """Take a lab down, whatever is left of it. Answers whether there was one."""
    place = folder(name)
    try:
        state = place.read()
    except LabIsDown:
        place.remove()
        return False
    _take_down(place, state)
    return True


def impair(name: str, link: str, words: Mapping[str, object]) -> LinkState:
    """Change words of a link's impairments while the lab runs; all others stay. Answers the link as it is
    now.

    Raises ValueError for a link or word that is not known, :class:`LabError` where the lab is not up.
    """
    place = folder(name)
    with place.locked():
        state = place.read()
        known = find_link(state, link)
        changed = msgspec.structs.replace(known, impairments=known.impairments.change(words))
        _put(place, state, changed)
    return changed


def put_link(name: str, link: LinkState) -> None:
    """Make a link of a running lab what ``link`` says. Raises :class:`LabError`."""
    place = folder(name)
    with place.locked():
        _put(place, place.read(), link)


def replace_process(name: str, fresh: Process) -> None:
    """Remember a process of a running lab in place of the one of its name. Raises :class:`LabError`."""
    place = folder(name)
    with place.locked():
        state = place.read()
        processes = tuple(fresh if known.name == fresh.name else known for known in state.processes)
        place.write(msgspec.structs.replace(state, processes=processes))


def _put(place: Folder, state: LabState, link: LinkState) -> None:
    if state.links_by == "netem":
        netem.put(state, link)
    else:
        wire.set_way(place.control, link.there, link.impairments.there)
        wire.set_way(place.control, link.back, link.impairments.back)
    links = tuple(link if known.there == link.there else known for known in state.links)
    place.write(msgspec.structs.replace(state, links=links))


def find_link(state: LabState, link: str) -> LinkState:
    """The link named ``NODE:NODE``, or ``NODE:INTERFACE`` where two nodes share several.

    Raises ValueError that lists the links.
    """
    wanted = set(link.split(":"))
    at = [known for known in state.links if link in (known.a, known.b)]
    between = [known for known in state.links if wanted == {known.impairments.a, known.impairments.b}]
    match at or between:
        case [found]:
            return found
        case []:
            names = ", ".join(f"{known.impairments.a}:{known.impairments.b}" for known in state.links)
            raise ValueError(f"no link is named {link!r}; links: {names}")
        case several:
            names = ", ".join(known.a for known in several)
            raise ValueError(f"several links are named {link!r}; name one by an interface: {names}")


def _planned(topology: Topology, name: str, file: Path, prefix: str, seed: int, runner: Runner) -> LabState:
    nodes = nodes_of(runner)
    pairs = [link.impairments for link in topology.links]
    # In namespaces always the emulator: tests count on its seed.
    by_netem = runner == "clab" and netem.serves(way for pair in pairs for way in (pair.there, pair.back))
    return LabState(
        name=name,
        topology=str(file.resolve()),
        seed=seed,
        runner=runner,
        links_by="netem" if by_netem else "emulator",
        namespaces={node.name: nodes.namespace(prefix, name, node.name) for node in topology.nodes},
        wire=f"{prefix}{name}-wire",
        links=tuple(
            LinkState(str(link.a), str(link.b), *link.ways, impairments=link.impairments)
            for link in topology.links
        ),
    )


def _build(place: Folder, state: LabState, topology: Topology, overlay: Overlay, tell: Tell) -> LabState:
    tell(f"nodes: {len(topology.nodes)}, links: {len(topology.links)}")
    netns.create(state.wire)
    with netns.inside(state.wire):
        netns.set_sysctls(_WIRE_SYSCTLS)
    nodes = nodes_of(state.runner)
    nodes.make(place, state, topology)
    if state.links_by == "netem":
        netem.lay(state)
    else:
        state = _remember(place, state, _start_emulator(place, state))
    for namespace in state.namespaces.values():
        netns.wait_for_carrier(namespace, _READY_S)
    nodes.configure(state, topology)
    for started in daemons.start(place, state, overlay, tell):
        state = _remember(place, state, started)
    state = msgspec.structs.replace(state, complete=True)
    place.write(state)
    return state


def _remember(place: Folder, state: LabState, started: Process) -> LabState:
    state = msgspec.structs.replace(state, processes=(*state.processes, started))
    place.write(state)
    return state


def _start_emulator(place: Folder, state: LabState) -> Process:
    ways: list[tuple[str, str, str, Settings]] = []
    for index, known in enumerate(state.links):
        (a, b), pair = wire_ends(index), known.impairments
        ways += [(known.there, a, b, pair.there), (known.back, b, a, pair.back)]
    config = place.path / "emulator.json"
    config.write_text(wire.configuration(state.seed, ways), encoding="utf-8")
    log = place.log(_EMULATOR)
    command = [sys.executable, "-m", "sim.emulator", "--config", str(config), "--control", str(place.control)]
    emulator = process.start(_EMULATOR, state.wire, command, log)
    if not wire.wait_ready(place.control, _READY_S):
        process.stop([emulator])
        raise LabError(f"the link emulator did not start: {log.read_text().strip() or f'see {log}'}")
    return emulator


def _take_down(place: Folder, state: LabState) -> None:
    """In the reverse order of building, and without regard to what is missing."""
    # The emulator last: daemons say farewell to each other.
    process.stop([known for known in reversed(state.processes) if known.name != _EMULATOR])
    process.stop(state.processes)
    nodes_of(state.runner).remove(place, state)
    process.stop_all_in(state.wire)
    netns.remove(state.wire)
    place.remove()
