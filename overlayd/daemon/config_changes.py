"""What differs between two configurations, and which of it needs no restart. Pure.

The one list of what can change while packets flow: the published schema (`x-reloadable`), a reload and a
trial all read it. Called by `overlayd.daemon.reload`, `overlayd.daemon.configuring` and `tools.schemas`.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import fields, replace

from overlayd.daemon.config import ClassifySection, Configuration, UplinkSection, WorkloadSection

RELOADABLE = frozenset(
    {
        "node.name",
        "engine.mtu",
        "uplink.endpoint",
        "uplink.rate",
        "uplink.mtu",
        "agent.announce",
        "agent.lan_discovery",
        "agent.join_token_file",
        "agent.reconnect_spread",
        "metrics.listen",
        "log.level",
        "log.format",
        *(f"classify.{field.encode_name}" for field in fields(ClassifySection)),
    }
)
"""Keys that change without a packet lost. ``uplink.rate`` does as long as there is one: whether an uplink has
a rate decides on the number of shards.
"""
UNTRIED = frozenset({"node.state_dir", "node.runtime_dir"})
"""Keys that cannot be tried: they say where engine and agent look for a trial, and meet."""


@dataclass(frozen=True, slots=True)
class Change:
    """``key`` as in ``uplink[0].rate``; values as in the file, None: not set. ``live``: without a restart."""

    key: str
    before: Any
    after: Any
    live: bool


def changes(before: Configuration, after: Configuration) -> tuple[Change, ...]:
    """Return what differs, in the order of the file's sections."""
    found: list[Change] = []
    for section in fields(Configuration):
        if section.name == "uplink":
            found += _uplinks(before, after)
            continue
        old, new = getattr(before, section.name), getattr(after, section.name)
        if section.name == "classify":
            if old != new:
                found.append(Change("classify", _shown(old), _shown(new), live=True))
            continue
        if section.name == "workload":
            old, new = old or WorkloadSection(), new or WorkloadSection()
        found += _keys(section.name, f"{section.name}.", old, new)
    return tuple(found)


def in_force(now: Configuration, wanted: Configuration) -> Configuration:
    """Return ``now`` with what of ``wanted`` needs no restart."""
    sections: dict[str, Any] = {}
    for section in fields(Configuration):
        old, new = getattr(now, section.name), getattr(wanted, section.name)
        if section.name == "classify":
            sections["classify"] = new
        elif section.name == "workload":
            sections["workload"] = old  # of a process of its own, which reads it when it starts
        elif section.name != "uplink":
            sections[section.name] = _with_live(section.name, old, new)
        elif _same_sockets(now, wanted):
            sections["uplink"] = tuple(_with_live("uplink", *pair) for pair in zip(old, new, strict=True))
    return replace(now, **sections)


def _uplinks(before: Configuration, after: Configuration) -> list[Change]:
    found: list[Change] = []
    for place in range(max(len(before.uplink), len(after.uplink))):
        old = before.uplink[place] if place < len(before.uplink) else None
        new = after.uplink[place] if place < len(after.uplink) else None
        if old is None or new is None:
            found.append(Change(f"uplink[{place}]", _shown(old), _shown(new), live=False))
            continue
        found += _keys("uplink", f"uplink[{place}].", old, new)
    if _same_sockets(before, after):
        return found
    # What others need a restart for, these wait for.
    return [Change(one.key, one.before, one.after, live=False) for one in found]


def _keys(section: str, prefix: str, old: msgspec.Struct, new: msgspec.Struct) -> list[Change]:
    return [
        Change(
            prefix + field.name,
            _shown(getattr(old, field.name)),
            _shown(getattr(new, field.name)),
            _is_live(section, field.name, old, new),
        )
        for field in fields(old)
        if getattr(old, field.name) != getattr(new, field.name)
    ]


def _with_live(section: str, old: msgspec.Struct, new: msgspec.Struct) -> msgspec.Struct:
    live = [field.name for field in fields(old) if _is_live(section, field.name, old, new)]
    return replace(old, **{name: getattr(new, name) for name in live})


def _is_live(section: str, key: str, old: msgspec.Struct, new: msgspec.Struct) -> bool:
    if isinstance(old, UplinkSection) and isinstance(new, UplinkSection) and key == "rate":
        return (old.rate is None) == (new.rate is None)
    return f"{section}.{key}" in RELOADABLE


def _same_sockets(one: Configuration, other: Configuration) -> bool:
    return _sockets(one) == _sockets(other)


def _sockets(configuration: Configuration) -> list[tuple[str, str, int]]:
    return [(uplink.name, uplink.address, uplink.port) for uplink in configuration.uplink]


def _shown(value: Any) -> Any:
    return msgspec.to_builtins(value) if isinstance(value, msgspec.Struct | tuple) else value
