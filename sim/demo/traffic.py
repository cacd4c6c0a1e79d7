"""The demo's traffic between two hosts: a web server, downloads, probes beside them. I/O; called by `story`.

What lives here starts `endpoints` on the hosts and reads what they write; when things happen, and what is
made of it, is `story`'s.
"""

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.demo.measure import NS_PER_MS, NS_PER_S, Stretch, goodput_mbps, longest_gap_ns, quality
from sim.demo.mesh import EndPoint, Mesh
from sim.demo.records import Record
from sim.demo.stage import Stage
from sim.demo.summary import Transfer
from sim.demo.table import Met

WATCH_US, WATCH_BYTES = 5000, 600
WATCH_BPS = 8 * WATCH_BYTES * 1e6 / WATCH_US
"""The probes that watch a path are traffic that never pauses: a way with less than theirs carries none."""

_WEB_PORT, _PROBE_PORT = 8080, 8081
_SHORT_BYTES = 50_000_000
_LEAST_BYTES, _MOST_BYTES = 20_000_000, 450_000_000
_SLOW_START_NS = NS_PER_S
_UNDER_WAY_NS = NS_PER_S // 2  # what was sent this lately may still arrive
_PAUSE_S = 0.1


@dataclass(slots=True)
class Long:
    """A download that goes on while other things happen, and probes beside it from both ends."""

    download: EndPoint
    probes: EndPoint
    counter_probes: EndPoint
    size: int

    @property
    def share(self) -> float:
        """How much of the file has come, 0..1."""
        progress = self.download.record.progress
        return progress[-1].total / self.size if progress else 0.0

    def line(self) -> str:
        """How it stands, in words."""
        got, probed = self.download.update(), self.probes.update()
        if not got.progress or not probed.echoes:
            return "it begins"
        now = got.progress[-1]
        rate = goodput_mbps(got.progress, Stretch(now.at_ns - NS_PER_S, now.at_ns))
        rtt_ms = probed.echoes[max(probed.echoes)].rtt_ns / NS_PER_MS
        return f"{now.total / 1e6:.0f} MB, {rate or 0:.1f} Mbit/s, RTT {rtt_ms:.0f} ms"

    def met(self, start_ns: int, end_ns: int | None = None) -> Met:
        """What it met from one moment to another; None: till now, or till it ended."""
        got, probed = self.download.update(), self.probes.update()
        last_ns = got.progress[-1].at_ns if got.end and got.progress else time.monotonic_ns()
        stretch = Stretch(start_ns, min(end_ns or last_ns, time.monotonic_ns() - _UNDER_WAY_NS))
        return Met(quality(probed, stretch), goodput_mbps(got.progress, stretch))

    def stop(self) -> None:
        for end_point in (self.probes, self.counter_probes, self.download):
            end_point.stop()


class Traffic:
    """From a server to a client, in the mesh (``overlay``) and outside it (``underlay``)."""

    def __init__(self, mesh: Mesh, stage: Stage, folder: Path, server: str, client: str) -> None:
        self._mesh = mesh
        self._stage = stage
        self._folder = folder
        self._server = server
        self._client = client
        self._reflectors: dict[tuple[str, str], EndPoint] = {}
        self._short_sha256 = make_file(folder / "short.bin", _SHORT_BYTES)
        self._downloads: list[tuple[Record, str]] = []

    def serve(self) -> None:
        """Start what answers: the web server, and reflectors of probes at both ends."""
        self._mesh.serve(self._server, self._folder, _WEB_PORT)
        for place in ((self._client, "underlay"), (self._client, "overlay"), (self._server, "overlay")):
            self._reflectors[place] = self._mesh.start(
                place[0], "reflect", self._mesh.address(*place), _PROBE_PORT
            )

    def transfer(self, over: str, where: str, limit_s: float | None = None) -> Met:
        """One download of the short file with probes beside it, measured from the end of its slow start."""
        probes = self._probes(over, self._server, self._client)
        words = ("--for", limit_s) if limit_s else ()
        download = self._mesh.start(self._client, "download", self._url(over, "short.bin"), *words)
        if over == "overlay":
            self._downloads.append((download.record, self._short_sha256))
        began = time.monotonic()
        with self._stage.working(f"download {where}") as working:
            while download.alive:
                progress = download.update().progress
                total = progress[-1].total if progress else 0
                share = (time.monotonic() - began) / limit_s if limit_s else total / _SHORT_BYTES
                working.update(f"{total / 1e6:.1f} MB {where}", share)
                time.sleep(_PAUSE_S)
        progress = download.stop().progress
        stretch = (
            Stretch(progress[0].at_ns + _SLOW_START_NS, progress[-1].at_ns) if progress else Stretch(0, 0)
        )
        met = Met(quality(probes.stop(), stretch), goodput_mbps(progress, stretch))
        rate = "not measured" if met.goodput_mbps is None else f"{met.goodput_mbps:.2f} Mbit/s"
        self._stage.say(f"{where}: {rate}, RTT {met.quality.rtt_p50_ms or 0:.1f} ms while it ran")
        return met

    def begin(self, seconds: float, rate_mbps: float) -> Long:
        """Begin a download through the mesh that takes so long at such a rate."""
        size = int(min(max(rate_mbps * 1e6 / 8 * seconds, _LEAST_BYTES), _MOST_BYTES))
        name = f"long-{len(self._downloads)}.bin"
        sha256 = make_file(self._folder / name, size)
        download = self._mesh.start(self._client, "download", self._url("overlay", name))
        self._downloads.append((download.record, sha256))
        there = self._probes("overlay", self._server, self._client)
        back = self._probes("overlay", self._client, self._server)
        return Long(download, there, back, size)

    def dense_probes(self, count: int, interval_us: int) -> EndPoint:
        """A burst of probes through the mesh, from the server's host."""
        address = self._mesh.address(self._client, "overlay")
        words = ("--every-us", interval_us, "--count", count)
        return self._mesh.start(self._server, "probe", address, _PROBE_PORT, *words)

    def longest_silence_ns(self, stretch: Stretch) -> int | None:
        """The longest time in which an end of a long download heard no probe of the other; None: one never
        did.

        Both ends send all the time. An echo would not do: it only exists once the way there works again.
        """
        ends = [self._reflectors[node, "overlay"] for node in (self._client, self._server)]
        gaps = [longest_gap_ns(end.update().seen.values(), stretch) for end in ends]
        known = [gap for gap in gaps if gap is not None]
        return max(known) if len(known) == len(gaps) else None

    def told(self) -> Transfer:
        """What became of all downloads through the mesh that were begun."""
        return transfer_of(self._downloads)

    def wait(self, long: Long, update: Callable[[str, float], None], seconds: float) -> None:
        """Let a download go on until it ends, but no longer than so many seconds."""
        deadline = time.monotonic() + seconds
        while long.download.alive and time.monotonic() < deadline:
            update(long.line(), long.share)
            time.sleep(_PAUSE_S)

    def _url(self, over: str, file: str) -> str:
        return f"http://{self._mesh.address(self._server, over)}:{_WEB_PORT}/{file}"

    def _probes(self, over: str, source: str, target: str) -> EndPoint:
        words = ("--every-us", WATCH_US, "--bytes", WATCH_BYTES)
        return self._mesh.start(source, "probe", self._mesh.address(target, over), _PROBE_PORT, *words)


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
