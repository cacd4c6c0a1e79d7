"""What `overlayctl status` costs before it answers: processor time, which a busy machine does not change
much.
"""

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from overlayd.protocol import local
from tests.overlayd.cli.fake_agent import FakeAgent

BUDGET_S = 0.150
STATUS = local.Status("0.1.0", "paris", "online", local.EngineStatus(True), local.ControllerStatus(True))


def processor_seconds(program: str, runs: int) -> float:
    """The median over runs of a fresh interpreter."""
    spent: list[float] = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(spent)


def test_status_answers_soon_after_a_bare_interpreter_would_have_started(tmp_path: Path) -> None:
    with FakeAgent(tmp_path / "sock", status=STATUS) as agent:
        words = ["status", "--socket", agent.path]
        program = f"from overlayd.cli import ctl; raise SystemExit(ctl.main({words!r}))"
        cost = processor_seconds(program, 9) - processor_seconds("pass", 9)
    assert cost < BUDGET_S
