"""One lab by one runner: up, checked, broken to see its check fail, down. I/O, needs root."""

import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sim.lab import acts, runner
from sim.lab.check import Finding, check, findings
from sim.lab.errors import LabError
from sim.lab.expect import read_expectations
from sim.lab.nodes import Runner
from sim.lab.process import Tell
from sim.lab.state import LabState
from tests.labs import worse

LABS = Path(__file__).parents[2] / "containerlab" / "labs"
NAMES = (
    "two-nodes",
    "lossy-triangle",
    "burst-loss",
    "several-isps",
    "nat-and-relay",
    "controller-loss",
    "mtu-1280",
    "rolling-upgrade",
    "wan-12",
)
OF_TIME = ("rtt", "goodput", "outage")
"""Figures that a busy machine makes worse."""
THREE_TIMES_WORSE = f"{worse.FACTOR} × worse"
_BROKEN_SETTLE_NS = 3_000_000_000
"""A broken lab is not waited for as long as a sound one: it is not to come to what is expected."""


@dataclass
class Report:
    """What came of a trial. ``broken``: for each way of breaking the lab, what its check fails at then."""

    name: str
    runner: Runner
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list[Finding])
    broken: dict[str, Finding | None] = field(default_factory=dict[str, Finding | None])
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether all that is expected holds, and the check fails however the lab is broken."""
        holds = bool(self.findings) and all(finding.ok for finding in self.findings)
        return holds and not self.problem and bool(self.broken) and all(self.broken.values())


def trial(name: str, by: Runner, tell: Tell = lambda _: None, *, tries: int = 1) -> Report:
    """Try a lab. ``seconds`` are those of up, check and down, without the breaking.

    ``tries``: so often it is checked until all holds. A figure of time holds once it held in one of them, for
    what else the machine does makes round trips longer and none shorter; all others have to hold at once.
    """
    report = Report(name, by)
    begun = time.monotonic()
    try:
        with up(name, by, tell) as lab:
            in_time: dict[tuple[str, str], Finding] = {}
            for _ in range(tries):
                found = check(lab.name, tell)
                for finding in found:
                    tell(f"{'ok    ' if finding.ok else 'FAILED'} {told(finding)}, wanted {finding.wanted}")
                    if finding.ok and finding.figure in OF_TIME:
                        in_time[finding.assertion, finding.figure] = finding
                report.findings = [in_time.get((one.assertion, one.figure), one) for one in found]
                if all(finding.ok for finding in report.findings):
                    break
            checked = time.monotonic()
            for way in breakings(lab):
                with broken(lab, way):
                    found = findings(lab.name, settle_ns=_BROKEN_SETTLE_NS)
                    report.broken[way] = failed = next((one for one in found if not one.ok), None)
                tell(f"{way}: {told(failed) if failed else 'ITS CHECK DOES NOT NOTICE'}")
            begun += time.monotonic() - checked
    except LabError as error:
        report.problem = str(error)
        tell(report.problem)
    report.seconds = time.monotonic() - begun
    return report


@contextmanager
def up(name: str, by: Runner, tell: Tell = lambda _: None) -> Generator[LabState]:
    """A lab of the project's that is up, under a name that other labs of this machine do not have."""
    lab = runner.up(LABS / name / "topo.clab.yml", name=f"t{os.getpid()}-{name}", runner=by, tell=tell)
    try:
        yield lab
    finally:
        runner.down(lab.name)


def breakings(lab: LabState) -> Iterator[str]:
    """The ways to break a lab: all impairments worse; each relay removed that its expectations name."""
    yield THREE_TIMES_WORSE
    expected = read_expectations(Path(lab.topology).with_name("expect.yml"), list(lab.namespaces))
    relays = [node for assertion in expected.assertions for node in (assertion.path or ())[1:-1]]
    yield from (f"without {relay}" for relay in dict.fromkeys(relays))


@contextmanager
def broken(lab: LabState, way: str) -> Generator[None]:
    """A lab broken for a while."""
    if way == THREE_TIMES_WORSE:
        worse.worsen(lab)
        try:
            yield
        finally:
            worse.restore(lab)
    else:
        relay = way.removeprefix("without ")
        acts.kill(lab.name, relay)
        try:
            yield
        finally:
            acts.revive(lab.name, relay)


def told(finding: Finding) -> str:
    return f"{finding.assertion}: {finding.figure} {finding.measured}"
