"""``python -m sim.demo``: build the lab, play the story, write what was found, take everything away. I/O.

Exit codes: 0 all that the demo promises was measured, 1 something fell short or failed, 2 usage, 130 and
143 interrupted. Whatever happens, nothing of the lab stays behind.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sim.demo import drawing, summary
from sim.demo.mesh import NAME, TOPOLOGY, Mesh, clear, files_of, sweep
from sim.demo.stage import Stage
from sim.demo.story import Findings, Story
from sim.demo.table import table
from sim.lab.errors import LabError
from sim.lab.state import folder

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """The demo was asked to end. ``code``: its exit code.

    A ``KeyboardInterrupt``, as asyncio, which the netlink library runs on, lets no other through.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="sim.demo", description="Five sites, loss, a dead relay: the mesh at work."
    )
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="folder of the results")
    parser.add_argument("--name", default=f"{NAME}{os.getpid()}", help="of the lab and its namespaces")
    parser.add_argument("--topology", type=Path, default=TOPOLOGY, help="the five sites' file")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("the demo makes network namespaces, and needs root for that")
    if shutil.which("curl") is None:
        parser.error("curl is not installed; `make setup` does that")
    stage = Stage()
    try:
        with _interruptible():
            return _run(stage, arguments.name, arguments.topology, arguments.out)
    except Interrupted as reason:
        clear(arguments.name)  # a second request may have come while the first one was obeyed
        stage.say(f"{reason}: everything was taken down", "yellow")
        return reason.code


def _run(stage: Stage, name: str, topology: Path, out: Path) -> int:
    out.mkdir(parents=True, exist_ok=True)
    for file in ("summary.json", "mesh.svg"):
        (out / file).unlink(
            missing_ok=True
        )  # a run that is cut short leaves none, rather than an older one's
    for left in sweep():
        stage.say(f"took down {left}, which an earlier run left behind")
    findings = Findings()
    problem: str | None = None
    try:
        with _lab(stage, name, topology) as mesh:
            story = Story(mesh, stage, files_of(name))
            findings = story.findings
            story.play()
    except (LabError, OSError) as error:
        problem = str(error)
    facts = findings.facts(stage.seconds)
    (out / "summary.json").write_bytes(summary.document(facts, problem))
    (out / "mesh.svg").write_text(drawing.draw(findings.links, findings.paths), encoding="utf-8")
    stage.show(table(findings.rows))
    return _verdict(stage, facts, problem, out)


def _verdict(stage: Stage, facts: summary.Facts, problem: str | None, out: Path) -> int:
    stage.say(f"written: {out}/summary.json, {out}/mesh.svg")
    if problem:
        stage.say(f"the story broke off: {problem}", "bold red")
    fell_short = summary.shortfalls(facts)
    for sentence in fell_short:
        stage.say(f"fell short: {sentence}", "red")
    if not fell_short and not problem:
        stage.say("every promise was kept", "bold green")
    return 1 if fell_short or problem else 0


@contextmanager
def _lab(stage: Stage, name: str, topology: Path) -> Generator[Mesh]:
    stage.say(f"building the lab {name}")
    try:
        files_of(name).mkdir(mode=0o700)
        mesh = Mesh(name, topology, stage.say)
        mesh.prepare()
        yield mesh
    except (LabError, OSError):
        _save_logs(name, stage)
        raise
    finally:
        _ignore_requests_to_end()
        stage.say("taking the lab down")
        clear(name)


def _save_logs(name: str, stage: Stage) -> None:
    """Keep what the daemons said, where the story broke off."""
    logs = folder(name).path / "logs"
    if logs.exists():
        target = Path(tempfile.mkdtemp(prefix="overlayd-demo-logs-"))
        shutil.copytree(logs, target, dirs_exist_ok=True)
        stage.say(f"logs of the daemons: {target}")


@contextmanager
def _interruptible() -> Generator[None]:
    """Turn requests to end into :class:`Interrupted`."""

    def interrupt(number: int, _: FrameType | None) -> None:
        raise Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_requests_to_end() -> None:
    """From here on: the taking down must not be stopped half-way."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
