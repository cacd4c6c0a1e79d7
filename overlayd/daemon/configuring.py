"""Answers to ``overlayctl config``: what a configuration would change, and trying one. I/O: by the reloader.

Called by `overlayd.daemon.local_api` with requests. The file at ``/etc`` is not the agent's to write: whoever
asks does that, when a trial is confirmed.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from overlayd.daemon.config_changes import Change, changes
from overlayd.daemon.errors import ConfigurationError, StartError
from overlayd.daemon.local_api import Handler, RequestFailed
from overlayd.daemon.questions import decode
from overlayd.daemon.reload import Reloader
from overlayd.protocol import local

CHANGES_CONFIGURATION = frozenset({"config-try", "config-end"})
"""Verbs for root alone, as the file is."""
SHORTEST_S, LONGEST_S = 1.0, 86_400.0


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of ``config-diff``: the text of a file."""

    text: str


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of ``config-try``: a file's text, the seconds it has, whether the engine may restart."""

    text: str
    within_s: float
    restart: bool = False


class Configuring:
    """``tell_engine`` has the engine read its configuration anew."""

    def __init__(self, reloader: Reloader, tell_engine: Callable[[], None]) -> None:
        self._reloader = reloader
        self._tell_engine = tell_engine

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by verb."""
        return {
            "config-diff": self._diff,
            "config-trial": self._trial,
            "config-try": self._try,
            "config-end": self._end,
        }

    async def _diff(self, arguments: dict[str, Any]) -> local.ConfigDiff:
        wanted = decode(arguments, Text)
        return local.ConfigDiff(str(self._reloader.source.file), self._rows(self._changes(wanted.text)))

    async def _trial(self, _: dict[str, Any]) -> local.ConfigTrial:
        return self._told(())

    async def _try(self, arguments: dict[str, Any]) -> local.ConfigTrial:
        """Put a configuration on trial. A refusal leaves everything as it was."""
        wish = decode(arguments, Wish)
        source = self._reloader.source
        if not SHORTEST_S <= wish.within_s <= LONGEST_S:
            raise RequestFailed("usage", f"a trial lasts {SHORTEST_S:g} s to {LONGEST_S:g} s")
        if source.trial is not None and source.trial.left_s > 0:
            problem = f"another configuration is on trial for {source.trial.left_s:.0f} s more"
            raise RequestFailed("conflict", f"{problem}; `config confirm` or `config rollback` first")
        waiting = [change.key for change in self._changes(wish.text) if not change.live]
        if waiting and not wish.restart:
            problem = f"the engine has to be started anew for {', '.join(waiting)}"
            raise RequestFailed("conflict", f"{problem}; --restart allows it, a second without traffic")
        try:
            source.begin(wish.text, wish.within_s, restart=bool(waiting))
            found = await self._reloader.reload()
        except (OSError, StartError) as error:
            source.end()
            raise RequestFailed("failed", f"not tried, nothing has changed: {error}") from error
        self._tell_engine()
        return self._told(found)

    async def _end(self, _: dict[str, Any]) -> local.ConfigTrial:
        """End a trial, if there is one, and read the file: what was confirmed stands there by now."""
        try:
            self._reloader.source.end()
            found = await self._reloader.reload()
        except (OSError, StartError) as error:
            raise RequestFailed("failed", f"nothing has changed: {error}") from error
        self._tell_engine()
        return self._told(found)

    def _changes(self, text: str) -> tuple[Change, ...]:
        try:
            return changes(self._reloader.now, self._reloader.source.check(text))
        except ConfigurationError as error:
            raise RequestFailed("failed", str(error)) from error

    def _told(self, found: tuple[Change, ...]) -> local.ConfigTrial:
        source = self._reloader.source
        trial = source.trial if source.trial is not None and source.trial.left_s > 0 else None
        return local.ConfigTrial(
            file=str(source.file),
            on_trial=trial is not None,
            left_s=trial.left_s if trial else 0.0,
            sha256=trial.digest if trial else None,
            changes=self._rows(found),
        )

    def _rows(self, found: tuple[Change, ...]) -> tuple[local.ConfigChange, ...]:
        return tuple(local.ConfigChange(one.key, one.before, one.after, one.live) for one in found)
