"""The engine's process: owns TUN, sockets and Noise key, and runs the native packet threads.

What lives here: the order of start and stop, and what a snapshot sets off. Not here: packets (the native
module), the agent's socket (`engine_server`), files (`engine_state`), the kernel's tables (`host`). Called
by `overlayd.cli.daemon`. I/O.
"""

import asyncio
import contextlib
import errno
import importlib
import ipaddress
import logging
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from overlayd._engine import Engine, SnapshotRefused, open_tun, open_udp, public_key, version
from overlayd.daemon import shards
from overlayd.daemon.config import Configuration, UplinkSection
from overlayd.daemon.engine_server import EngineServer
from overlayd.daemon.engine_state import EngineState
from overlayd.daemon.errors import StartError
from overlayd.daemon.fd_store import FdStore
from overlayd.daemon.log import fields, set_up
from overlayd.daemon.notify import notify
from overlayd.daemon.reach import NoRoute, endpoint_of
from overlayd.daemon.reload import Reloader
from overlayd.daemon.succession import Heir, NoHeir, Predecessor
from overlayd.daemon.trial import Source
from overlayd.protocol import engine

if TYPE_CHECKING:
    from overlayd.daemon.host import Address

LOG = logging.getLogger(__name__)
_Stack: TypeAlias = contextlib.ExitStack | contextlib.AsyncExitStack
CHECK_S = 1.5
"""How often the packet threads are looked at; each turns at least once a second."""
FREED_S = 5.0
"""How long systemd may take to close a socket that it is told to keep no more."""
DISK_S = 30.0
"""From one attempt to write what the disk did not take to the next."""
_KEY_LOG = b'{"type":"key_log"'
_CHANGES = (b'{"type":"link_state"', b'{"type":"switch"')


def run(configuration: Configuration, source: Source) -> int:
    """Run until told to stop; return the exit code. Raises :class:`StartError`.

    ``source`` reads the configuration anew.
    """
    set_up("engine", configuration.log.level, configuration.log.format)
    predecessor = Predecessor.of(os.environ)
    if predecessor is None:
        kept = FdStore.inherit(os.environ)
    else:
        importlib.import_module("overlayd.daemon.host")  # while the other process still forwards
        if not predecessor.wait():
            return 0
        kept = FdStore(predecessor.left, keeps=True)
    # Not uvloop: it knows no netlink sockets, and this loop turns a few times a second.
    asyncio.run(EngineProcess(configuration, source, kept, predecessor).run())
    return 0


