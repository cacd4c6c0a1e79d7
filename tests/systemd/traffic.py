"""Datagrams from oslo to rome while something happens to a host, and what `status` says meanwhile.

``lost`` are those that never came, ``silence_s`` is the longest time without one. ``told`` is what the host
concerned says of itself; ``claimed_s``, for how long of the silence the sender's host called the other end
alive. Called by the trials. I/O: hosts.
"""

import re
import time
from collections.abc import Callable
from typing import Any

from tests.systemd.machines import Machine

RATE = 1000
PORT = 5001
SETTLE_S = 2.0
CLAIMED_S = 1.0
"""What is dead is not called alive for longer than that."""
ADDRESS_OF = "ip -4 -o address show overlay0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/'"

Report = dict[str, Any]
Act = Callable[[], object]


def during(hosts: dict[str, Machine], act: Act, watch_s: float, concerned: Machine | None = None) -> Report:
    """Send, act, watch for ``watch_s``; then wait for as long as a minute until all is well again."""
    oslo, rome = hosts["oslo"], hosts["rome"]
    concerned = concerned or rome
    receiver = rome.spawn(f"python3 load.py receive {PORT}")
    watchers = {machine: machine.spawn("python3 load.py watch") for machine in {oslo, concerned}}
    sender = oslo.spawn(f"python3 load.py send {overlay(rome)} {PORT} {RATE}")
    time.sleep(SETTLE_S)
    begun = time.monotonic()
    act()
    time.sleep(max(0.0, watch_s - (time.monotonic() - begun)))
    sent = oslo.end("load.py send", sender)
    ended = time.monotonic()
    time.sleep(0.5)
    came = rome.end("load.py receive", receiver)
    said = {machine: machine.end("load.py watch", client) for machine, client in watchers.items()}
    gaps = [(start, end) for start, end in came["gaps"] if end > begun]
    if ended - came["last"] > CLAIMED_S:
        gaps.append((came["last"], ended))
    return {
        "sent": sent["sent"],
        "lost": sent["sent"] - came["received"],
        "silence_s": round(max((end - start for start, end in gaps), default=0.0), 3),
        "told": _told(said[concerned], begun),
        "claimed_s": round(_claimed(said[oslo], rome.name, gaps), 2),
    }


def well_again(hosts: dict[str, Machine], timeout_s: float = 60.0) -> bool:
    """Whether all hosts are whole, by themselves."""
    return all(
        "is whole" in machine.shell(f"overlayctl wait --for whole --timeout {timeout_s:g}s", check=False)
        for machine in hosts.values()
    )


def _told(answers: list[Report], since: float) -> list[str]:
    """What was said from ``since`` on, in its order; what differs by a number alone is said once."""
    told: dict[str, str] = {}
    for answer, replaced in zip(answers, _replaced(answers), strict=True):
        for problem in answer["degraded"] if replaced > since else ():
            told.setdefault(re.sub(r"\d+", "", problem), problem)
    return list(told.values())


def _claimed(answers: list[Report], peer: str, gaps: list[tuple[float, float]]) -> float:
    """The longest time within one of ``gaps`` in which ``answers`` called ``peer`` alive."""
    longest = 0.0
    for answer, replaced in zip(answers, _replaced(answers), strict=True):
        if answer["peers"].get(peer) == "alive":
            for start, end in gaps:
                longest = max(longest, min(end, replaced) - max(start, answer["at"]))
    return longest


def _replaced(answers: list[Report]) -> list[float]:
    """When each answer was replaced by the next one: only what differs is noted."""
    return [*(answer["at"] for answer in answers[1:]), float("inf")]


def main_pid(machine: Machine, unit: str) -> str:
    return machine.shell(f"systemctl show --value -p MainPID {unit}").strip()


def overlay(machine: Machine) -> str:
    """Its IPv4 address in the overlay."""
    return machine.shell(ADDRESS_OF).strip()
