"""The agent's Unix socket for the command line: who may ask, frames in, answers out.

I/O: one listening socket.

Answers are made by the handlers handed in (``overlayd.daemon.agent``). Allowed are root, the agent's own
user and members of the group ``overlayd``: file mode 0660, and the peer's credentials are checked again,
for a socket may be handed about.
"""

import asyncio
import grp
import logging
import os
import pwd
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from overlayd.daemon.errors import StartError
from overlayd.daemon.log import fields
from overlayd.daemon.peer import peer_of
from overlayd.protocol.framing import FrameReader, FrameTooLarge, encode_frame
from overlayd.protocol.local import MAX_REQUEST_BYTES, PROTOCOL, Answer, Problem, Request, Result

LOG = logging.getLogger(__name__)
GROUP = "overlayd"

Handler: TypeAlias = Callable[[dict[str, Any]], Awaitable[Result]]


class RequestFailed(Exception):
    """The answer is no; ``code`` as in :class:`overlayd.protocol.local.Problem`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class LocalApi:
    """Serves ``handlers`` by verb. One connection may ask many times, one question after the other.

    Verbs ``of_the_owner`` are for root and the agent's own user alone.
    """

    def __init__(
        self, path: Path, handlers: Mapping[str, Handler], of_the_owner: frozenset[str] = frozenset()
    ) -> None:
        self._path = path
        self._handlers = handlers
        self._of_the_owner = of_the_owner
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises :class:`StartError` if another agent does, or the place is not writable."""
        try:
            if await _is_served(self._path):
                raise StartError(f"another agent listens on {self._path}")
            self._path.unlink(missing_ok=True)
            mask = os.umask(0o117)
            try:
                self._server = await asyncio.start_unix_server(self._serve, str(self._path))
            finally:
                os.umask(mask)
            _give_to_group(self._path)
        except OSError as error:
            raise StartError(f"{self._path}: {error.strerror}") from error

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader(MAX_REQUEST_BYTES)
        try:
            connection = writer.get_extra_info("socket")
            if not allowed(connection):
                _send(writer, Answer(problem=Problem("denied", f"only root and the group {GROUP!r} may ask")))
                return
            while data := await reader.read(65536):
                for frame in frames.feed(data):
                    _send(writer, await self._answer(frame, connection))
                    await writer.drain()
        except FrameTooLarge as error:
            _send(writer, Answer(problem=Problem("usage", str(error))))
        except OSError:
            pass  # whoever asked is gone
        finally:
            writer.close()

    async def _answer(self, frame: bytes, connection: socket.socket) -> Answer:
        try:
            request = msgspec.json.decode(frame, type=Request)
        except msgspec.DecodeError as error:
            return Answer(problem=Problem("usage", f"not a request: {error}"))
        if request.protocol != PROTOCOL:
            return Answer(
                problem=Problem("usage", f"this agent speaks protocol {PROTOCOL}, not {request.protocol}")
            )
        handler = self._handlers.get(request.verb)
        if handler is None:
            return Answer(problem=Problem("usage", f"there is no verb {request.verb!r}"))
        if request.verb in self._of_the_owner and not is_owner(connection):
            return Answer(problem=Problem("denied", "only root may change the configuration"))
        try:
            return Answer(result=msgspec.to_builtins(await handler(request.arguments)))
        except RequestFailed as error:
            return Answer(problem=Problem(error.code, str(error)))
        except Exception as error:  # one bad question must not end the agent
            LOG.exception("request failed", extra=fields(verb=request.verb))
            return Answer(
                problem=Problem("failed", f"{type(error).__name__}: {error}; the agent's log has more")
            )


def allowed(connection: socket.socket) -> bool:
    """Tell whether the process at the other end may ask."""
    if is_owner(connection):
        return True
    uid, gid = peer_of(connection)
    try:
        group = grp.getgrnam(GROUP)
        return gid == group.gr_gid or pwd.getpwuid(uid).pw_name in group.gr_mem
    except KeyError:
        return False


def is_owner(connection: socket.socket) -> bool:
    """Tell whether the process at the other end is root's, or of the agent's own user."""
    uid, _ = peer_of(connection)
    return uid in (0, os.geteuid())


def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(encode_frame(msgspec.json.encode(answer)))


async def _is_served(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    writer.close()
    return True


def _give_to_group(path: Path) -> None:
    """Let the group in, where there is one and we may."""
    try:
        os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)
    except (KeyError, PermissionError):
        LOG.debug("socket stays with its owner", extra=fields(socket=path))
