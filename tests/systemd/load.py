"""Traffic of known sequence between two hosts; runs in a container on Debian's own Python, so it stands
alone.

``receive PORT``, ``send ADDRESS PORT RATE``, ``serve PORT``, ``talk ADDRESS PORT`` and ``watch`` go on until
SIGTERM and then print what they saw as JSON. Clocks are CLOCK_MONOTONIC, which containers of one machine
share. Called by `tests.systemd`. I/O.
"""

import json
import select
import signal
import socket
import sys
import time

GAP_TOLD_S = 0.02
AGENT_SOCKET = "/run/overlayd/overlayd.sock"
ASKED_EVERY_S = 0.2


class Ended(Exception):
    pass


def end(*_: object) -> None:
    raise Ended


def receive(port: int) -> None:
    """Count numbered datagrams: how many came, how many did not, and every silence of more than 20 ms."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("", port))
    first = last = 0
    first = last = 0
    seen: set[int] = set()
    gaps: list[tuple[float, float]] = []
    before = 0.0
    try:
        while True:
            number = int.from_bytes(sock.recv(2048)[:8], "big")
            now = time.monotonic()
            if not seen:
                first, before = number, now
            seen.add(number)
            last = max(last, number)
            if now - before > GAP_TOLD_S:
                gaps.append((before, now))
            before = now
    except Ended:
        lost = last - first + 1 - len(seen) if seen else 0
        print(json.dumps({"received": len(seen), "lost": lost, "gaps": gaps, "last": before}))


def send(address: str, port: int, rate: int, count: int) -> None:
    """Send ``count`` (0: without end) numbered datagrams of 200 bytes, ``rate`` a second, evenly."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    start, number = time.monotonic(), 0
    padding = bytes(192)
    refused = 0
    try:
        while not count or number < count:
            due = start + number / rate
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            try:
                sock.sendto(number.to_bytes(8, "big") + padding, (address, port))
            except OSError:
                refused += 1  # the interface is gone: as lost as any
            number += 1
    except Ended:
        pass
    print(json.dumps({"sent": number, "refused": refused}))


def serve(port: int) -> None:
    """Echo on TCP."""
    listening = socket.create_server(("", port))
    peers: list[socket.socket] = []
    try:
        while True:
            for sock in select.select([listening, *peers], [], [])[0]:
                if sock is listening:
                    peers.append(listening.accept()[0])
                elif data := sock.recv(65536):
                    sock.sendall(data)
                else:
                    peers.remove(sock)
    except Ended:
        return


def talk(address: str, port: int) -> None:
    """One TCP connection that says something 50 times a second: how often it was echoed, did it break."""
    sock = socket.create_connection((address, port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(30)
    echoes, broke, longest_s = 0, "", 0.0
    try:
        while True:
            asked = time.monotonic()
            sock.sendall(echoes.to_bytes(8, "big"))
            answer = b""
            while len(answer) < 8:
                answer += sock.recv(8 - len(answer)) or b"\xff" * 8
            if int.from_bytes(answer[:8], "big") != echoes:
                broke = "another answer than was expected"
                break
            longest_s = max(longest_s, time.monotonic() - asked)
            echoes += 1
            time.sleep(0.02)
    except OSError as error:
        broke = str(error)
    except Ended:
        pass
    print(json.dumps({"echoes": echoes, "broke": broke, "longest_s": round(longest_s, 3)}))


def watch() -> None:
    """Ask the agent five times a second what `overlayctl status` shows; print each answer that differs from
    the one before: when, what is degraded, and each peer's data plane.
    """
    seen: list[dict[str, object]] = []
    said: object = None
    try:
        while True:
            at = time.monotonic()
            answer = _status()
            if answer != said:
                seen.append({"at": at, **answer})
                said = answer
            time.sleep(ASKED_EVERY_S)
    except Ended:
        print(json.dumps(seen))


def _status() -> dict[str, object]:
    request = json.dumps({"verb": "status", "arguments": {}, "protocol": 1}).encode()
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(AGENT_SOCKET)
            sock.sendall(len(request).to_bytes(4, "big") + request)
            with sock.makefile("rb") as stream:
                status = json.loads(stream.read(int.from_bytes(stream.read(4), "big")))["result"]
    except (OSError, ValueError):
        return {"degraded": ["no agent answers"], "peers": {}}
    return {
        "degraded": status["degraded"],
        "peers": {peer["node"]: peer["data_plane"] for peer in status["peers"]},
    }


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    what, *words = sys.argv[1:]
    match what:
        case "receive":
            receive(int(words[0]))
        case "send":
            send(words[0], int(words[1]), int(words[2]), int(words[3]) if len(words) > 3 else 0)
        case "serve":
            serve(int(words[0]))
        case "watch":
            watch()
        case _:
            talk(words[0], int(words[1]))
