"""Amounts as manifests write them: Kubernetes' quantities (``500m``, ``256Mi``), times (``1h30m``), and
what of a host they come to. Pure.

Source: apimachinery's ``resource.ParseQuantity`` and Go's ``time.ParseDuration``, without signs: nothing
here may be below zero.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import TypeAlias

Quantity: TypeAlias = str | int
"""As in JSON: a number without a unit may be one."""

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_QUANTITY = re.compile(
    r"\+?(?P<number>\d+\.?\d*|\.\d+)(?P<unit>[KMGTPE]i|[numkMGTPE]?|[eE][+-]?\d{1,3})", re.ASCII
)
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)", re.ASCII)
_SECONDS = {
    "ns": Fraction(1, 10**9), "us": Fraction(1, 10**6), "µs": Fraction(1, 10**6), "ms": Fraction(1, 1000),
    "s": Fraction(1), "m": Fraction(60), "h": Fraction(3600),
}  # fmt: skip
LONGEST = 32
"""Characters of a quantity or a time."""

CPU = "cpu"
MEMORY = "memory"
DISK = "ephemeral-storage"
MBPS = "overlayd.io/mbps"
DEVICES = "devices.overlayd.io/"
"""What resources of a pod are called; a device is that prefix and its name."""


def quantity(value: Quantity) -> Fraction:
    """Return a quantity as a number of its unit: ``500m`` is 1/2. Raises :class:`ValueError`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Fraction(value)
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) and len(value) <= LONGEST else None
    if found is None:
        raise ValueError(f"{value!r} is no quantity: write 2, 500m, 0.5, 256Mi or 1.5G")
    number, unit = Fraction(found["number"].rstrip(".") or "0"), found["unit"]
    if unit in _BINARY:
        return number * 1024 ** _BINARY[unit]
    exponent = _DECIMAL[unit] if unit in _DECIMAL else int(unit[1:])
    return number * Fraction(10) ** exponent


def seconds(text: str) -> float:
    """Return a time in seconds: ``1h30m`` is 5400. Raises :class:`ValueError`."""
    parts = list(_PART.finditer(text)) if len(text) <= LONGEST else []
    if not parts or "".join(part[0] for part in parts) != text:
        raise ValueError(f"{text!r} is no time: write 500ms, 90s, 10m or 1h30m")
    return float(
        sum(Fraction(number.rstrip(".")) * _SECONDS[unit] for number, unit in (p.groups() for p in parts))
    )


@dataclass(frozen=True, slots=True)
class Amounts:
    """What something takes or has of a host: thousandths of a processor, bytes, Mbit/s, devices by name."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    mbps: float = 0.0
    devices: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __add__(self, other: "Amounts") -> "Amounts":
        devices = {
            name: self.devices.get(name, 0) + other.devices.get(name, 0)
            for name in sorted({*self.devices, *other.devices})
        }
        return Amounts(
            self.cpu_milli + other.cpu_milli,
            self.memory_bytes + other.memory_bytes,
            self.disk_bytes + other.disk_bytes,
            self.mbps + other.mbps,
            devices,
        )


NOTHING = Amounts()


def amounts(resources: Mapping[str, Quantity]) -> Amounts:
    """Return the resources of a pod's container in units, parts of one rounded up. Raises
    :class:`ValueError`.

    Names that are not ours count nothing, as on a host that does not know them.
    """
    return Amounts(
        math.ceil(quantity(resources.get(CPU, 0)) * 1000),
        math.ceil(quantity(resources.get(MEMORY, 0))),
        math.ceil(quantity(resources.get(DISK, 0))),
        float(quantity(resources.get(MBPS, 0))),
        {
            name.removeprefix(DEVICES): math.ceil(quantity(value))
            for name, value in sorted(resources.items())
            if name.startswith(DEVICES)
        },
    )