class EngineProcess:
    """One engine from start to stop. ``kept``: what a life before left; ``predecessor``: whom to tell that
    its place is taken.
    """

    def __init__(
        self,
        configuration: Configuration,
        source: Source,
        kept: FdStore,
        predecessor: Predecessor | None = None,
    ) -> None:
        self._configuration = configuration
        self._source = source
        self._kept = kept
        self._predecessor = predecessor
        self._snapshot: engine.Snapshot | None = None
        self._renewal = asyncio.Event()
        self._ended: asyncio.Future[Heir | None]

    async def run(self) -> None:
        """Start, serve until SIGTERM, SIGINT or an heir, and leave the host as it was.

        Raises :class:`StartError`.
        """
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # until there is something to reload
        loop.add_signal_handler(signal.SIGUSR2, self._renewal.set)
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            notify("READY=1\nSTATUS=forwarding")
            if self._predecessor is not None:
                self._predecessor.let_go()
            renewing = asyncio.create_task(self._renew())
            stack.callback(renewing.cancel)
            heir = await self._ended
            if heir is None:
                notify("STOPPING=1")
        if heir is not None:
            heir.take_over()

    def _end(self, heir: Heir | None = None) -> None:
        """End for good, or for ``heir``; the first word counts."""
        if not self._ended.done():
            self._ended.set_result(heir)
        elif heir is not None:
            heir.dismiss()

    async def _renew(self) -> None:
        """Whenever SIGUSR2 asks for it, have the program as it now stands on disk take over."""
        while not self._ended.done():
            await self._renewal.wait()
            self._renewal.clear()
            if not self._kept.keeps:
                LOG.warning("is renewed under systemd alone, which learns who takes over")
                continue
            try:
                heir = await asyncio.to_thread(Heir.start, self._named)
            except NoHeir as problem:
                LOG.error("goes on as it is", extra=fields(problem=problem))
                continue
            LOG.info("a new process takes over", extra=fields(pid=heir.pid))
            self._end(heir)

    async def _put(self, configuration: Configuration) -> None:
        """Change what can be while packets flow. Raises :class:`StartError`; nothing has changed then."""
        await self._host.change(configuration.engine.mtu, _underlay(configuration))
        self._configuration = configuration

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Acquire in this order; ``stack`` releases in the opposite one, also when a step fails."""
        configuration = self._configuration
        self._state = EngineState(configuration.engine_dir)
        stack.callback(self._state.close)
        private_key = self._state.identity()
        self._public_key = public_key(private_key).hex()
        sockets = open_sockets(configuration, self._kept, stack)
        self._shards = len(sockets)
        queues = _open_queues(configuration.engine.interface, len(sockets), self._kept, stack)
        self._named = _by_name(configuration, queues, sockets)
        self._kept.settle(self._named)
        self._boot = self._state.next_boot()
        self._engine = Engine(
            list(zip(queues, sockets, strict=True)),
            private_key,
            self._boot,
            key_log=configuration.engine.key_log,
            spin_us=shards.spin_us(configuration),
            fault_tun_segmentation=configuration.fault.tun_segmentation,
            fault_udp_gso=configuration.fault.udp_gso,
            **msgspec.structs.asdict(configuration.offload),
        )
        stack.callback(self._engine.stop)
        snapshot = self._state.load_snapshot()
        if self._kept.left_something and snapshot is not None:
            # The host stands as the life before left it: packets first, its set-up takes longest.
            self._try(snapshot)
        from overlayd.daemon.host import Host

        self._host = Host(configuration.engine.interface, configuration.engine.mtu, _underlay(configuration))
        # What systemd keeps for the next life keeps addresses and routes; without a next one they go with it.
        stack.push_async_callback(self._host.hand_over if self._kept.keeps else self._host.close)
        await self._host.open()
        self._reloader = Reloader("engine", configuration, self._source, self._put, self._end)
        stack.callback(self._reloader.close)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reloader.on_signal)
        self._server = EngineServer(
            configuration.engine_socket, self._welcome, self._apply, self._reloader.on_signal
        )
        loop.add_reader(self._engine.event_fd(), self._report)
        stack.callback(loop.remove_reader, self._engine.event_fd())
        await self._resume(snapshot)
        stack.push_async_callback(self._server.close)
        await self._server.open()
        watch = asyncio.create_task(self._watch())
        stack.callback(watch.cancel)
        disk = asyncio.create_task(self._watch_disk())
        stack.callback(disk.cancel)
        LOG.info(
            "engine started",
            extra=fields(
                boot=self._boot,
                interface=configuration.engine.interface,
                public_key=self._public_key,
                shards=self._shards,
            ),
        )

    async def _resume(self, snapshot: engine.Snapshot | None) -> None:
        """Come up with the last good snapshot: no agent is needed to forward.

        The host first: peers send as soon as their calls are answered.
        """
        if snapshot is None:
            LOG.info("no snapshot yet: waiting for the agent's first")
            await self._host.clear()
            return
        await self._host.apply(snapshot)
        if self._snapshot is None and not self._try(snapshot):
            await self._host.clear()

    def _try(self, snapshot: engine.Snapshot) -> bool:
        """Put a stored snapshot in force; whether that went well."""
        try:
            self._put_in_force(snapshot)
        except SnapshotRefused as refusal:
            field, problem = refusal.args
            LOG.error("stored snapshot refused", extra=fields(field=field, problem=problem))
            return False
        return True

    async def _apply(self, snapshot: engine.Snapshot) -> engine.Applied | engine.Refused:
        """Apply what the agent sent; a snapshot that is refused changes nothing."""
        try:
            self._put_in_force(snapshot)
        except SnapshotRefused as refusal:
            field, problem = refusal.args
            LOG.error("snapshot refused", extra=fields(field=field, problem=problem))
            return engine.Refused(snapshot.generation, field, problem)
        await self._host.apply(snapshot)
        await asyncio.to_thread(self._state.save_snapshot, msgspec.json.encode(snapshot))
        return engine.Applied(snapshot.generation)

    def _put_in_force(self, snapshot: engine.Snapshot) -> None:
        """Swap the packet thread's tables. Raises SnapshotRefused, and then nothing has changed."""
        self._engine.apply(msgspec.json.encode(snapshot))
        self._snapshot = snapshot
        LOG.info(
            "snapshot applied",
            extra=fields(
                generation=snapshot.generation, peers=len(snapshot.peers), links=len(snapshot.links)
            ),
        )

    def _welcome(self) -> engine.Welcome:
        return engine.Welcome(
            protocol=engine.PROTOCOL,
            version=version(),
            public_key=self._public_key,
            boot=self._boot,
            generation=self._snapshot.generation if self._snapshot else 0,
            interface=self._configuration.engine.interface,
            uplinks=tuple(
                engine.EngineUplink(uplink.name, uplink.address, uplink.port)
                for uplink in self._configuration.uplink
            ),
            shards=self._shards,
            reflexive=True,
            probe_budget=True,
        )

    def _report(self) -> None:
        """Pass events on. Session keys stay here: they are for the key log's file alone."""
        for event in self._engine.events():
            if event.startswith(_KEY_LOG):
                self._state.log_key(event)
                continue
            if event.startswith(_CHANGES):
                change: dict[str, object] = msgspec.json.decode(event)
                LOG.info(str(change.pop("type")), extra=fields(**change))
            self._server.report(event)

    async def _watch(self) -> None:
        """Tell systemd that packets are served, for as long as they are; say which offloads were given up."""
        ticks, given_up = [0] * self._shards, 0
        while True:
            await asyncio.sleep(CHECK_S)
            seen = self._engine.ticks()
            still = [
                number for number, (now, before) in enumerate(zip(seen, ticks, strict=True)) if now == before
            ]
            ticks = seen
            if still:
                LOG.critical("a packet thread stands still", extra=fields(seconds=CHECK_S, shards=still))
                continue
            notify("WATCHDOG=1")
            now = _step_downs(self._engine.counters())
            if sum(now.values()) > given_up:
                given_up = sum(now.values())
                LOG.warning(
                    "the kernel failed at an offload, which is not used any more", extra=fields(**now)
                )

    async def _watch_disk(self) -> None:
        """Beside the watchdog, which no disk may hold up."""
        while True:
            await asyncio.sleep(DISK_S)
            await asyncio.to_thread(self._state.settle)


