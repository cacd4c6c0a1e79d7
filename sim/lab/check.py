"""Checking a running lab against its ``expect.yml``: measure, then judge. I/O, needs root; called by `cli`
and tests.
"""

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sim.lab import daemons, netns, runner
from sim.lab.errors import LabError
from sim.lab.expect import Assertion, Bounds, During, Over, read_expectations
from sim.lab.probe import Measurement, measure
from sim.lab.process import Tell
from sim.lab.state import LabState, folder

_SETTLE_PROBES = 10
_SETTLE_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure of one assertion: what was wanted, what was measured, and whether they agree."""

    assertion: str
    figure: str
    wanted: str
    measured: str
    ok: bool


def check(name: str, tell: Tell = lambda _: None) -> list[Finding]:
    """Measure and judge every assertion of a lab, in the file's order. Raises :class:`LabError`."""
    state = folder(name).read()
    if not state.complete:
        raise LabError(f"lab {name} is only half up")
    file = Path(state.topology).with_name("expect.yml")
    expectations = read_expectations(file, list(state.namespaces))
    deadline = time.monotonic() + expectations.settle_ns / 1e9
    for assertion in expectations.assertions:
        _wait_until_settled(state, assertion, deadline)
    findings: list[Finding] = []
    for assertion in expectations.assertions:
        tell(assertion.name)
        findings += _judge(state, assertion)
    return findings


def address_of(state: LabState, node: str, over: Over) -> str:
    """A node's address: underlay, a global one of its loopback, else of a link; overlay, that of the
    overlay's interface.

    Raises :class:`LabError` where it has none.
    """
    wanted = 6 if over.endswith("6") else 4
    found: list[tuple[int, str]] = []
    for interface, text in netns.addresses(state.namespaces[node]):
        address = ipaddress.ip_address(text)
        if address.version != wanted or address.is_loopback or address.is_link_local:
            continue
        if (interface == daemons.INTERFACE) == over.startswith("overlay"):
            found.append((0 if interface == "lo" else 1, text))
    if not found:
        raise LabError(f"{node} has no {over} address")
    return min(found)[1]


def _wait_until_settled(state: LabState, assertion: Assertion, deadline: float) -> None:
    """Wait until probes are answered, by the path if one is asserted, or until the time to settle is over.

    Judgement comes later, whatever was found here.
    """
    while time.monotonic() < deadline:
        try:
            answered = not _measure(state, assertion, _SETTLE_PROBES, None).loss_ratio
            if answered and assertion.path in (None, _path(state, assertion)):
                return
        except LabError:
            pass  # no overlay address yet, or no agent
        time.sleep(_SETTLE_PAUSE_S)


def _path(state: LabState, assertion: Assertion) -> tuple[str, ...]:
    return daemons.path(folder(state.name), assertion.source, assertion.target)


def _judge(state: LabState, assertion: Assertion) -> list[Finding]:
    findings: list[Finding] = []

    def add(figure: str, bounds: Bounds | None, value: float | None, text: Callable[[float], str]) -> None:
        if bounds:
            measured = "no answer" if value is None else text(value)
            findings.append(Finding(assertion.name, figure, bounds.text, measured, bounds.hold(value)))

    if assertion.rtt or assertion.loss or assertion.outage:
        try:
            met = _measure(state, assertion, assertion.probes, assertion.during)
        except LabError as error:
            return [Finding(assertion.name, "address", "one", str(error), ok=False)]
        add("rtt", assertion.rtt, met.rtt_ns(0.5), lambda ns: f"{ns / 1e6:.2f}ms")
        add("loss", assertion.loss, met.loss_ratio, lambda ratio: f"{ratio * 100:.2f}%")
        add("outage", assertion.outage, met.outage_ns, lambda ns: f"{ns / 1e6:.0f}ms")
    if assertion.path:
        wanted = " > ".join(assertion.path)
        try:
            taken = " > ".join(_path(state, assertion))
        except LabError as error:
            taken = str(error)
        findings.append(Finding(assertion.name, "path", wanted, taken, wanted == taken))
    return findings


def _measure(state: LabState, assertion: Assertion, probes: int, during: During | None) -> Measurement:
    source, target = state.namespaces[assertion.source], state.namespaces[assertion.target]
    address = address_of(state, assertion.target, assertion.over)
    if during is None:
        return measure(source, target, address, count=probes, interval_ns=assertion.every_ns)
    before = runner.find_link(state, during.link)

    def act() -> None:
        runner.impair(state.name, during.link, during.words)

    try:
        return measure(
            source, target, address, count=probes, interval_ns=assertion.every_ns, at=(probes // 3, act)
        )
    finally:
        runner.put_link(state.name, before)
