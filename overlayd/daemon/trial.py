"""A configuration on trial, in force until a moment unless it is confirmed; where a process reads its own.

The file at ``/etc`` stays the last good one until somebody confirms. A trial is a file in the runtime
directory, which a reboot empties, with the moment at which it ends: whoever starts, reloads or wakes up then
reads the last good file again, whatever has died meanwhile (ADR 27). The agent writes it, the engine reads
it too. Called by `overlayd.daemon.reload`, `overlayd.daemon.configuring`, `overlayd.cli.daemon`. I/O: files,
the clock.
"""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from overlayd.daemon.config import Configuration, load, parse
from overlayd.daemon.config_changes import UNTRIED, changes
from overlayd.daemon.errors import ConfigurationError
from overlayd.daemon.files import write_atomic
from overlayd.daemon.log import fields

LOG = logging.getLogger(__name__)
NAME = "the configuration on trial"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NS_PER_S = 1_000_000_000


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``text`` of a configuration file, in force until ``until_ns`` of this boot's clock (CLOCK_BOOTTIME).

    ``restart``: the engine may end to be started anew with it, and to go back.
    """

    text: str
    until_ns: int
    boot: str
    restart: bool = False
    schema: int = 1

    @property
    def left_s(self) -> float:
        """Seconds until it ends; 0 for one that has, or that is of an earlier boot."""
        if self.boot != boot_id():
            return 0.0
        return max(self.until_ns - _now_ns(), 0) / _NS_PER_S

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex."""
        return digest(self.text)


class Source:
    """Reads a process's configuration: the trial's text while one lasts, else the file; over it the process's
    own environment and flags.

    ``trial`` is the one that was read last; None: none lasts.
    """

    def __init__(
        self, file: Path, environment: Mapping[str, str] | None = None, flags: Sequence[str] = ()
    ) -> None:
        self.file = file
        self.trial: Trial | None = None
        self._environment = dict(environment or {})
        self._flags = tuple(flags)
        self._place: Path | None = None

    def load(self) -> Configuration:
        """Return what is to be in force now. Raises :class:`ConfigurationError`."""
        settled = load(self.file, self._environment, self._flags)
        self._place = Path(settled.node.runtime_dir) / "trial.json"
        self.trial = None
        trial = _read(self._place)
        if trial is None or trial.left_s <= 0:
            return settled
        try:
            wanted = self.check(trial.text)
        except ConfigurationError as error:
            LOG.error("trial ignored", extra=fields(problem=error))
            return settled
        self.trial = trial
        return wanted

    def check(self, text: str) -> Configuration:
        """Return what ``text`` would be on trial. Raises :class:`ConfigurationError`."""
        wanted = parse(text, NAME, self._environment, self._flags)
        settled = load(self.file, self._environment, self._flags)
        for change in changes(settled, wanted):
            if change.key in UNTRIED:
                raise ConfigurationError(
                    NAME, change.key, "cannot be tried; change the file and restart both"
                )
        return wanted

    def begin(self, text: str, seconds: float, *, restart: bool) -> Trial:
        """Put ``text`` on trial: :meth:`load` returns it from now on. Raises :class:`OSError`."""
        trial = Trial(text, _now_ns() + round(seconds * _NS_PER_S), boot_id(), restart)
        # The engine's user reads it through the group.
        write_atomic(self._where(), msgspec.json.encode(trial), mode=0o640)
        return trial

    def end(self) -> None:
        """Have no trial any more. Raises :class:`OSError`."""
        self._where().unlink(missing_ok=True)

    def _where(self) -> Path:
        if self._place is None:
            self.load()
        assert self._place is not None
        return self._place


def digest(text: str) -> str:
    """Return the SHA-256 of a file's text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def boot_id() -> str:
    """Return what names this boot of the kernel."""
    return _BOOT_ID.read_text("ascii").strip()


def _read(file: Path) -> Trial | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Trial)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        LOG.error("trial ignored", extra=fields(file=file, problem=error))
        return None


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
