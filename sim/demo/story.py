"""The five chapters of the demo, played on a lab and measured by its end points. I/O; called by `__main__`.

A web server in Paris, a visitor in Madrid. What lives here is the order of events and what is read when;
the arithmetic is in `measure`, the promises in `summary`, the lab's handles in `mesh`.
"""

import hashlib
import itertools
import random
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
    goodput_mbps,
    left_ns,
    longest_gap_ns,
    path_taken,
    quality,
)
from sim.demo.mesh import CONTROLLER, EndPoint, Mesh
from sim.demo.records import Record
from sim.demo.stage import Stage, Working
from sim.demo.summary import AgentKill, Facts, Goodput, RelayKill, Reroute, Transfer
from sim.demo.table import Met, Row, route
from sim.lab.errors import LabError

SERVER, CLIENT = "paris", "madrid"
DIRECT = Way(SERVER, CLIENT)
BOTH_WAYS = (DIRECT, Way(CLIENT, SERVER))
DEGRADATION = {"delay": "93ms", "loss": "8%"}  # the link's own 13 ms, and 80 ms more, each way

_FORM_S = 40.0
_MOVE_S = 20.0
_WEB_PORT, _PROBE_PORT = 8080, 8081
_SHORT_BYTES = 50_000_000
_LONG_S, _LONG_MIN_BYTES, _LONG_MAX_BYTES = 32.0, 30_000_000, 450_000_000
_SLOW_START_NS = NS_PER_S
# The probes that watch a path are traffic that never pauses: a way without them carries no traffic at all.
_WATCH_US, _WATCH_BYTES = 5000, 600
_WATCH_BPS = 8 * _WATCH_BYTES * 1e6 / _WATCH_US
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


@dataclass(slots=True)
class Long:
    """The download that goes on while everything else happens, and the probes beside it from both ends."""

    download: EndPoint
    probes: EndPoint
    counter_probes: EndPoint
    bytes: int
    sha256: str

    def line(self, path: tuple[str, ...]) -> str:
        """How it stands."""
        got, seen = self.download.update(), self.probes.update()
        total = got.progress[-1].total if got.progress else 0
        rate = goodput_mbps(got.progress, _last_second(got.progress[-1].at_ns)) if got.progress else None
        back = seen.echoes[max(seen.echoes)].rtt_ns / NS_PER_MS if seen.echoes else None
        speed = "–" if rate is None else f"{rate:.1f} Mbit/s"
        return f"{total / 1e6:.0f} MB, {speed}, RTT {back or 0:.0f} ms, {route(path)}"


