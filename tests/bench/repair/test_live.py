"""The live half of the repair benchmark, as far as it goes without namespaces."""

import json
import socket
import subprocess
import sys
from itertools import pairwise

from tests.bench.repair import bounds, live
from tests.bench.repair.cells import PROFILES, Cell
from tests.bench.repair.line import MS_NS

MODULE = (sys.executable, "-m", "tests.bench.repair.stream")


def test_an_emulated_wire_is_what_a_simulated_one_is() -> None:
    for profile, loss in PROFILES.items():
        document = live._settings(Cell(profile, 40, 100, "udp-1000pps", 0)).as_document()  # pyright: ignore[reportPrivateUsage]
        assert document["delay_ns"] == 20 * MS_NS
        assert document["loss"] == loss.document()


def test_a_stream_is_told_with_its_times() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with subprocess.Popen((*MODULE, "receive", port), stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout and receiver.stdout.readline() == "ready\n"
        subprocess.run((*MODULE, "send", "127.0.0.1", port, "2000", "50"), check=True, timeout=30)
        receiver.terminate()
        came = json.loads(receiver.communicate(timeout=30)[0])
    assert [number for number, _, _ in came] == list(range(50))
    assert all(0 <= at - sent < 1000 * MS_NS for _, sent, at in came)
    assert all(later > earlier for (_, earlier, _), (_, later, _) in pairwise(came))


def test_live_rows_stand_in_the_table_without_bounds() -> None:
    row = {
        **{"profile": "5 % iid", "stream": "voice", "system": "srt", "residual_loss_pct": 50.0},
        **{"residual_upper95_pct": 51.0, "wire_overhead_pct": 9.0, "added_ms_p50": 1.0, "added_ms_p99": 2.0},
    }
    document = {"udp": [], "capped": [], "steps": [], "three_hops": [], "two_paths": [], "live": [row]}
    (verdict,) = bounds.verdicts(document)
    assert (verdict.name, verdict.met) == ("live, srt, voice, 5 % iid", True)
