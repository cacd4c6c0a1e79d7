"""Docker's Engine API, as far as it is used here, with types: the one module that knows aiodocker. I/O: its
socket.
"""

import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
from aiodocker.exceptions import DockerError

_NO_ANSWER = 900
"""What aiodocker has instead of an HTTP status where nobody answers."""
NOT_FOUND, CONFLICT, NOT_MODIFIED = 404, 409, 304


class EngineError(Exception):
    """Docker said no, or nothing: ``status`` is that of HTTP, 0 without an answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Engine:
    """One connection to Docker. Every method raises :class:`EngineError`."""

    def __init__(self, docker: Any) -> None:
        self._docker = docker

    async def version(self) -> str:
        with _errors():
            return str((await self._docker.version())["Version"])

    async def containers(self, *labels: str) -> list[dict[str, Any]]:
        """Return the containers with all of these labels (``name=value``), also those that have ended, in
        short.
        """
        filters = json.dumps({"label": list(labels)})
        with _errors():
            found = await self._docker.containers.list(all=True, filters=filters)
            return [one._container for one in found]

    async def show(self, name: str) -> dict[str, Any]:
        """Return all that there is to know of a container, by name or id."""
        with _errors():
            return await self._docker.containers.container(name).show()

    async def is_running(self, name: str) -> bool:
        """Tell whether there is a container that runs, by name or id."""
        try:
            return bool((await self.show(name))["State"]["Running"])
        except EngineError as error:
            if error.status != NOT_FOUND:
                raise
            return False

    async def create(self, config: Mapping[str, Any], name: str) -> str:
        """Make a container; return its id."""
        with _errors():
            return (await self._docker.containers.create(dict(config), name=name)).id

    async def start(self, name: str) -> None:
        with _errors():
            await self._docker.containers.container(name).start()

    async def stop(self, name: str, grace_s: float) -> None:
        """Ask a container to end and make it after ``grace_s``; 0: at once. Returns when it has ended."""
        found = self._docker.containers.container(name)
        with _errors():
            if grace_s > 0:
                await found.stop(t=max(1, round(grace_s)), timeout=None)
            else:
                await found.kill()

    async def delete(self, name: str) -> None:
        """Remove a container, ending it if need be; one that is gone is no error."""
        try:
            with _errors():
                await self._docker.containers.container(name).delete(force=True, v=True)
        except EngineError as error:
            if error.status not in (NOT_FOUND, CONFLICT):  # it is gone, or just going
                raise

    async def execute(self, name: str, command: Sequence[str]) -> tuple[int, str]:
        """Run a command in a container; return exit code and output."""
        with _errors():
            started = await self._docker.containers.container(name).exec(list(command))
            said = bytearray()
            async with started.start(detach=False) as stream:
                while (message := await stream.read_out()) is not None:
                    said += message.data
            return (await started.inspect()).get("ExitCode") or 0, said.decode(errors="replace")

    async def output(self, name: str, follow: bool, **options: Any) -> AsyncGenerator[bytes]:
        """Yield what a container has written. ``options`` as of the API: ``tail``, ``since``,
        ``timestamps``.
        """
        found = self._docker.containers.container(name)
        with _errors():
            if follow:
                async for text in found.log(stdout=True, stderr=True, follow=True, **options):
                    yield text.encode()
            else:
                for text in await found.log(stdout=True, stderr=True, **options):
                    yield text.encode()

    async def ends(self, *labels: str) -> AsyncGenerator[dict[str, str] | None]:
        """Yield the labels of each container with all of ``labels`` that ends, until Docker goes; first of
        all None, from when on none is missed.
        """
        filters = {"label": list(labels), "event": ["die"], "type": ["container"]}
        with _errors():
            # From a moment ago on: what ends before the stream is open is told of as well.
            told = self._docker.events.subscribe(filters=json.dumps(filters), since=f"{time.time() - 1:.0f}")
            yield None
            while (event := await told.get()) is not None:
                yield event["Actor"]["Attributes"]

    async def has_image(self, name: str) -> bool:
        try:
            with _errors():
                await self._docker.images.inspect(name)
        except EngineError as error:
            if error.status != NOT_FOUND:
                raise
            return False
        return True

    async def pull(self, name: str) -> None:
        with _errors():
            await self._docker.images.pull(name)

    async def load(self, archive: bytes) -> None:
        """Take an image as `docker save` makes it."""
        with _errors():
            await self._docker.images.import_image(archive)

    async def delete_image(self, name: str) -> None:
        """Remove an image that no container uses."""
        with _errors():
            await self._docker.images.delete(name)


@asynccontextmanager
async def connected(socket: Path) -> AsyncGenerator[Engine]:
    """Have a connection to Docker. Raises :class:`EngineError`."""
    with _errors():
        # As many connections as it takes: each log that is followed has one.
        async with (
            aiohttp.UnixConnector(str(socket), limit=0) as connector,
            aiodocker.Docker("unix://localhost", connector=connector) as docker,
        ):
            yield Engine(docker)


class _errors:  # noqa: N801 - a block's name
    """What aiodocker and what is below it raise, as :class:`EngineError`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        match error:
            case DockerError(status=status, message=message) if status != _NO_ANSWER:
                raise EngineError(int(status), str(message)) from error
            case DockerError() | aiohttp.ClientError():
                raise EngineError(0, f"Docker does not answer: {error}") from error
            case TimeoutError() | OSError():
                raise EngineError(0, f"Docker does not answer: {error}") from error
            case _:
                return
