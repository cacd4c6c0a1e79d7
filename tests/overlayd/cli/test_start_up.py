"""What `overlayctl status` costs before it answers: processor time, in those of a bare interpreter, which a
busy machine makes as much more expensive.
"""

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from overlayd.protocol import local
from tests.overlayd.cli.fake_agent import FakeAgent

INTERPRETERS = 9
"""5 to 6; the interpreter's own is one of them."""
RUNS = 9
STATUS = local.Status("0.1.0", "paris", "online", local.EngineStatus(True), local.ControllerStatus(True))


def processor_seconds(program: str) -> float:
    """Of a fresh interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_status_costs_no_more_than_a_few_bare_interpreters(tmp_path: Path) -> None:
    with FakeAgent(tmp_path / "sock", status=STATUS) as agent:
        words = ["status", "--socket", agent.path]
        program = f"from overlayd.cli import ctl; raise SystemExit(ctl.main({words!r}))"
        costs = [processor_seconds(program) / processor_seconds("pass") for _ in range(RUNS)]
    assert statistics.median(costs) < INTERPRETERS
