"""What the controller wanted last, kept on disk: this unit starts with it before it asks anybody. I/O: one
file.

``desired.json`` has a checksum and the one before it beside it (`overlayd.daemon.files`). What a full disk
did not take is kept in memory and written once it does.
"""

import logging
from pathlib import Path

import msgspec

from overlayd.daemon.files import read_checked, write_checked
from overlayd.daemon.log import fields
from overlayd.protocol.pod import Pod

LOG = logging.getLogger(__name__)
SCHEMA = 1


class Cache:
    """The pods that the controller wanted last."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "desired.json"
        self._written = b""

    def load(self) -> tuple[Pod, ...] | None:
        """Return them; None: nothing is known, and what runs is to go on."""
        body = read_checked(self._file, SCHEMA)
        if body is None:
            return None
        try:
            pods = msgspec.json.decode(body, type=tuple[Pod, ...])
        except msgspec.DecodeError as error:
            LOG.error("stored pods ignored", extra=fields(file=self._file, problem=error))
            return None
        self._written = body
        return pods

    def save(self, pods: tuple[Pod, ...]) -> bool:
        """Keep them; tell whether they are on the disk. To be called again with them if not."""
        body = msgspec.json.encode(pods)
        if body == self._written:
            return True
        try:
            write_checked(self._file, SCHEMA, body)
        except OSError as error:
            LOG.error("wanted pods not stored", extra=fields(file=self._file, problem=error.strerror))
            return False
        self._written = body
        return True
