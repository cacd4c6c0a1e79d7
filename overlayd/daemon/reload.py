"""The configuration that a process has in force, and changing it while packets flow: SIGHUP, a trial.

What can change without a packet lost changes; what cannot is named and waits for a restart; what is faulty
changes nothing. While a trial lasts its text takes the file's place, and the file comes back by itself.
Called by `overlayd.daemon.engine` and `overlayd.daemon.agent`. I/O: files (`overlayd.daemon.trial`), a timer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from overlayd.daemon.config import Configuration
from overlayd.daemon.config_changes import Change, changes, in_force
from overlayd.daemon.errors import StartError
from overlayd.daemon.log import fields, set_up
from overlayd.daemon.notify import notify, reloading
from overlayd.daemon.trial import Source, Trial

LOG = logging.getLogger(__name__)
_LATER_S = 0.01

Put: TypeAlias = Callable[[Configuration], Awaitable[None]]
"""Puts a configuration in force. Raises :class:`StartError`, and then nothing has changed."""


class Reloader:
    """``now`` is in force; ``put`` changes the process to another. ``restart`` is called where only a restart
    helps and a trial allows it; None: this process puts everything in force by itself.
    """

    def __init__(
        self,
        process: str,
        now: Configuration,
        source: Source,
        put: Put,
        restart: Callable[[], None] | None = None,
    ) -> None:
        self.now = now
        self.source = source
        self._process = process
        self._put = put
        self._restart = restart
        self._may_restart = False
        self._one_by_one = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch(source.trial)

    def on_signal(self) -> None:
        """Reload soon; what goes wrong is in the log."""
        task = asyncio.get_running_loop().create_task(self._reload_and_log())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def reload(self) -> tuple[Change, ...]:
        """Read the configuration anew and put in force what can be; return what changed, and what waits.

        Raises :class:`StartError`, and then nothing has changed. systemd is told of beginning and end.
        """
        async with self._one_by_one:
            notify(reloading())
            before = self.source.trial
            try:
                wanted = self.source.load()
                trial = self.source.trial
                found = changes(self.now, wanted)
                restarts = self._may_restart or (trial is not None and trial.restart)
                target = wanted if restarts and self._restart is None else in_force(self.now, wanted)
                await self._put(target)
            except StartError as error:
                LOG.error("configuration not reloaded, nothing has changed", extra=fields(problem=error))
                raise
            finally:
                notify("READY=1")
            self.now = target
            set_up(self._process, target.log.level, target.log.format)
            if before is not None and trial is None:
                LOG.warning("the trial is over", extra=fields(in_force=self.source.file))
            self._watch(trial)
            self._tell(changes(target, wanted), found, restarts)
            return found

    def close(self) -> None:
        """Wake up no more."""
        if self._timer is not None:
            self._timer.cancel()

    async def _reload_and_log(self) -> None:
        try:
            await self.reload()
        except StartError:
            self._watch(self.source.trial)

    def _watch(self, trial: Trial | None) -> None:
        """Come back when the trial ends, whoever else is there by then."""
        self._may_restart = trial is not None and trial.restart
        self.close()
        if trial is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(trial.left_s + _LATER_S, self.on_signal)

    def _tell(self, waiting: tuple[Change, ...], found: tuple[Change, ...], restarts: bool) -> None:
        done = [change.key for change in found if change not in waiting]
        LOG.info("configuration reloaded", extra=fields(changed=done))
        if not waiting:
            return
        keys = [change.key for change in waiting]
        if restarts and self._restart is not None:
            LOG.warning(
                "ends to be started anew with the configuration that is wanted", extra=fields(keys=keys)
            )
            self._restart()
        else:
            LOG.warning("a restart is needed for a part of the configuration", extra=fields(keys=keys))