def _step_downs(counters: bytes) -> dict[str, int]:
    """How often all shards together gave up each offload; none is left out."""
    shells: list[dict[str, int]] = [shard["shell"] for shard in msgspec.json.decode(counters)]
    sums = {name: sum(shell[name] for shell in shells) for name in shells[0] if name.endswith("_step_downs")}
    return {name: count for name, count in sums.items() if count}


def open_sockets(configuration: Configuration, kept: FdStore, stack: _Stack) -> list[list[int]]:
    """Open those of each shard; ``stack`` closes them. Raises :class:`StartError`.

    Where the number of shards is ours to choose, one whose ports are not free is left out, and all after it.
    """
    found: list[list[int]] = []
    deadline = time.monotonic() + (FREED_S if kept.forget(_names(configuration)) else 0.0)
    for shard in range(shards.count(configuration)):
        with contextlib.ExitStack() as opened:
            try:
                found.append(
                    [_open_uplink(uplink, shard, kept, opened, deadline) for uplink in configuration.uplink]
                )
            except StartError as problem:
                if not found or configuration.engine.shards != "auto":
                    raise
                LOG.warning("fewer shards than cores", extra=fields(shards=len(found), problem=problem))
                break
            stack.callback(opened.pop_all().close)
    return found


def _names(configuration: Configuration) -> set[str]:
    """What the descriptors of an engine with this configuration are called."""
    count = shards.count(configuration)
    return {_queue_name(configuration.engine.interface, number) for number in range(count)} | {
        _socket_name(uplink, shard) for uplink in configuration.uplink for shard in range(count)
    }


