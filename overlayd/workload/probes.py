"""The probes of one run: when each is due and what its answers come to. Pure.

As with Kubernetes, the startup probe goes before the others, and so many answers of a kind in a row change
what is thought. Beyond it: a run that is not up yet is also looked at in between, at first after 50 ms, so
that what starts in 0.2 s serves soon after and not after a period. Such looks can only help: their failures
do not count.
"""

from dataclasses import dataclass, field

from overlayd.protocol.pod import Container, Probe
from overlayd.workload.messages import ProbeKind

S = 1_000_000_000
FIRST_LOOK_NS = S // 20
LAST_LOOK_NS = 2 * S


@dataclass(slots=True)
class _Series:
    """One probe. ``result`` None: nothing is known yet."""

    probe: Probe
    due_ns: int
    result: bool | None
    look_ns: int = FIRST_LOOK_NS
    counted_ns: int | None = None
    in_a_row: int = 0
    last: bool | None = None
    flying: bool = False

    def next_look_ns(self, period_ns: int) -> int:
        """Return the wait to the next look at what is not up yet; each is twice the one before."""
        look_ns, self.look_ns = self.look_ns, min(2 * self.look_ns, LAST_LOOK_NS)
        return min(look_ns, period_ns)


@dataclass(slots=True)
class Probes:
    """``message``: what the last probe that failed said."""

    _series: dict[ProbeKind, _Series] = field(default_factory=dict)
    message: str = ""

    @classmethod
    def of(cls, container: Container, started_ns: int, *, known_up: bool = False) -> "Probes":
        """Begin with a run; times are CLOCK_BOOTTIME. ``known_up``: an earlier life of this unit saw it
        serve.
        """
        made = cls()
        probes: tuple[tuple[ProbeKind, Probe | None], ...] = (
            ("startup", container.startup_probe),
            ("liveness", container.liveness_probe),
            ("readiness", container.readiness_probe),
        )
        for kind, probe in probes:
            if probe is not None:
                due_ns = started_ns + max(probe.initial_delay_seconds * S, FIRST_LOOK_NS)
                made._series[kind] = _Series(probe, due_ns, True if known_up else None)
        return made

    @property
    def started(self) -> bool:
        """Whether the run is past its start."""
        startup = self._series.get("startup")
        return startup is None or startup.result is True

    @property
    def ready(self) -> bool:
        """Whether the run is to get users."""
        readiness = self._series.get("readiness")
        return self.started and (readiness is None or readiness.result is True)

    @property
    def next_ns(self) -> int | None:
        """When a probe is due; None: none is, before an answer comes."""
        return min((one.due_ns for one in self._open().values() if not one.flying), default=None)

    def due(self, now_ns: int) -> list[tuple[ProbeKind, Probe]]:
        """Return the probes to be carried out now; each is one, until it is answered."""
        found: list[tuple[ProbeKind, Probe]] = []
        for kind, one in self._open().items():
            if not one.flying and one.due_ns <= now_ns:
                one.flying = True
                found.append((kind, one.probe))
        return found

    def answered(self, kind: ProbeKind, ok: bool, message: str, now_ns: int) -> bool:
        """Take an answer; return whether the run is to be stopped for it."""
        one = self._series.get(kind)
        if one is None or not one.flying:
            return False
        one.flying = False
        period_ns = one.probe.period_seconds * S
        one.due_ns = now_ns + (period_ns if ok or one.result is not None else one.next_look_ns(period_ns))
        if not ok:
            self.message = message
            # A look in between: the next failure that counts is a period after the last.
            if one.counted_ns is not None and now_ns - one.counted_ns < period_ns * 9 // 10:
                return False
            one.counted_ns = now_ns
        one.in_a_row = one.in_a_row + 1 if one.last is ok else 1
        one.last = ok
        if ok and one.in_a_row >= one.probe.success_threshold:
            one.result = True
            one.counted_ns = None
        elif not ok and one.in_a_row >= one.probe.failure_threshold:
            one.result = False
            return kind != "readiness"
        return False

    def _open(self) -> dict[ProbeKind, _Series]:
        """Those that are asked now: the startup probe alone, and then the others."""
        if not self.started:
            return {"startup": self._series["startup"]}
        return {kind: one for kind, one in self._series.items() if kind != "startup"}
