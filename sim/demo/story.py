"""The five chapters of the demo, played on a lab and measured by its end points. I/O; called by `__main__`.

A web server in Paris, a visitor in Madrid. What lives here is the order of events and what is read when;
traffic is `traffic`'s, the arithmetic `measure`'s, the promises are `summary`'s, the lab's handles `mesh`'s.
"""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from overlayd.protocol.local import Explanation
from sim.demo.drawing import DrawnLink, DrawnPath
from sim.demo.measure import (
    NS_PER_MS,
    NS_PER_S,
    Sample,
    Stretch,
    Way,
    left_ns,
    path_taken,
    quality,
    true_since,
)
from sim.demo.mesh import CONTROLLER, Mesh
from sim.demo.stage import Stage, Working
from sim.demo.summary import AgentKill, Facts, Goodput, RelayKill, Reroute, Transfer
from sim.demo.table import Met, Row, route
from sim.demo.traffic import WATCH_BPS, Long, Traffic
from sim.lab.errors import LabError

SERVER, CLIENT = "paris", "madrid"
DIRECT = Way(SERVER, CLIENT)
BOTH_WAYS = (DIRECT, Way(CLIENT, SERVER))
DEGRADATION = {"delay": "93ms", "loss": "8%"}  # the link's own 13 ms, and 80 ms more, each way

_FORM_S = 40.0
_BEFORE_S, _MOVE_S, _SETTLED_S = 3.0, 20.0, 3.0
_FIRST_LONG_S, _SECOND_LONG_S = 14.0, 10.0
_LONG_MOST_S = 60.0
_DEGRADED_DIRECT_S = 10.0
_AFTER_DEATH_S = 5.0
_WINDOW_NS = 200 * NS_PER_MS
_PAUSE_S = 0.05
_DENSE_US, _DENSE_COUNT = 1000, 6000


