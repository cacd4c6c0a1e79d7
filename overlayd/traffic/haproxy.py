"""One HAProxy in its own daemon: started, adopted, told of servers while it runs, reloaded for listeners.

It outlives this process: whoever comes next finds it by its master's socket. What it holds is asked of it,
never remembered. Called by `traffic`. I/O: processes, its two Unix sockets, its files.
"""

import asyncio
import contextlib
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from overlayd.daemon.files import write_atomic
from overlayd.daemon.log import fields
from overlayd.protocol.steering import Target
from overlayd.traffic import configuration, counters, servers
from overlayd.traffic.configuration import Place
from overlayd.traffic.errors import TrafficError
from overlayd.traffic.launching import Daemon, user_for
from overlayd.traffic.listeners import Layout

LOG = logging.getLogger(__name__)
PROGRAM = "haproxy"
CAPABILITIES = "CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_KILL"
"""Of its master, which signals its workers; these, which users reach, have none."""
FAMILIES = "AF_UNIX AF_INET AF_INET6"
ANSWER_S = 5.0
START_S = 15.0
_BATCH_BYTES = 8000
"""Of commands in one line: the buffer of its command line has 16 KiB."""
_ROUNDS = 2
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Processes:
    """Who runs: ``workers`` take connections, ``old`` ones end with those that they have."""

    master: int
    workers: tuple[int, ...]
    old: tuple[int, ...]
    failed: int
    """Reloads that failed, of the master."""


async def version() -> str | None:
    """Return HAProxy's version (``2.6.12``); None: it is not installed."""
    if (program := shutil.which(PROGRAM)) is None:
        return None
    process = await asyncio.create_subprocess_exec(program, "-v", stdout=asyncio.subprocess.PIPE)
    answer, _ = await process.communicate()
    found = re.search(r"version (\d[\w.]*)", answer.decode(errors="replace"))
    return found[1] if found else None


