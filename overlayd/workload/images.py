"""Images of containers: there, pulled, and removed again when nothing has used them for long. I/O: Docker,
one file.

An image that is there is used as it is. Only what this unit has pulled is ever removed, never while a
container or a wanted pod uses it; Docker itself refuses to remove what a container uses.
"""

import asyncio
import logging
import time
from pathlib import Path

import msgspec

from overlayd.daemon.files import write_atomic
from overlayd.daemon.log import fields
from overlayd.workload import pause
from overlayd.workload.engine import NOT_FOUND, Engine, EngineError

LOG = logging.getLogger(__name__)


class ImageProblem(Exception):
    """An image is not here and could not be pulled."""


class Images:
    """``file`` has when each image that was pulled was used last, Unix time; ``keep_s``: so long it stays
    after that.
    """

    def __init__(self, file: Path, keep_s: float) -> None:
        self._file = file
        self._keep_s = keep_s
        self._pulling: dict[str, asyncio.Lock] = {}
        try:
            self._pulled = msgspec.json.decode(file.read_bytes(), type=dict[str, float])
        except (OSError, msgspec.DecodeError):
            self._pulled = {}

    async def have(self, engine: Engine, name: str) -> None:
        """Pull an image unless it is here. Raises :class:`ImageProblem`."""
        async with self._pulling.setdefault(name, asyncio.Lock()):
            if await engine.has_image(name):
                if name in self._pulled:
                    self._note(name)
                return
            try:
                await engine.pull(name)
            except EngineError as error:
                raise ImageProblem(f"{name}: {error}") from error
            LOG.info("image pulled", extra=fields(image=name))
            self._note(name)

    async def have_pause(self, engine: Engine) -> None:
        """Make the image of what holds a pod's network. Raises :class:`ValueError` on processors it is not
        for.
        """
        async with self._pulling.setdefault(pause.NAME, asyncio.Lock()):
            if not await engine.has_image(pause.NAME):
                await engine.load(pause.image())

    async def collect(self, engine: Engine, wanted: set[str], now_s: float) -> None:
        """Remove what nothing has used for long. ``wanted``: the images of all pods that are wanted here."""
        used: set[str] = set()
        for one in await engine.containers():
            used |= {one["Image"], one["ImageID"]}
        for name, at in list(self._pulled.items()):
            if name in wanted or name in used:
                self._pulled[name] = now_s
            elif now_s - at >= self._keep_s:
                try:
                    await engine.delete_image(name)
                    LOG.info("image removed", extra=fields(image=name))
                except EngineError as error:
                    if error.status != NOT_FOUND:
                        LOG.info("image stays", extra=fields(image=name, problem=error))
                        self._pulled[name] = now_s
                        continue
                del self._pulled[name]
        self._save()

    def _note(self, name: str) -> None:
        self._pulled[name] = time.time()
        self._save()

    def _save(self) -> None:
        try:
            write_atomic(self._file, msgspec.json.encode(self._pulled))
        except OSError as error:
            LOG.error("use of images not stored", extra=fields(file=self._file, problem=error.strerror))
