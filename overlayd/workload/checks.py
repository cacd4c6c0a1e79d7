"""Carrying out one probe: a request, a connection or a command. I/O.

An HTTP probe is one GET by hand: its status line is all that counts. Certificates are not verified, as with
Kubernetes: the program proves that it answers, not who it is.
"""

import asyncio
import contextlib
import os
import ssl
from typing import Protocol

from overlayd.protocol.pod import HttpGet
from overlayd.workload.environment import port_of
from overlayd.workload.messages import Look, Probed, RunId

_LONGEST_STATUS = 1024
_SHOWN = 200


class Executes(Protocol):
    """What runs a command where a run is."""

    async def execute(
        self, id: RunId, attempt: int, command: tuple[str, ...], timeout_s: float
    ) -> tuple[int, str]: ...


async def look(command: Look, runtime: Executes) -> Probed:
    """Carry out a probe, and say what came of it."""
    probe = command.probe
    timeout_s = max(1, probe.timeout_seconds)
    ok, message = False, ""
    try:
        async with asyncio.timeout(timeout_s):
            if probe.http_get is not None:
                port = port_of(command.container, probe.http_get.port)
                ok, message = await _http(command.address, port, probe.http_get)
            elif probe.tcp_socket is not None:
                port = port_of(command.container, probe.tcp_socket.port)
                _, writer = await asyncio.open_connection(command.address, port)
                writer.transport.abort()
                ok = True
            elif probe.exec is not None:
                code, said = await runtime.execute(command.id, command.attempt, probe.exec.command, timeout_s)
                ok, message = code == 0, f"exit {code}: {said.strip()[-_SHOWN:]}"
            else:
                message = "the probe says nothing to do"
    except TimeoutError:
        message = f"no answer within {timeout_s} s"
    except OSError as error:
        message = os.strerror(error.errno) if error.errno else str(error)
    except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        message = str(error)
    return Probed(command.id, command.attempt, command.kind, ok, "" if ok else message)


async def _http(address: str, port: int, wanted: HttpGet) -> tuple[bool, str]:
    context = None
    if wanted.scheme == "HTTPS":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(address, port, ssl=context, limit=_LONGEST_STATUS)
    try:
        host = f"[{address}]" if ":" in address else address
        path = wanted.path if wanted.path.startswith("/") else f"/{wanted.path}"
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: overlayd-probe\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode()
        )
        status = await reader.readuntil(b"\n")
    finally:
        with contextlib.suppress(OSError):
            writer.transport.abort()
    words = status.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return False, f"not HTTP: {status[:_SHOWN]!r}"
    return 200 <= int(words[1]) < 400, f"HTTP {words[1].decode()}"
