"""Checking a running lab against its ``expect.yml``: measure, then judge. I/O, needs root; called by `cli`
and tests.
"""

import ipaddress
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sim.lab import daemons, netns
from sim.lab.acts import Disturbance
from sim.lab.errors import LabError
from sim.lab.expect import Assertion, Bounds, Over, read_expectations
from sim.lab.goodput import goodput_bps
from sim.lab.probe import Measurement, measure
from sim.lab.process import Tell
from sim.lab.state import LabState, folder

_SETTLE_PROBES = 10
_SETTLE_PAUSE_S = 0.5
_IPV4_UDP, _IPV6_UDP = 28, 48  # bytes of both headers


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
    return list(findings(name, tell))


def findings(name: str, tell: Tell = lambda _: None, *, settle_ns: int | None = None) -> Iterator[Finding]:
    """The same one by one: what is not asked for is not measured.

    ``settle_ns``: how long the lab may take to come to what an assertion says, in place of what the file
    allows.
    """
    state = folder(name).read()
    if not state.complete:
        raise LabError(f"lab {name} is only half up")
    file = Path(state.topology).with_name("expect.yml")
    expectations = read_expectations(file, list(state.namespaces))
    patience_ns = expectations.settle_ns if settle_ns is None else settle_ns
    for assertion in expectations.assertions:
        tell(assertion.name)
        _wait_until_settled(state, assertion, time.monotonic() + patience_ns / 1e9)
        yield from _judge(state, assertion)


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
    """Wait until probes are answered, and a calm lab has the path and round trip asserted, or time is over.

    Judgement comes later, whatever was found here.
    """
    while time.monotonic() < deadline:
        try:
            if _is_settled(state, assertion):
                return
        except LabError:
            pass  # no overlay address yet, or no agent
        time.sleep(_SETTLE_PAUSE_S)


def _is_settled(state: LabState, assertion: Assertion) -> bool:
    if not assertion.wants_answers:
        return True
    met = _probe(state, assertion, _SETTLE_PROBES)
    if met.loss_ratio or assertion.during:
        return not met.loss_ratio
    near = assertion.rtt is None or assertion.rtt.hold(met.rtt_ns(0.5))
    return near and assertion.path in (None, _path(state, assertion))


def _path(state: LabState, assertion: Assertion) -> tuple[str, ...]:
    return daemons.path(folder(state.name), assertion.source, assertion.target)


def _judge(state: LabState, assertion: Assertion) -> list[Finding]:
    found: list[Finding] = []

    def add(figure: str, bounds: Bounds | None, value: float | None, text: Callable[[float], str]) -> None:
        if bounds:
            measured = "no answer" if value is None else text(value)
            found.append(Finding(assertion.name, figure, bounds.text, measured, bounds.hold(value)))

    disturbance = Disturbance(state.name, assertion.during)
    try:
        if assertion.rtt or assertion.loss or assertion.outage or assertion.path:
            met = _probe(state, assertion, assertion.probes, disturbance)
            add("rtt", assertion.rtt, met.rtt_ns(0.5), lambda ns: f"{ns / 1e6:.2f}ms")
            add("loss", assertion.loss, met.loss_ratio, lambda ratio: f"{ratio * 100:.2f}%")
            add("outage", assertion.outage, met.outage_ns, lambda ns: f"{ns / 1e6:.0f}ms")
        else:
            disturbance.begin()
        if assertion.goodput:
            disturbance.wait()
            ends = state.namespaces[assertion.source], state.namespaces[assertion.target]
            rate = goodput_bps(*ends, _address(state, assertion), assertion.seconds)
            add("goodput", assertion.goodput, rate, lambda bps: f"{bps / 1e6:.1f}mbit")
        if assertion.path:
            taken = _path(state, assertion)
            wanted = " > ".join(assertion.path)
            found.append(Finding(assertion.name, "path", wanted, " > ".join(taken), taken == assertion.path))
    except LabError as error:
        found.append(Finding(assertion.name, "answer", "one", str(error), ok=False))
    try:
        disturbance.end()
    except LabError as error:
        found.append(Finding(assertion.name, "during", "done and undone", str(error), ok=False))
    return found


def _address(state: LabState, assertion: Assertion) -> str:
    return address_of(state, assertion.target, assertion.over)


def _probe(
    state: LabState, assertion: Assertion, probes: int, disturbance: Disturbance | None = None
) -> Measurement:
    """Raises :class:`LabError` where a node has no address, or no route to the other's."""
    address = _address(state, assertion)
    try:
        return measure(
            state.namespaces[assertion.source],
            state.namespaces[assertion.target],
            address,
            count=probes,
            interval_ns=assertion.every_ns,
            size=assertion.size_bytes - (_IPV6_UDP if ":" in address else _IPV4_UDP),
            at=(probes // 3, disturbance.begin) if disturbance else None,
        )
    except OSError as error:
        raise LabError(f"{assertion.source} to {address}: {error.strerror}") from error
