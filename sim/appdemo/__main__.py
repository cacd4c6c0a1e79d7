"""``python -m sim.appdemo``: build the lab, play the story, write what was found, take everything away. I/O.

Exit codes: 0 all that is promised was measured, 1 something fell short or failed, 2 usage.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import msgspec

from sim.appdemo.sites import LAB, Sites
from sim.appdemo.story import Findings, Story
from sim.demo.stage import Stage
from sim.lab import runner
from sim.lab.errors import LabError


def main() -> int:
    parser = argparse.ArgumentParser(prog="sim.appdemo", description="An app that stays near its users.")
    parser.add_argument("--out", type=Path, default=Path("build/demo/apps.json"), help="the results")
    parser.add_argument("--keep", action="store_true", help="leave the lab standing")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("the demo makes network namespaces, and needs root for that")
    for wanted in ("kubectl", "haproxy", "dnsmasq"):
        if shutil.which(wanted) is None:
            parser.error(f"{wanted} is not installed; `make demo-apps` does that")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    stage = Stage()
    findings, problem = Findings(), ""
    with tempfile.TemporaryDirectory(prefix="overlayd-appdemo-") as home:
        try:
            findings = _play(stage, Path(home), arguments.keep)
        except (LabError, OSError) as error:
            problem = str(error)
    return _verdict(stage, findings, problem, arguments.out)


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)


def _play(stage: Stage, home: Path, keep: bool) -> Findings:
    name = f"appdemo{os.getpid()}"
    stage.say(f"building the lab {name}")
    built = runner.up(LAB, name=name, tell=stage.say)
    try:
        sites = Sites(built.name, home)
        sites.prepare()
        story = Story(sites, stage)
        try:
            story.play()
        except LabError as error:
            stage.say(f"the story broke off: {error}", "bold red")
        return story.findings
    finally:
        if not keep:
            stage.say("taking the lab down")
            runner.down(built.name)


def _verdict(stage: Stage, findings: Findings, problem: str, out: Path) -> int:
    fell_short = [*([problem] if problem else []), *findings.shortfalls()]
    out.parent.mkdir(parents=True, exist_ok=True)
    document = {"ok": not fell_short, **msgspec.to_builtins(findings)}
    out.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    stage.say(f"written: {out}")
    for sentence in fell_short:
        stage.say(f"fell short: {sentence}", "red")
    if not fell_short:
        stage.say("every promise was kept", "bold green")
    return 1 if fell_short else 0


if __name__ == "__main__":
    sys.exit(main())
