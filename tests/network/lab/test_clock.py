"""A host whose wall clock is set back ten years while it runs."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sim.lab import process
from tests.network.lab.conftest import SITES
from tests.network.lab.mesh import Mesh, program, wait_until

HERE, THERE = SITES[:2]
TEN_YEARS_S = 10 * 365 * 86400


@contextmanager
def with_a_clock_to_set(mesh: Mesh, node: str, folder: Path) -> Iterator[Path]:
    """Start the daemons of a node again with a clock that is wrong by the seconds in the file answered."""
    library, offset = folder / "clock.so", folder / "offset"
    source = str(Path(__file__).with_name("clock.c"))
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library), source], check=True)
    offset.write_text("0")
    command = [program("overlayd"), "run", "--config", str(mesh.place.node(node) / "overlayd.toml")]

    def start(*before: str) -> None:
        process.stop_all_in(mesh.namespaces[node])
        process.start(node, mesh.namespaces[node], [*before, *command], mesh.place.log(node))
        wait_until(lambda: mesh.online(node))
        mesh.settle(HERE, THERE)

    start("env", f"LD_PRELOAD={library}", f"CLOCK_OFFSET={offset}")
    try:
        yield offset
    finally:
        start()


def test_a_clock_set_back_ten_years_costs_no_packet_and_is_told(pair: Mesh, tmp_path: Path) -> None:
    with with_a_clock_to_set(pair, HERE, tmp_path) as offset:
        wait_until(lambda: pair.document(HERE, "status")["degraded"] == [])

        def set_back() -> None:
            offset.write_text(str(-TEN_YEARS_S))

        assert pair.loses_nothing(HERE, THERE, count=600, act=set_back)
        wrong = "this host's clock is wrong: the certificate begins 36"

        def told() -> bool:
            """It is, and nothing else; nor is the channel to the controller older than it was."""
            said = pair.document(HERE, "status")
            return said["state"] == "online" and [one.startswith(wrong) for one in said["degraded"]] == [True]

        wait_until(told, lambda: pair.ctl(HERE, "status"))
        # Who starts now finds a certificate of the future; the controller's, too, and so cannot trust it.
        before = pair.pid(HERE, "agent")
        assert pair.loses_nothing(HERE, THERE, count=400, act=lambda: os.kill(before, signal.SIGKILL))
        wait_until(lambda: pair.answers(HERE))
        wait_until(lambda: "not yet valid" in str(pair.document(HERE, "status")["degraded"]))
        wait_until(lambda: pair.document(HERE, "status")["state"] == "offline")
        # An engine that starts now needs no wall clock at all.
        os.kill(pair.pid(HERE, "engine"), signal.SIGKILL)
        wait_until(lambda: pair.answers(HERE))
        pair.settle(HERE, THERE)
        offset.write_text("0")
        wait_until(lambda: pair.online(HERE), "back once the clock is right")
