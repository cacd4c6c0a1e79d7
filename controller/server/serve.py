"""``overlayd-controller serve``: bind, announce readiness, run until told to stop. I/O."""

import asyncio
import errno
import logging
import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec
import uvicorn
import uvloop
from websockets.asyncio.server import Server, serve
from websockets.typing import Subprotocol

from controller.config import FILE_NAME, ConfigError, load_config, split_address
from controller.logs import set_up
from controller.server.channel import HELLO_TIMEOUT_S, SUBPROTOCOLS, Channel
from controller.server.reflector import Reflector
from controller.server.service import Service
from controller.server.systemd import notify
from controller.server.tls import ServerTls
from controller.state import State
from overlayd.protocol.controller import MAX_UNAUTHENTICATED_BYTES

LOG = logging.getLogger(__name__)

TLS_CHECK_S = 60.0
CLOSE_TIMEOUT_S = 1.0
"""An agent that cannot be reached does not hold up the end of this process."""
BACKLOG = 4096


Companion: TypeAlias = Callable[[Service], AbstractAsyncContextManager[object]]
"""What runs beside the mesh, for as long as its block lasts; the mesh knows no more of it."""


class BindError(Exception):
    """An address cannot be listened on; nothing was started."""


def run(state: State, *companions: Companion) -> None:
    """Serve until SIGTERM or SIGINT. Raises :class:`BindError`, and what a companion cannot begin for."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(state, companions))


async def _serve(state: State, companions: tuple[Companion, ...]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload, state)
    async with Running(state) as running, AsyncExitStack() as beside:
        for companion in companions:
            await beside.enter_async_context(companion(running.service))
        notify("READY=1")
        LOG.info(
            "network %s: agents at %s, API at %s", state.network.name, state.config.listen, state.config.api
        )
        ended = asyncio.create_task(running.failed())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
        notify("STOPPING=1")
        stopped.cancel()
        if ended.done():
            ended.result()
        ended.cancel()


def reload(state: State) -> None:
    """Take the log level of a changed ``controller.toml``; the rest of it waits for a restart.

    A faulty file changes nothing. systemd 252 has no ``notify-reload``: it is told of beginning and end.
    """
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        wanted = load_config(state.directory / FILE_NAME)
    except ConfigError as error:
        LOG.error("configuration not reloaded, nothing has changed: %s", error)
    else:
        set_up(wanted.log.level)
        if msgspec.structs.replace(wanted, log=state.config.log) != state.config:
            LOG.warning("controller.toml has changed beyond [log]; that needs a restart")
        LOG.info("configuration reloaded: log level %s", wanted.log.level)
    finally:
        notify("READY=1")


class Running:
    """A controller that serves for as long as the ``async with`` block lasts."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._tasks: list[asyncio.Task[None]] = []
        self._reflector = Reflector(time.monotonic)
        self.service = Service(state)
        self.agent_port = 0
        self.api_port = 0

    async def __aenter__(self) -> "Running":
        config = self._state.config
        agents = bind(*split_address(config.listen, "listen"))
        try:
            api = _bind_api(config.api)
        except BindError:
            agents.close()
            raise
        self.agent_port = agents.getsockname()[1]
        self.api_port = api.getsockname()[1] if api.family != socket.AF_UNIX else 0
        self._reflector.open(split_address(config.listen, "listen")[0], self.agent_port)
        tls = ServerTls(self._state, time.time())
        self._websocket = await _start_channel(self.service, tls, agents)
        self._http = _HttpServer(_http_config(self.service))
        self._tasks = [
            asyncio.create_task(self.service.run()),
            asyncio.create_task(self._http.serve([api])),
            asyncio.create_task(_keep_certificate(tls)),
        ]
        while not self._http.started and not self._tasks[1].done():
            await asyncio.sleep(0.005)
        return self

    async def failed(self) -> None:
        """Wait for any part to end; raises what ended it."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def __aexit__(self, *_: object) -> None:
        self.service.news.close()  # streams end, or the server would wait for them
        self._reflector.close()
        self._http.should_exit = True
        self._websocket.close()
        await self._websocket.wait_closed()
        await asyncio.wait([self._tasks[1]], timeout=2.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.service.close()


class _HttpServer(uvicorn.Server):
    """Leaves signals to :func:`_serve`."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; ``::`` takes IPv4 as well. Raises :class:`BindError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if host in ("", "::"):
            return socket.create_server(
                ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
            )
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise _bind_error(f"{host or '*'} port {port}", error) from error


def _bind_api(address: str) -> socket.socket:
    if not address.startswith("unix:"):
        return bind(*split_address(address, "api"))
    path = Path(address.removeprefix("unix:"))
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
            path.unlink()  # left behind by a controller that was killed
        before = os.umask(0o177)
        try:
            server.bind(str(path))
        finally:
            os.umask(before)
        server.listen(128)
    except OSError as error:
        server.close()
        raise _bind_error(str(path), error) from error
    return server


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(path)) == 0


def _bind_error(where: str, error: OSError) -> BindError:
    if error.errno == errno.EADDRINUSE:
        return BindError(f"{where} is in use by another process; stop it, or change controller.toml")
    if error.errno == errno.EACCES:
        return BindError(f"not allowed to listen on {where}; choose a port above 1023, or another path")
    return BindError(f"cannot listen on {where}: {os.strerror(error.errno or 0) if error.errno else error}")


async def _start_channel(service: Service, tls: ServerTls, listening: socket.socket) -> Server:
    channel = Channel(service)
    return await serve(
        channel.handle,
        sock=listening,
        ssl=tls.context,
        subprotocols=[Subprotocol(name) for name in SUBPROTOCOLS],
        process_request=channel.process_request,
        compression=None,  # what is secret and what others chose would share one stream
        max_size=MAX_UNAUTHENTICATED_BYTES,
        open_timeout=HELLO_TIMEOUT_S,
        close_timeout=CLOSE_TIMEOUT_S,
        server_header=None,
        backlog=BACKLOG,
    )


async def _keep_certificate(tls: ServerTls) -> None:
    while True:
        await asyncio.sleep(TLS_CHECK_S)
        if tls.due(time.time()):
            tls.renew(time.time())


def _http_config(service: Service) -> uvicorn.Config:
    from controller.api.app import create_app

    return uvicorn.Config(
        create_app(service), lifespan="off", log_config=None, access_log=False, server_header=False, ws="none"
    )