@dataclass(slots=True)
class Findings:
    """What is known so far; whatever a chapter did not reach stays as it is here."""

    hosts: int = 0
    transfer: Transfer = field(default_factory=Transfer)
    reroute: Reroute = field(default_factory=Reroute)
    relay_kill: RelayKill = field(default_factory=RelayKill)
    agent_kill: AgentKill = field(default_factory=AgentKill)
    direct_clean: float | None = None
    direct_degraded: float | None = None
    mesh_clean: float | None = None
    mesh_degraded: float | None = None
    rows: list[Row] = field(default_factory=list[Row])
    links: list[DrawnLink] = field(default_factory=list[DrawnLink])
    paths: list[DrawnPath] = field(default_factory=list[DrawnPath])

    def facts(self, seconds: float) -> Facts:
        measured = (self.direct_clean, self.direct_degraded, self.mesh_clean, self.mesh_degraded)
        goodput = Goodput(*(None if rate is None else round(rate, 3) for rate in measured))
        facts = (self.hosts, round(seconds, 1), self.transfer, self.reroute, self.relay_kill, self.agent_kill)
        return Facts(*facts, goodput)


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the network: its counters, the path of the last bytes, and what the mesh says of it."""

    sample: Sample
    path: tuple[str, ...]
    known: Explanation


class Story:
    """Plays the chapters in their order; `findings` fills as it goes."""

    def __init__(self, mesh: Mesh, stage: Stage, folder: Path) -> None:
        self.findings = Findings()
        self._mesh = mesh
        self._stage = stage
        self._traffic = Traffic(mesh, stage, folder, SERVER, CLIENT)

    def play(self) -> None:
        """All chapters. Raises :class:`LabError` where one cannot go on."""
        try:
            self.mesh_forms()
            self.clean()
            self.direct_path_degrades()
            self.relay_dies()
            self.agent_dies()
        finally:
            self.findings.transfer = self._traffic.told()

    # 1

    def mesh_forms(self) -> None:
        mesh, stage = self._mesh, self._stage
        stage.chapter(1, "A mesh forms")
        sites = ", ".join(mesh.edges)
        stage.say(f"engine and agent run in {sites}; the controller in {CONTROLLER}")
        pairs = [Way(*pair) for pair in itertools.combinations(mesh.edges, 2)]
        silent = pairs
        deadline = time.monotonic() + _FORM_S
        with stage.working("probing every pair through the mesh") as working:
            while silent and time.monotonic() < deadline:
                silent = [pair for pair in silent if not self._answers(pair)]
                done = len(pairs) - len(silent)
                working.update(f"{done} of {len(pairs)} pairs answer each other", done / len(pairs))
            alive = mesh.alive_pairs()
            while alive < 2 * len(pairs) and time.monotonic() < deadline:
                working.update(f"{alive} of {2 * len(pairs)} data planes alive", alive / (2 * len(pairs)))
                time.sleep(4 * _PAUSE_S)
                alive = mesh.alive_pairs()
        self.findings.hosts = sum(all(node not in pair for pair in silent) for node in mesh.edges)
        stage.say(f"{len(pairs) - len(silent)} of {len(pairs)} pairs reach each other through the mesh")
        stage.say(f"the agents call {alive} of {2 * len(pairs)} data planes alive")
        for link in mesh.links():
            met = mesh.measure(link, "underlay", count=20)
            rtt_ns = met.rtt_ns(0.5)
            drawn = DrawnLink(link, None if rtt_ns is None else rtt_ns / NS_PER_MS, met.loss_ratio)
            self.findings.links.append(drawn)
        if silent:
            raise LabError("no answer through the mesh: " + ", ".join(f"{a} – {b}" for a, b in silent))

    def _answers(self, pair: Way) -> bool:
        try:
            return self._mesh.measure(pair, "overlay", count=5).loss_ratio < 1
        except LabError:
            return False  # no overlay address yet

    # 2

    def clean(self) -> None:
        stage, findings = self._stage, self.findings
        stage.chapter(2, "A download over a clean network")
        stage.say(f"an ordinary web server in {SERVER}, curl in {CLIENT}, TCP with cubic")
        self._traffic.serve()
        direct = self._traffic.transfer("underlay", "outside the mesh")
        met, path = self._through_the_mesh("through the mesh")
        findings.direct_clean, findings.mesh_clean = direct.goodput_mbps, met.goodput_mbps
        findings.rows.append(Row("before: all is well", route(path), met, direct))

    def _through_the_mesh(self, where: str) -> tuple[Met, tuple[str, ...]]:
        """A download, and the path that most of its bytes took."""
        before = self._mesh.sample()
        met = self._traffic.transfer("overlay", where)
        path = path_taken(before, self._mesh.sample(), SERVER, CLIENT)
        self._stage.say(f"the mesh took {route(path)}")
        return met, path

    # 3

    def direct_path_degrades(self) -> None:
        stage, findings = self._stage, self.findings
        stage.chapter(3, "The direct path degrades in the middle of a download")
        long = self._traffic.begin(_FIRST_LONG_S, findings.mesh_clean or 1.0)
        with stage.working("a long download through the mesh") as working:
            before = self._go_on(long, working, _BEFORE_S)
            stage.say(
                f"{SERVER} – {CLIENT}: from now on 8 % of packets are lost, and each way takes 80 ms longer"
            )
            degraded_ns = time.monotonic_ns()
            findings.reroute = self._degrade(long, working, before)
            self._tell_reroute(findings.reroute)
            self._traffic.wait(long, working.update, _LONG_MOST_S)
        reroute = findings.reroute
        during = long.met(degraded_ns)
        long.stop()
        paths = f"{route(reroute.path_before)}, then {route(reroute.path_after)}"
        findings.rows.append(Row("during: from then to its end", paths, during))
        findings.paths += [DrawnPath("before", reroute.path_before), DrawnPath("during", reroute.path_after)]
        self._beside_each_other()
        stage.show(self._mesh.explanation(SERVER, CLIENT).rstrip() + "\n")

    def _degrade(self, long: Long, working: Working, before: tuple[str, ...]) -> Reroute:
        """Degrade the direct path; see when traffic has left it for good, and when it is where the
        controller, in a decision that it made since, wants it.
        """
        mesh = self._mesh
        decided_after, degraded_ns = time.time(), time.monotonic_ns()
        mesh.impair(DIRECT, DEGRADATION)
        looks: list[Seen] = []
        samples = [mesh.sample()]
        off_ns = best_ns = None
        settled_ns = degraded_ns + int(_MOVE_S * NS_PER_S)
        while time.monotonic_ns() < settled_ns:
            time.sleep(_PAUSE_S)
            samples.append(mesh.sample())
            looks.append(Seen(samples[-1], _path_lately(samples), mesh.explain(SERVER, CLIENT)))
            off_ns = left_ns(samples, BOTH_WAYS, degraded_ns, WATCH_BPS / 2, _WINDOW_NS)
            best_ns = true_since(
                (look.sample.at_ns, as_the_controller_wants(look, decided_after)) for look in looks
            )
            if off_ns and best_ns:
                settled_ns = min(settled_ns, max(off_ns, best_ns) + int(_SETTLED_S * NS_PER_S))
            working.update(f"{long.line()}, {route(looks[-1].path)}", long.share)
        arrived = next((look for look in looks if look.sample.at_ns == best_ns), looks[-1])
        return Reroute(
            seconds_off=_since(degraded_ns, off_ns),
            seconds=_since(degraded_ns, max(off_ns, best_ns) if off_ns and best_ns else None),
            path_before=before,
            path_after=looks[-1].path,
            reason=arrived.known.reason,
        )

    def _tell_reroute(self, found: Reroute) -> None:
        stage = self._stage
        if found.seconds_off is None:
            stage.say(f"traffic still takes the degraded path after {_MOVE_S:g} s", "red")
        else:
            stage.say(f"after {found.seconds_off:.2f} s no traffic used the degraded path any more", "green")
        if found.seconds is None:
            stage.say(f"it did not take a path the controller decided since, within {_MOVE_S:g} s", "red")
        else:
            where = "it was where the controller wants it"
            stage.say(f"after {found.seconds:.2f} s {where}: {found.reason}", "green")
        before, after = route(found.path_before), route(found.path_after)
        stage.say(f"the path, by the bytes on each link: {before} before, {after} now")

    def _beside_each_other(self) -> None:
        """The same download again as on the clean network, through the mesh and outside it."""
        findings = self.findings
        met, path = self._through_the_mesh("through the mesh, on the degraded network")
        direct = self._traffic.transfer(
            "underlay", "outside the mesh, on the degraded path", _DEGRADED_DIRECT_S
        )
        findings.mesh_degraded, findings.direct_degraded = met.goodput_mbps, direct.goodput_mbps
        findings.rows.append(Row("after: on a relay", route(path), met, direct))
        probed = self._mesh.measure(DIRECT, "underlay", count=200)
        rtt_ns = probed.rtt_ns(0.5)
        findings.links = [
            DrawnLink(
                link.way, link.rtt_ms, link.loss_ratio, rtt_ns and rtt_ns / NS_PER_MS, probed.loss_ratio
            )
            if link.way == DIRECT
            else link
            for link in findings.links
        ]

    # 4

    def relay_dies(self) -> None:
        stage, findings = self._stage, self.findings
        stage.chapter(4, "The relay dies in the middle of a download")
        long = self._traffic.begin(_SECOND_LONG_S, findings.mesh_clean or 1.0)
        with stage.working("a long download through the mesh") as working:
            path = self._go_on(long, working, _BEFORE_S)
            if len(path) < 3:
                raise LabError("no relay is in use that could be killed")
            killed_ns = self._mesh.kill_host(path[1])
            stage.say(f"traffic took {route(path)}; every process in {path[1]} was killed with SIGKILL")
            path = self._go_on(long, working, _AFTER_DEATH_S)
            silence_ns = self._traffic.longest_silence_ns(
                Stretch(killed_ns - _WINDOW_NS, time.monotonic_ns())
            )
            if silence_ns is None:
                stage.say("an end heard nothing of the other any more", "red")
            else:
                findings.relay_kill = RelayKill(round(silence_ns / NS_PER_MS, 1))
                stage.say(
                    f"the longest time in which an end heard nothing: {silence_ns / NS_PER_MS:.0f} ms",
                    "green",
                )
            stage.say(f"traffic goes on over {route(path)}")
            self._traffic.wait(long, working.update, _LONG_MOST_S)
        findings.rows.append(Row("the relay is dead", route(path), long.met(killed_ns)))
        findings.paths.append(DrawnPath("after", path))
        long.stop()
        told = self._traffic.told()
        equal = "the files that were served" if told.sha256_equal else "NOT the files that were served"
        broken = f"{told.broken_connections} broken connections"
        stage.say(f"downloaded through the mesh: {told.bytes / 1e6:.0f} MB, {equal}, {broken}")

    # 5

    def agent_dies(self) -> None:
        mesh, stage = self._mesh, self._stage
        stage.chapter(5, f"The agent of {SERVER} dies")
        before = mesh.sample()
        probes = self._traffic.dense_probes(_DENSE_COUNT, _DENSE_US)
        pid: int | None = None
        with stage.working("a probe every millisecond") as working:
            while probes.alive:
                sent = len(probes.update().sent)
                if pid is None and sent >= _DENSE_COUNT // 3:
                    pid = mesh.kill_agent(SERVER)
                    stage.say(f"agent {pid} was killed with SIGKILL; the engine goes on with its last tables")
                working.update(f"{sent} probes sent", sent / _DENSE_COUNT)
                time.sleep(_PAUSE_S)
        record = probes.stop()
        if pid is None:
            raise LabError("the probes ended before the agent could be killed")
        found = AgentKill(len(record.sent), len(record.sent) - len(record.echoes))
        self.findings.agent_kill = found
        path = path_taken(before, mesh.sample(), SERVER, CLIENT)
        every = Stretch(min(record.sent.values()), time.monotonic_ns())
        met = Met(quality(record, every), None)
        self.findings.rows.append(Row("the agent is dead", route(path), met))
        style = "red" if found.probes_lost else "green"
        stage.say(f"{found.probes_lost} of {found.probes_sent} probes were lost", style)

    # All chapters

    def _go_on(self, long: Long, working: Working, seconds: float) -> tuple[str, ...]:
        """Let a download go on for a while; answers the path of its last second."""
        end = time.monotonic() + seconds
        samples = [self._mesh.sample()]
        while time.monotonic() < end:
            time.sleep(2 * _PAUSE_S)
            samples.append(self._mesh.sample())
            working.update(f"{long.line()}, {route(_path_lately(samples))}", long.share)
        lately = [one for one in samples if samples[-1].at_ns - one.at_ns <= NS_PER_S]
        return path_taken(lately[0], lately[-1], SERVER, CLIENT)


def as_the_controller_wants(look: Seen, decided_after: float) -> bool:
    """Whether bytes take what the controller put first, in a decision later than ``decided_after`` (Unix)."""
    known = look.known
    if known.decider != "controller" or known.decided_at <= decided_after:
        return False
    first = next((row.path for row in known.candidates if row.verdict == "primary"), None)
    return first is not None and look.path == (SERVER, *first)


def _path_lately(samples: Sequence[Sample]) -> tuple[str, ...]:
    """The path of the last window's bytes."""
    last = samples[-1]
    before = next((one for one in reversed(samples) if last.at_ns - one.at_ns >= _WINDOW_NS), None)
    return () if before is None else path_taken(before, last, SERVER, CLIENT)


def _since(start_ns: int, moment_ns: int | None) -> float | None:
    return None if moment_ns is None else round((moment_ns - start_ns) / NS_PER_S, 3)