class HAProxy:
    """``converge`` brings it to a layout and its targets; ``starts`` and ``reloads`` count what that took."""

    def __init__(self, directory: Path) -> None:
        self.place = Place(directory, user_for(PROGRAM, directory))
        self._daemon = Daemon(
            "overlayd-haproxy", self.place.pid_file, self.place.file, CAPABILITIES, FAMILIES
        )
        self.reloads = 0
        self.starts = 0
        self._should_run = False

    async def converge(self, layout: Layout, targets: Mapping[str, Sequence[Target]]) -> None:
        """Bring it to ``layout`` and the targets of each proxy. Raises :class:`TrafficError`.

        Targets and weights are set while it runs. Another layout is reloaded without closing a listener or
        cutting a connection; if HAProxy does not take it, the one before stays.
        """
        self._should_run = bool(layout.listeners)
        if not layout.listeners:
            return await self.stop()
        if (processes := await self.processes()) is None:
            await self._start(layout, targets)
        elif configuration.digest_of(await self.ask("show info")) != configuration.digest(layout):
            await self._reload(processes, layout, targets)
        await self._set_servers(layout, targets)

    async def processes(self) -> Processes | None:
        """Return who runs; None: nobody."""
        try:
            return _parse_processes(await self._ask_socket(self.place.master_socket, "show proc"))
        except (OSError, TimeoutError, ValueError):
            return None

    async def runs_as_left(self) -> bool:
        """Whether it runs if it should; what it was brought to it keeps by itself."""
        return (await self.processes() is not None) == self._should_run

    async def ask(self, command: str, worker: int | None = None) -> str:
        """Return the answer to a command of the runtime API; ``worker`` is the process of an old one.

        Raises :class:`TrafficError`.
        """
        try:
            if worker is None:
                return await self._ask_socket(self.place.runtime_socket, command)
            return await self._ask_socket(self.place.master_socket, f"@!{worker} {command}")
        except (OSError, TimeoutError) as error:
            raise TrafficError(f"HAProxy does not answer: {error or 'it took too long'}") from error

    async def counts(self, layout: Layout) -> dict[int, counters.Stat]:
        """Return what each process has counted since it began. Raises :class:`TrafficError`."""
        found: dict[int, counters.Stat] = {}
        if (processes := await self.processes()) is None:
            return found
        for worker in (*processes.workers, *processes.old):
            found[worker] = stat = counters.parse_stat(await self.ask("show stat -1 7 -1", worker))
            for listener in layout.listeners if layout.groups else ():
                table = await self.ask(f"show table {configuration.group_table(listener.proxy)}", worker)
                stat.users.update(counters.parse_table(listener.proxy, listener.http, table))
        return found

    async def revive(self, proxy: str, endpoint: tuple[str, int]) -> None:
        """Use a server again that was left out, for it was seen to answer."""
        slots = servers.parse_state(await self.ask("show servers state"))
        slot = servers.of_endpoints(slots, proxy).get(endpoint)
        if slot is not None and not slot.up:
            await self.ask(f"set server {proxy}/{slot.name} health up")
            LOG.info(
                "instance answers again", extra=fields(route=proxy, address=endpoint[0], port=endpoint[1])
            )

    async def stop(self) -> None:
        """End it; connections that it has are cut. Nothing if it does not run."""
        self._should_run = False
        await self._daemon.stop()

    async def _start(self, layout: Layout, targets: Mapping[str, Sequence[Target]]) -> None:
        if (program := shutil.which(PROGRAM)) is None:
            raise TrafficError(
                "HAProxy is not installed: routes of TCP and HTTP wait for it (apt install haproxy)"
            )
        self._write(layout, targets)
        place = self.place
        await self._daemon.stop()  # one that does not answer
        said = await self._daemon.run(
            [
                program,
                *("-W", "-D"),
                *("-f", str(place.file)),
                *("-p", str(place.pid_file)),
                *("-S", f"{place.master_socket},mode,600"),
            ]
        )
        if said is not None:
            raise TrafficError(f"HAProxy does not start: {_alerts(said)}")
        await self._until_new(())
        self.starts += 1
        LOG.info("haproxy started", extra=fields(routes=len(layout.listeners)))

    async def _reload(
        self, before: Processes, layout: Layout, targets: Mapping[str, Sequence[Target]]
    ) -> None:
        """The new process gets the listening sockets of the old one, so that no connection is refused."""
        kept = self.place.file.read_bytes()
        self._write(layout, targets)
        with contextlib.suppress(OSError, TimeoutError):  # the master ends the connection as it starts anew
            await self._ask_socket(self.place.master_socket, "reload")
        try:
            await self._until_new(before.workers, before.failed)
        except TrafficError:
            write_atomic(self.place.file, kept)
            raise
        self.reloads += 1
        LOG.info("haproxy reloaded for other listeners", extra=fields(routes=len(layout.listeners)))

    async def _until_new(self, before: Sequence[int], failed: int = 0) -> None:
        try:
            async with asyncio.timeout(START_S):
                while True:
                    now = await self.processes()
                    if now is not None and now.failed > failed:
                        raise TrafficError(
                            "HAProxy does not take the configuration; it goes on with the one before"
                        )
                    if now is not None and now.workers and not set(now.workers) & set(before):
                        answer = await self.ask("show info")
                        if any(f"Pid: {worker}\n" in answer for worker in now.workers):
                            return
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise TrafficError("HAProxy does not come up") from error

    async def _set_servers(self, layout: Layout, targets: Mapping[str, Sequence[Target]]) -> None:
        """Tell it until it holds what is wanted. Backups may take a second round (`servers`)."""
        answers = ""
        for _ in range(_ROUNDS + 1):
            slots = servers.parse_state(await self.ask("show servers state"))
            commands = [
                command
                for listener in layout.listeners
                for command in servers.commands(
                    listener.proxy,
                    slots.get(listener.proxy, ()),
                    targets.get(listener.proxy, ()),
                    configuration.server_options(listener),
                )
            ]
            if not commands:
                return
            answers = "".join([await self.ask(batch) for batch in _batches(commands)])
        raise TrafficError(f"HAProxy does not take its servers: {answers.strip()[:500]}")

    def _write(self, layout: Layout, targets: Mapping[str, Sequence[Target]]) -> None:
        slots = {one.proxy: servers.filled(targets.get(one.proxy, ())) for one in layout.listeners}
        write_atomic(self.place.groups_file, configuration.render_groups(layout).encode())
        write_atomic(self.place.file, configuration.render(layout, slots, self.place).encode())

    async def _ask_socket(self, path: Path, command: str) -> str:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(command.encode() + b"\n")
                writer.write_eof()
                return (await reader.read()).decode(errors="replace")
            finally:
                writer.close()


def _parse_processes(answer: str) -> Processes:
    """Read ``show proc`` of the master. Raises ValueError if it is none."""
    master, failed = 0, 0
    workers: list[int] = []
    old: list[int] = []
    into = workers
    for line in answer.splitlines():
        if line.startswith("# old workers"):
            into = old
        elif line.startswith("# programs"):
            break
        elif found := re.match(r"(\d+)\s+master\s+\d+(?: \[failed: (\d+)\])?", line):
            master, failed = int(found[1]), int(found[2] or 0)
        elif found := re.match(r"(\d+)\s+worker\s", line):
            into.append(int(found[1]))
    if not master:
        raise ValueError("no master")
    return Processes(master, tuple(workers), tuple(old), failed)


def _alerts(said: str) -> str:
    """What is wrong, of all that HAProxy says as it starts."""
    alerts = [line.partition(" : ")[2] for line in said.splitlines() if line.startswith("[ALERT]")]
    return " ".join(alerts)[:500] or said[:500]


def _batches(commands: Sequence[str]) -> list[str]:
    """Several commands a line, parted by semicolons."""
    batches: list[str] = []
    for command in commands:
        if batches and len(batches[-1]) + len(command) < _BATCH_BYTES:
            batches[-1] += f"; {command}"
        else:
            batches.append(command)
    return batches
