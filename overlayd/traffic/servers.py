"""The servers of a route in HAProxy, as slots that are filled, weighted and emptied while it runs. Pure.

What there is comes from HAProxy itself (``show servers state``), what is wanted from the steering; between
them stand commands of its runtime API. New instances come in before others leave. A slot is never deleted:
HAProxy 2.6 can crash on ``del server`` (adr/0042). An emptied one serves what it has and waits for the next.
Called by `haproxy`.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from overlayd.protocol.steering import MOST_WEIGHT, Target

SLOTS = 8
"""Of a route, in the configuration; more are added while HAProxy runs."""
BACKUP_SLOTS = 4
"""Of a route: all that there are. HAProxy uses the first that is up."""
WAKER = "waker"
"""The last resort of each route: holds what nobody can serve yet (`waker`)."""
NOWHERE = ("192.0.2.1", 9)
"""Where an empty slot points to (RFC 5737)."""
_IN_MAINTENANCE = 0x01
_RUNNING = 2


@dataclass(frozen=True, slots=True)
class Server:
    """A slot. ``idle_s``: seconds since its state changed."""

    name: str
    address: str
    port: int
    weight: int
    empty: bool
    up: bool = True
    idle_s: int = 0

    @property
    def backup(self) -> bool:
        return self.name.startswith("b")

    @property
    def endpoint(self) -> tuple[str, int]:
        return self.address, self.port


def parse_state(answer: str) -> dict[str, list[Server]]:
    """Read ``show servers state``: the slots of each proxy, in their order, without the waker."""
    rows = (line.split() for line in answer.splitlines() if not line.startswith("#"))
    found: dict[str, list[Server]] = {}
    for row in rows:
        if len(row) < 19 or row[3] == WAKER:
            continue
        found.setdefault(row[1], []).append(
            Server(
                name=row[3],
                address=row[4],
                port=int(row[18]),
                weight=int(row[7]),
                empty=bool(int(row[6]) & _IN_MAINTENANCE),
                up=int(row[5]) == _RUNNING,
                idle_s=int(row[9]),
            )
        )
    return found


def filled(targets: Iterable[Target]) -> list[Server]:
    """Return slots that hold ``targets``, for a configuration: the live ones first, then empty ones."""
    primaries: list[Server] = []
    backups: list[Server] = []
    for target in _distinct(targets):
        slots, letter = (backups, "b") if target.backup else (primaries, "s")
        slots.append(
            Server(f"{letter}{len(slots) + 1}", *_endpoint(target), weight=_weight(target), empty=False)
        )
    del backups[BACKUP_SLOTS:]
    for slots, letter, count in ((primaries, "s", SLOTS), (backups, "b", BACKUP_SLOTS)):
        slots += (
            Server(f"{letter}{number}", *NOWHERE, weight=1, empty=True)
            for number in range(len(slots) + 1, count + 1)
        )
    return primaries + backups


def commands(proxy: str, slots: Sequence[Server], targets: Iterable[Target], options: str) -> list[str]:
    """Return what to tell HAProxy so that ``slots`` hold ``targets``. Nothing if they do.

    ``options`` are those of a server that has to be added. Backups beyond their slots are left out.
    """
    wanted = {(target.backup, _endpoint(target)): target for target in _distinct(targets)}
    held = {(slot.backup, slot.endpoint): slot for slot in slots if not slot.empty}
    free = sorted((slot for slot in slots if slot.empty), key=lambda slot: -slot.idle_s)
    said: list[str] = []
    added = sum(not slot.backup for slot in slots)
    for key, target in wanted.items():
        slot = held.get(key)
        if slot is not None:
            if slot.weight != _weight(target):
                said.append(f"set server {proxy}/{slot.name} weight {_weight(target)}")
            continue
        address, port = _endpoint(target)
        slot = _take(free, target.backup, (address, port))
        if slot is not None:
            where = f"{proxy}/{slot.name}"
            said.append(f"set server {where} addr {address} port {port}")
            said.append(f"set server {where} weight {_weight(target)}")
            said.append(f"set server {where} state ready")
        elif not target.backup:
            added += 1
            where = f"{proxy}/s{added}"
            said.append(f"add server {where} {host_port(address, port)} {options} weight {_weight(target)}")
            said.append(f"enable health {where}")
            said.append(f"set server {where} state ready")
    said += (f"set server {proxy}/{slot.name} state maint" for key, slot in held.items() if key not in wanted)
    return said


def of_endpoints(slots: Mapping[str, Sequence[Server]], proxy: str) -> dict[tuple[str, int], Server]:
    """Return the filled slots of ``proxy`` by where they point to."""
    return {slot.endpoint: slot for slot in slots.get(proxy, ()) if not slot.empty}


def host_port(address: str, port: int) -> str:
    """``10.0.0.1:80`` or ``[fd00::1]:80``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _take(free: list[Server], backup: bool, endpoint: tuple[str, int]) -> Server | None:
    """Take the slot that held ``endpoint`` before, else the one that is empty for longest."""
    fitting = [slot for slot in free if slot.backup == backup]
    chosen = next((slot for slot in fitting if slot.endpoint == endpoint), next(iter(fitting), None))
    if chosen is not None:
        free.remove(chosen)
    return chosen


def _distinct(targets: Iterable[Target]) -> list[Target]:
    """One target for each endpoint; the order says who of several backups comes first."""
    found: dict[tuple[str, int], Target] = {}
    for target in sorted(targets, key=lambda one: (one.backup, -one.weight, one.name)):
        found.setdefault(_endpoint(target), target)
    return list(found.values())


def _endpoint(target: Target) -> tuple[str, int]:
    return str(ipaddress.ip_address(target.address)), target.port


def _weight(target: Target) -> int:
    return max(0, min(MOST_WEIGHT, target.weight))
