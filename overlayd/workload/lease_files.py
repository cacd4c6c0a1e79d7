"""Leases where others find them: this unit's next life, and keepers, which end what has none. I/O: files in
memory.

``leases.json`` is of this boot alone; ``leases/UID`` says when a pod's lease ends, CLOCK_BOOTTIME in
nanoseconds.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from overlayd.workload.keeper import boot_id


class _Kept(msgspec.Struct):
    boot: str
    named: dict[str, int]


class LeaseFiles:
    """Below ``folder``, which is to be in memory: it is written with every answer of the controller."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "leases.json"
        self.folder = folder / "leases"
        self._named: dict[str, int] = {}
        self._ends: dict[str, int] = {}

    def load(self) -> dict[str, int]:
        """Return the leases of an earlier life in this boot, as `overlayd.workload.leases` takes them."""
        try:
            kept = msgspec.json.decode(self._file.read_bytes(), type=_Kept)
        except (OSError, msgspec.DecodeError):
            return {}
        return kept.named if kept.boot == boot_id() else {}

    def save(self, named: Mapping[str, int], ends_ns: Mapping[str, int]) -> None:
        """Keep them. ``ends_ns`` by uid. Raises :class:`OSError`."""
        if (named, ends_ns) == (self._named, self._ends):
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _put(self._file, msgspec.json.encode(_Kept(boot_id(), dict(named))))
        for uid, end_ns in ends_ns.items():
            if self._ends.get(uid) != end_ns:
                _put(self.folder / uid, str(end_ns).encode())
        for uid in self._ends.keys() - ends_ns.keys():
            with contextlib.suppress(FileNotFoundError):
                (self.folder / uid).unlink()
        self._named, self._ends = dict(named), dict(ends_ns)


def _put(file: Path, data: bytes) -> None:
    aside = file.with_name(f".{file.name}.new")
    aside.write_bytes(data)
    os.replace(aside, file)
