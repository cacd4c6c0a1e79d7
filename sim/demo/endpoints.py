"""The programs at the ends of the demo's traffic: a prober, the reflector of its probes, a web server, a
watched curl.

Each runs in the namespace of its host, knows nothing of the mesh, and writes what it sees to stdout in the
lines of `sim.demo.records`. Started by `sim.demo.story` as ``python -m sim.demo.endpoints``. I/O.
"""

import argparse
import functools
import hashlib
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

_PROBE = struct.Struct(">QQQ")  # number, sent, arrived at the far end; ns
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_BUFFER_BYTES = 8 << 20  # a second of probes: none is lost for want of this program's turn on a processor
_LAST_ANSWERS_S = 1.0
_PROGRESS_NS = 20_000_000
_CHUNK = 1 << 16


class _CubicServer(ThreadingHTTPServer):
    """Sends by cubic, whatever the host's default; its socket says so, as a namespace may not choose."""

    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        super().server_bind()


def main() -> int:
    parser = argparse.ArgumentParser(prog="sim.demo.endpoints")
    programs = parser.add_subparsers(dest="program", required=True)
    reflector = programs.add_parser("reflect", help="send every probe back")
    prober = programs.add_parser("probe", help="send probes, take them back; stops on SIGTERM")
    for program in (reflector, prober):
        program.add_argument("address")
        program.add_argument("port", type=int)
    prober.add_argument("--every-us", type=int, required=True)
    prober.add_argument("--bytes", type=int, default=_PROBE.size, help="payload of each probe")
    prober.add_argument("--count", type=int, default=sys.maxsize)
    server = programs.add_parser("serve", help="Python's own web server, over TCP with cubic")
    server.add_argument("folder")
    server.add_argument("port", type=int)
    download = programs.add_parser("download", help="run curl, count and hash what it gets")
    download.add_argument("url")
    download.add_argument("--for", dest="limit_s", type=float, help="stop it after so many seconds")
    arguments = parser.parse_args()
    match arguments.program:
        case "reflect":
            reflect(arguments.address, arguments.port)
        case "probe":
            probe(
                arguments.address, arguments.port, arguments.every_us * 1000, arguments.bytes, arguments.count
            )
        case "serve":
            serve(arguments.folder, arguments.port)
        case _:
            fetch(arguments.url, arguments.limit_s)
    return 0


def reflect(address: str, port: int) -> None:
    """Send every probe back with the moment it arrived, until the process is ended."""
    with _udp(address) as sock:
        sock.bind((address, port))
        while True:
            datagram, sender = sock.recvfrom(_CHUNK)
            arrived_ns = time.monotonic_ns()
            number, sent_ns, _ = _PROBE.unpack_from(datagram)
            with suppress(OSError):  # no way back for a moment: the probe counts as lost
                sock.sendto(_PROBE.pack(number, sent_ns, arrived_ns) + datagram[_PROBE.size :], sender)
            _tell("seen", number, sent_ns, arrived_ns)


def probe(address: str, port: int, interval_ns: int, size: int, count: int) -> None:
    """Send ``count`` probes, one every ``interval_ns``, and take them back; SIGTERM ends the sending.

    A probe that is late because this program was is sent at once: the number of probes is kept.
    """
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    padding = bytes(max(0, size - _PROBE.size))
    with _udp(address) as sock:
        sock.connect((address, port))
        start_ns = time.monotonic_ns()
        number = 0
        while number < count and not stopped:
            wait_ns = start_ns + number * interval_ns - time.monotonic_ns()
            if wait_ns > 0:
                _take_back(sock, wait_ns / 1e9)
                continue
            sent_ns = time.monotonic_ns()
            with suppress(OSError):  # no way there for a moment: the probe counts as lost
                sock.send(_PROBE.pack(number, sent_ns, 0) + padding)
            _tell("sent", number, sent_ns)
            number += 1
        end = time.monotonic() + _LAST_ANSWERS_S
        while (left_s := end - time.monotonic()) > 0:
            _take_back(sock, left_s)


def serve(folder: str, port: int) -> None:
    """Serve files by HTTP at all addresses until the process is ended."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    with _CubicServer(("0.0.0.0", port), handler) as server:
        server.serve_forever()


def fetch(url: str, limit_s: float | None) -> None:
    """Download with curl; tell progress, and at the end the exit code, the bytes and their hash."""
    digest = hashlib.sha256()
    total, told_ns = 0, 0
    command = ["curl", "--silent", "--show-error", "--fail", "--no-buffer", url]
    if limit_s:
        command += ["--max-time", str(limit_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as curl:
        if curl.stdout is None:
            raise RuntimeError("curl was started without a pipe")
        while chunk := curl.stdout.read(_CHUNK):
            now_ns = time.monotonic_ns()
            digest.update(chunk)
            total += len(chunk)
            if now_ns - told_ns >= _PROGRESS_NS:
                _tell("got", now_ns, total)
                told_ns = now_ns
        _tell("got", time.monotonic_ns(), total)
    _tell("end", curl.returncode, total, digest.hexdigest())


def _take_back(sock: socket.socket, wait_s: float) -> None:
    """Wait for one answer, for so long."""
    sock.settimeout(wait_s)
    try:
        datagram = sock.recv(_CHUNK)
    except OSError:
        return  # none in time, or an ICMP error about an earlier one
    returned_ns = time.monotonic_ns()
    _tell("echo", *_PROBE.unpack_from(datagram), returned_ns)


def _udp(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    with suppress(OSError):  # without the privilege: what the kernel grants
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    return sock


def _tell(*words: object) -> None:
    print(*words, flush=True)


if __name__ == "__main__":
    sys.exit(main())
