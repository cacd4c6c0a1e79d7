"""What a full mesh costs the machine that holds all of it: at rest, and while some pairs talk.

``python -m tests.bench.mesh --hosts 20 --pairs 5`` builds a lab of hosts, each joined to each by a wire of
5 ms, and counts packets on the hosts' wires and processor time by kind of process, first while nothing is
sent, then while ``pairs`` pairs of hosts have 50 small packets a second for each other, both ways. Prints
JSON. I/O, needs root.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from overlayd.protocol.controller import PROBE_BUDGET
from sim.lab import daemons, netns, runner, state
from sim.lab.check import address_of
from sim.lab.probe import measure
from sim.lab.sketch import Sketch, full_mesh

SETTLE_S = 600.0
CALM_S = 20.0
"""After the last link is up, and after the first packet: what is just beginning is not what it costs."""
PACKETS_A_SECOND = 50
KINDS = ("engine", "agent", "controller")


def main() -> int:
    parser = argparse.ArgumentParser(prog="mesh", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=5, help="that talk; at most half of the hosts")
    parser.add_argument("--seconds", type=float, default=20.0, help="that are counted, at rest and busy each")
    parser.add_argument(
        "--budget", type=int, default=PROBE_BUDGET, help="bytes per second and host of probes"
    )
    arguments = parser.parse_args()
    names = [f"host{number:02}" for number in range(1, arguments.hosts + 1)]
    edges = {name: {"relay": True} for name in names}
    settings = {"probing": {"budget": arguments.budget}}
    sketch = Sketch(names, full_mesh(names), names[-1], edges, settings=settings)
    with tempfile.TemporaryDirectory() as folder:
        built = runner.up(sketch.write(Path(folder), f"mesh-{os.getpid()}"))
        try:
            _wait_for_links(built, names)
            time.sleep(CALM_S)
            report = {"hosts": len(names), "at_rest": _counted(built, names, arguments.seconds)}
            stop = threading.Event()
            pairs = list(zip(names[0::2], names[1::2], strict=False))[: arguments.pairs]
            talking = [threading.Thread(target=_talk, args=(built, a, b, stop)) for a, b in pairs]
            for thread in talking:
                thread.start()
            try:
                time.sleep(CALM_S)
                busy = _counted(built, names, arguments.seconds)
            finally:
                stop.set()
                for thread in talking:
                    thread.join()
            report |= {"pairs": len(pairs), "busy": busy}
        finally:
            runner.down(built.name)
    json.dump(report, sys.stdout, indent=2)
    print()
    return 0


def _wait_for_links(built: state.LabState, names: list[str]) -> None:
    place = state.folder(built.name)
    deadline = time.monotonic() + SETTLE_S
    for name in names:
        socket = daemons.agent_socket(place, name)
        while _alive(socket) < len(names) - 1:
            if time.monotonic() > deadline:
                raise SystemExit(f"mesh: the neighbours of {name} do not come up")
            time.sleep(0.5)


def _alive(socket: Path) -> int:
    return sum(peer["data_plane"] == "alive" for peer in daemons.ask(socket, "status", {})["peers"])


def _counted(built: state.LabState, names: list[str], seconds: float) -> dict[str, float]:
    """Packets that leave the hosts, per second, and cores in use, in all and by kind of process."""
    before = _figures(built, names)
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    after = _figures(built, names)
    return {
        name: round((after[name] - before[name]) / took, 3 if name.startswith("cores") else 0)
        for name in before
    }


def _figures(built: state.LabState, names: list[str]) -> dict[str, float]:
    figures = dict.fromkeys(("packets", *(f"cores_{kind}" for kind in (*KINDS, "emulator"))), 0.0)
    for name in names:
        with netns.inside(built.namespaces[name]):
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
        wires = [line.split() for line in lines if line.strip().startswith("eth")]
        figures["packets"] += sum(int(words[10]) for words in wires)
        for pid in netns.processes(built.namespaces[name]):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            kind = next((kind for kind in KINDS if any(kind.encode() in word for word in words)), None)
            if kind is not None:
                figures[f"cores_{kind}"] += _cpu_s(pid)
    figures["cores_emulator"] = sum(_cpu_s(pid) for pid in netns.processes(built.wire))
    return figures


def _cpu_s(pid: int) -> float:
    """Processor time of all threads; the scheduler's own, as ticks miss whoever sleeps before one comes."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def _talk(built: state.LabState, source: str, target: str, stop: threading.Event) -> None:
    while not stop.is_set():
        measure(
            built.namespaces[source],
            built.namespaces[target],
            address_of(built, target, "overlay"),
            count=2 * PACKETS_A_SECOND,
            interval_ns=1_000_000_000 // PACKETS_A_SECOND,
        )


if __name__ == "__main__":
    sys.exit(main())