def _open_uplink(uplink: UplinkSection, shard: int, kept: FdStore, stack: _Stack, deadline: float) -> int:
    """``deadline`` (monotonic): until then, a port that is in use may come free."""
    port = uplink.port + shard
    if (descriptor := kept.take(_socket_name(uplink, shard))) is not None:
        stack.callback(os.close, descriptor)
        return descriptor
    try:
        while True:
            try:
                descriptor = open_udp(uplink.address, port)
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                    raise
                time.sleep(0.01)
    except OSError as error:
        where = f"uplink {uplink.name!r}"
        match error.errno:
            case errno.EADDRINUSE:
                problem = f"UDP port {port} on {uplink.address} is in use by another program"
            case errno.EADDRNOTAVAIL:
                problem = f"no interface of this host has the address {uplink.address}"
            case errno.EAFNOSUPPORT:
                problem = (
                    f"this host has no {'IPv6' if ':' in uplink.address else 'IPv4'} for {uplink.address}"
                )
            case _:
                problem = f"{uplink.address} port {port}: {error.strerror}"
        raise StartError(f"{where}: {problem}") from error
    stack.callback(os.close, descriptor)
    return descriptor


def _open_queues(interface: str, count: int, kept: FdStore, stack: _Stack) -> list[int]:
    """Open so many queues of the interface, as far as the life before did not leave them."""
    left = [kept.take_queue(_queue_name(interface, number), interface) for number in range(count)]
    if all(queue is None for queue in left):
        _refuse_taken(interface)
    queues: list[int] = []
    for queue in left:
        queues.append(_open_queue(interface) if queue is None else queue)
        stack.callback(os.close, queues[-1])
    return queues


def _by_name(configuration: Configuration, queues: list[int], sockets: list[list[int]]) -> dict[str, int]:
    """All descriptors, by names that say what they are: a changed configuration takes none for another."""
    interface = configuration.engine.interface
    named = {_queue_name(interface, number): queue for number, queue in enumerate(queues)}
    for shard, row in enumerate(sockets):
        for uplink, descriptor in zip(configuration.uplink, row, strict=True):
            named[_socket_name(uplink, shard)] = descriptor
    return named


def _queue_name(interface: str, number: int) -> str:
    return f"tun {interface} {number}"


def _socket_name(uplink: UplinkSection, shard: int) -> str:
    return f"udp {uplink.address} {uplink.port + shard}".replace(":", "_")


def _refuse_taken(name: str) -> None:
    # A second engine would else silently take a share of the first one's packets: the TUN has several queues.
    with contextlib.suppress(OSError):
        socket.if_nametoindex(name)
        raise StartError(
            f"interface {name} exists already: is another engine running? [engine] interface names another"
        )


def _open_queue(name: str) -> int:
    """Open a queue of the interface, which the first one makes."""
    try:
        return open_tun(name)
    except OSError as error:
        match error.errno:
            case errno.ENOENT | errno.ENODEV | errno.ENXIO:
                problem = "there is no /dev/net/tun: modprobe tun, or give the container the device"
            case errno.EACCES:
                problem = "this user may not open /dev/net/tun: its mode should be 0666, as udev makes it"
            case errno.EPERM:
                problem = "CAP_NET_ADMIN is missing: run as root, or as the unit in packaging/systemd does"
            case _:
                problem = error.strerror or str(error)
        raise StartError(f"interface {name} cannot be made: {problem}") from error


def _underlay(configuration: Configuration) -> "set[Address]":
    """The addresses at which this host stands in the underlay, as far as they are configured."""
    from overlayd.daemon.host import endpoint_address

    bound = {ipaddress.ip_address(uplink.address) for uplink in configuration.uplink}
    seen: set[Address] = set()
    for uplink in configuration.uplink:
        with contextlib.suppress(NoRoute):  # the engine forwards, and the agent waits for one
            endpoint = endpoint_of(uplink)
            seen |= {endpoint_address(endpoint)} if endpoint else set()
    return {address for address in bound | seen if not address.is_unspecified}