class Story:
    """Plays the chapters in their order; `findings` fills as it goes."""

    def __init__(self, mesh: Mesh, stage: Stage, folder: Path) -> None:
        self.findings = Findings()
        self._mesh = mesh
        self._stage = stage
        self._folder = folder
        self._reflectors: dict[tuple[str, str], EndPoint] = {}
        self._downloads: list[tuple[Record, str]] = []

    def play(self) -> None:
        """All chapters. Raises :class:`LabError` where one cannot go on."""
        try:
            self.mesh_forms()
            self.clean()
            long = self.direct_path_degrades()
            self.relay_dies(long)
            self.agent_dies()
        finally:
            self.findings.transfer = transfer_of(self._downloads)

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
            self.findings.links.append(
                DrawnLink(link, None if rtt_ns is None else rtt_ns / 1e6, met.loss_ratio)
            )
        if silent:
            raise LabError("no answer through the mesh: " + ", ".join(f"{a} – {b}" for a, b in silent))

    def _answers(self, pair: Way) -> bool:
        try:
            return self._mesh.measure(pair, "overlay", count=5).loss_ratio < 1
        except LabError:
            return False  # no overlay address yet

    # 2

    def clean(self) -> None:
        mesh, stage, findings = self._mesh, self._stage, self.findings
        stage.chapter(2, "A download over a clean network")
        stage.say(f"an ordinary web server in {SERVER}, curl in {CLIENT}, TCP with cubic")
        digest = make_file(self._folder / "short.bin", _SHORT_BYTES)
        mesh.serve(SERVER, self._folder, _WEB_PORT)
        for node, over in ((CLIENT, "underlay"), (CLIENT, "overlay"), (SERVER, "overlay")):
            reflector = mesh.start(node, "reflect", mesh.address(node, over), _PROBE_PORT)
            self._reflectors[node, over] = reflector
        _, direct = self._transfer("underlay", "outside the mesh")
        before = mesh.sample()
        record, met = self._transfer("overlay", "through the mesh")
        path = path_taken(before, mesh.sample(), SERVER, CLIENT)
        self._downloads.append((record, digest))
        findings.direct_clean, findings.mesh_clean = direct.goodput_mbps, met.goodput_mbps
        findings.rows.append(Row("before: all is well", path, met, direct))
        findings.paths.append(DrawnPath("before", path))
        findings.reroute = Reroute(path_before=path)
        stage.say(f"the mesh took {route(path)}")

    def _transfer(self, over: str, where: str, limit_s: float | None = None) -> tuple[Record, Met]:
        """One download of the short file with probes beside it."""
        probes = self._probes(over)
        words = ("--for", limit_s) if limit_s else ()
        download = self._mesh.start(CLIENT, "download", self._url(over, "short.bin"), *words)
        began = time.monotonic()
        with self._stage.working(f"download {where}") as working:
            while download.alive:
                record = download.update()
                total = record.progress[-1].total if record.progress else 0
                share = (time.monotonic() - began) / limit_s if limit_s else total / _SHORT_BYTES
                working.update(f"{total / 1e6:.1f} MB {where}", share)
                time.sleep(2 * _PAUSE_S)
        record = download.stop()
        stretch = _of_download(record)
        met = Met(quality(probes.stop(), stretch), goodput_mbps(record.progress, stretch))
        rate = "not measured" if met.goodput_mbps is None else f"{met.goodput_mbps:.2f} Mbit/s"
        self._stage.say(f"{where}: {rate}, RTT {met.quality.rtt_p50_ms or 0:.1f} ms while it ran")
        return record, met

    # 3

    def direct_path_degrades(self) -> Long:
        mesh, stage, findings = self._mesh, self._stage, self.findings
        stage.chapter(3, "The direct path degrades in the middle of a download")
        long = self._long_download()
        with stage.working("a long download through the mesh") as working:
            self._watch(long, working, findings.reroute.path_before, 4.0)
            stage.say(
                f"{SERVER} – {CLIENT}: from now on 8 % of packets are lost, and each way takes 80 ms longer"
            )
            reroute, degraded_ns, off_ns = self._degrade(long, working)
        findings.reroute = reroute
        self._tell_reroute(reroute)
        _, direct = self._transfer("underlay", "outside the mesh, on the degraded path", 10.0)
        findings.direct_degraded = direct.goodput_mbps
        met = mesh.measure(DIRECT, "underlay", count=200)
        rtt_ns = met.rtt_ns(0.5)
        findings.links = [
            DrawnLink(link.way, link.rtt_ms, link.loss_ratio, rtt_ns and rtt_ns / 1e6, met.loss_ratio)
            if link.way == DIRECT
            else link
            for link in findings.links
        ]
        stage.show(mesh.explanation(SERVER, CLIENT).rstrip() + "\n")
        now_ns = time.monotonic_ns()
        during = Stretch(degraded_ns, off_ns or now_ns)
        after = Stretch(
            off_ns or degraded_ns, now_ns - NS_PER_S // 2
        )  # the last probes may still be under way
        long.download.update()
        long.probes.update()
        during_met, after_met = self._met(long, during), self._met(long, after)
        findings.rows.append(Row("during: until traffic has moved", reroute.path_before, during_met))
        findings.rows.append(Row("after: on a relay", reroute.path_after, after_met, direct))
        findings.paths.append(DrawnPath("during", reroute.path_after))
        findings.mesh_degraded = after_met.goodput_mbps
        if after_met.goodput_mbps is not None:
            stage.say(f"the mesh's download meanwhile: {after_met.goodput_mbps:.1f} Mbit/s", "green")
        return long

    def _long_download(self) -> Long:
        rate_mbps = self.findings.mesh_clean or 1.0
        size = int(min(max(rate_mbps * 1e6 / 8 * _LONG_S, _LONG_MIN_BYTES), _LONG_MAX_BYTES))
        digest = make_file(self._folder / "long.bin", size)
        download = self._mesh.start(CLIENT, "download", self._url("overlay", "long.bin"))
        self._downloads.append((download.record, digest))
        counter_probes = self._probes("overlay", CLIENT, SERVER)
        return Long(download, self._probes("overlay"), counter_probes, size, digest)

    def _degrade(self, long: Long, working: Working) -> tuple[Reroute, int, int | None]:
        """Degrade the direct path, and see when traffic leaves it and when it is where the controller wants
        it; also answers when it was degraded, and when it was left.
        """
        mesh = self._mesh
        decided_after, degraded_ns = time.time(), time.monotonic_ns()
        mesh.impair(DIRECT, DEGRADATION)
        samples = [mesh.sample()]
        off_ns = best_ns = None
        path: tuple[str, ...] = ()
        known: Explanation | None = None
        while best_ns is None and time.monotonic_ns() < degraded_ns + _MOVE_S * NS_PER_S:
            time.sleep(_PAUSE_S)
            samples.append(mesh.sample())
            off_ns = left_ns(samples, BOTH_WAYS, degraded_ns, _WATCH_BPS / 2, _WINDOW_NS)
            path = _path_lately(samples) or path
            known = mesh.explain(SERVER, CLIENT)
            if off_ns and known.decided_at > decided_after and path == controllers_path(known):
                best_ns = samples[-1].at_ns
            working.update(long.line(path))
        reroute = Reroute(
            seconds_off=_since(degraded_ns, off_ns),
            seconds=_since(degraded_ns, best_ns),
            path_before=self.findings.reroute.path_before,
            path_after=path,
            reason=known.reason if known else "",
        )
        return reroute, degraded_ns, off_ns

    def _tell_reroute(self, found: Reroute) -> None:
        stage = self._stage
        if found.seconds_off is None:
            stage.say(f"traffic still takes the degraded path after {_MOVE_S:g} s", "red")
        else:
            stage.say(f"after {found.seconds_off:.2f} s no traffic used the degraded path any more", "green")
        if found.seconds is None:
            stage.say(f"it did not take a path the controller decided since, within {_MOVE_S:g} s", "red")
        else:
            stage.say(
                f"after {found.seconds:.2f} s it was where the controller wants it: {found.reason}", "green"
            )
        stage.say(f"the path, by the bytes on each link: {route(found.path_after)}")

    # 4

    def relay_dies(self, long: Long) -> None:
        mesh, stage, findings = self._mesh, self._stage, self.findings
        stage.chapter(4, "The relay dies")
        path = findings.reroute.path_after
        if len(path) < 3:
            raise LabError("no relay is in use that could be killed")
        with stage.working("the same download") as working:
            killed_ns = mesh.kill_host(path[1])
            stage.say(f"every process in {path[1]} was killed with SIGKILL")
            middle = self._watch(long, working, path, 1.0)
            end = self._watch(long, working, path, 4.0)
            path = path_taken(middle, end, SERVER, CLIENT)
            stretch = Stretch(killed_ns - _WINDOW_NS, time.monotonic_ns())
            self._tell_outage(stretch)
            stage.say(f"traffic goes on over {route(path)}")
            after = Stretch(killed_ns, time.monotonic_ns() - NS_PER_S // 2)
            findings.rows.append(Row("the relay is dead", path, self._met(long, after)))
            findings.paths.append(DrawnPath("after", path))
            deadline = time.monotonic() + 2 * _LONG_S
            while long.download.alive and time.monotonic() < deadline:
                self._watch(long, working, path, 0.5)
        long.probes.stop()
        long.counter_probes.stop()
        long.download.stop()
        self.findings.transfer = transfer_of(self._downloads)
        transfer = findings.transfer
        equal = "the file that was served" if transfer.sha256_equal else "NOT the file that was served"
        broken = f"{transfer.broken_connections} broken connections"
        stage.say(f"downloaded through the mesh: {transfer.bytes / 1e6:.0f} MB, {equal}, {broken}")

    def _tell_outage(self, stretch: Stretch) -> None:
        """Each end sends all the time; the outage is the longest time in which one heard nothing."""
        seen = [self._reflectors[node, "overlay"].update().seen.values() for node in (CLIENT, SERVER)]
        gaps = [longest_gap_ns(arrivals, stretch) for arrivals in seen]
        if None in gaps:
            self._stage.say("an end heard nothing at all", "red")
            return
        outage_ms = max(gap for gap in gaps if gap is not None) / NS_PER_MS
        self.findings.relay_kill = RelayKill(round(outage_ms, 1))
        self._stage.say(f"the longest time in which an end heard nothing: {outage_ms:.0f} ms", "green")

    # 5

    def agent_dies(self) -> None:
        mesh, stage = self._mesh, self._stage
        stage.chapter(5, f"The agent of {SERVER} dies")
        address = mesh.address(CLIENT, "overlay")
        words = (address, _PROBE_PORT, "--every-us", _DENSE_US, "--count", _DENSE_COUNT)
        before = mesh.sample()
        probes = mesh.start(SERVER, "probe", *words)
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
        self.findings.rows.append(Row("the agent is dead", path, Met(quality(record, every), None)))
        style = "red" if found.probes_lost else "green"
        stage.say(f"{found.probes_lost} of {found.probes_sent} probes were lost", style)

    # All chapters

    def _url(self, over: str, file: str) -> str:
        return f"http://{self._mesh.address(SERVER, over)}:{_WEB_PORT}/{file}"

    def _probes(self, over: str, source: str = SERVER, target: str = CLIENT) -> EndPoint:
        words = ("--every-us", _WATCH_US, "--bytes", _WATCH_BYTES)
        return self._mesh.start(source, "probe", self._mesh.address(target, over), _PROBE_PORT, *words)

    def _watch(self, long: Long, working: Working, path: tuple[str, ...], seconds: float) -> Sample:
        """Let the download go on for a while; answers the counters at the end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            working.update(long.line(path), _share(long))
            time.sleep(2 * _PAUSE_S)
        return self._mesh.sample()

    def _met(self, long: Long, stretch: Stretch) -> Met:
        return Met(quality(long.probes.record, stretch), goodput_mbps(long.download.record.progress, stretch))


def transfer_of(downloads: Sequence[tuple[Record, str]]) -> Transfer:
    """What became of downloads, each given with the SHA-256 of the file that was served."""
    ends = [(record.end, sha256) for record, sha256 in downloads]
    return Transfer(
        bytes=sum(end.total for end, _ in ends if end),
        sha256_equal=bool(ends) and all(end is not None and end.sha256 == sha256 for end, sha256 in ends),
        broken_connections=sum(end is None or end.code != 0 for end, _ in ends) if ends else None,
    )


def make_file(file: Path, size: int) -> str:
    """Write ``size`` bytes, no two blocks of which are alike; answers their SHA-256 in hex."""
    block = random.Random(size).randbytes(1 << 20)
    digest = hashlib.sha256()
    with file.open("wb") as output:
        for number in range(0, size, len(block)):
            part = (number.to_bytes(8, "big") + block[8:])[: size - number]
            digest.update(part)
            output.write(part)
    return digest.hexdigest()


def controllers_path(known: Explanation) -> tuple[str, ...] | None:
    """The path that the controller put first, from the source on; None where it was not the controller."""
    if known.decider != "controller":
        return None
    first = next((row.path for row in known.candidates if row.verdict == "primary"), None)
    return None if first is None else (SERVER, *first)


def _path_lately(samples: list[Sample]) -> tuple[str, ...]:
    """The path of the last window's bytes."""
    last = samples[-1]
    before = next((one for one in reversed(samples) if last.at_ns - one.at_ns >= _WINDOW_NS), None)
    return () if before is None else path_taken(before, last, SERVER, CLIENT)


def _of_download(record: Record) -> Stretch:
    """A download from the end of its slow start to its own end."""
    if not record.progress:
        return Stretch(0, 0)
    return Stretch(record.progress[0].at_ns + _SLOW_START_NS, record.progress[-1].at_ns)


def _last_second(now_ns: int) -> Stretch:
    return Stretch(now_ns - NS_PER_S, now_ns)


def _share(long: Long) -> float:
    progress = long.download.record.progress
    return progress[-1].total / long.bytes if progress else 0.0


def _since(start_ns: int, moment_ns: int | None) -> float | None:
    return None if moment_ns is None else round((moment_ns - start_ns) / NS_PER_S, 3)
