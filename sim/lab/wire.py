"""The client of a lab's link emulator: its configuration, and requests over its control socket. I/O.

Called by `runner` and `check`; the other end is `sim.emulator`.
"""

import json
import socket
import time
from pathlib import Path
from typing import Any, cast

from sim.lab.errors import LabError
from sim.lab.impair import Settings


def configuration(seed: int, ways: list[tuple[str, str, str, Settings]]) -> str:
    """The emulator's JSON configuration of ways, each a name, the interface it starts from, the one it ends
    at, settings.
    """
    directions = [
        {"name": name, "from": start, "to": end, "settings": settings.as_document()}
        for name, start, end, settings in ways
    ]
    return json.dumps({"seed": seed, "directions": directions}, indent=1)


def wait_ready(control: Path, timeout_s: float) -> bool:
    """Whether the emulator answers within a time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            return _ask(control, {"op": "ping"}) == {"ok": True}
        except OSError:
            time.sleep(0.02)
    return False


def set_way(control: Path, way: str, settings: Settings) -> None:
    """Change one direction while it runs. Raises :class:`LabError`."""
    _request(control, {"op": "set", "way": way, "settings": settings.as_document()})


def counters(control: Path) -> dict[str, dict[str, int]]:
    """What each direction did, by name; see ``LinkCounters`` of the engine for the keys. Raises
    :class:`LabError`.
    """
    return cast("dict[str, dict[str, int]]", _request(control, {"op": "counters"})["counters"])


def _request(control: Path, request: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = _ask(control, request)
    except OSError as error:
        raise LabError(
            f"the link emulator at {control} does not answer: {error.strerror or error}"
        ) from error
    if not answer.get("ok"):
        raise LabError(f"link emulator: {answer.get('problem')}")
    return answer


def _ask(control: Path, request: dict[str, Any]) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5.0)
        client.connect(str(control))
        client.sendall(json.dumps(request).encode() + b"\n")
        line = client.makefile("rb").readline()
    if not line:
        raise ConnectionResetError("it closed the connection")
    return cast("dict[str, Any]", json.loads(line))
