"""The agent's process: turns sockets, files and clocks into events, and carries out the machine's
commands.

Owns the engine's client, the controller's channel, discovery, trace and the local API; decides nothing
(`overlayd.agent` does). It holds no capability and may die at any moment: the engine goes on with its
last tables. Called by `overlayd.cli.daemon`. I/O.
"""

import asyncio
import contextlib
import logging
import os
import random
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from overlayd._engine import version
from overlayd.agent.machine import Agent, Self
from overlayd.agent.messages import (
    Certified,
    Command,
    Configured,
    ControllerLost,
    EngineLost,
    Event,
    Left,
    Log,
    PushSnapshot,
    Reconnect,
    Recorded,
    Save,
    TellController,
    Tick,
)
from overlayd.agent.view import Outside, View, disk_problems
from overlayd.daemon.config import DEFAULT_FILE, Configuration, UplinkSection
from overlayd.daemon.configuring import CHANGES_CONFIGURATION, Configuring
from overlayd.daemon.engine_client import EngineClient
from overlayd.daemon.errors import StartError
from overlayd.daemon.joining import Renewal, enrol, identify, join_token_file
from overlayd.daemon.lan import Codec, LanDiscovery, LanUplink
from overlayd.daemon.local_api import LocalApi, RequestFailed
from overlayd.daemon.log import fields, set_up
from overlayd.daemon.memory import Memory
from overlayd.daemon.metrics_place import MetricsPlace
from overlayd.daemon.notify import notify
from overlayd.daemon.questions import Questions, decode
from overlayd.daemon.reach import NoRoute, endpoint_of, is_routed
from overlayd.daemon.reload import Reloader
from overlayd.daemon.state import AgentState, Membership
from overlayd.daemon.trace import TraceService
from overlayd.daemon.trial import Source
from overlayd.daemon.uplink import ControllerChannel, JoinError
from overlayd.model.node import NodeRecord, Uplink
from overlayd.protocol import controller, engine, local
from overlayd.protocol.signed import BadRecord
from overlayd.protocol.trace import Question, Reply

if TYPE_CHECKING:
    from prometheus_client.core import Metric

LOG = logging.getLogger(__name__)
TICK_S = 1.0
DISK_S = 30.0
DISK_WAIT_S = 10.0
ENGINE_WAIT_S = 5.0
LEAVE_WAIT_S = 5.0


def run(configuration: Configuration, source: Source) -> int:
    """Run until told to stop; return the exit code. Raises :class:`StartError`.

    ``source`` reads the configuration anew.
    """
    set_up("agent", configuration.log.level, configuration.log.format)
    uvloop.run(AgentProcess(configuration, source).run())
    return 0


class JoinArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: str


class LeaveArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``force``: forget the membership even if the controller cannot be told."""

    force: bool = False


class Member:
    """What exists only while this node is a member: the machine, the channel, the certificate."""

    def __init__(
        self, membership: Membership, machine: Agent, channel: ControllerChannel, renewal: Renewal
    ) -> None:
        self.membership = membership
        self.machine = machine
        self.channel = channel
        self.renewal = renewal


class AgentProcess:
    """One agent; ``run`` until a signal, or until something that cannot be gone on without fails."""

    def __init__(self, configuration: Configuration, source: Source | None = None) -> None:
        self._configuration = configuration
        self._source = source or Source(DEFAULT_FILE)
        self._metrics_place = MetricsPlace(self._metrics)
        self._state = AgentState(configuration.agent_dir)
        self._rng = random.Random()
        self._engine = EngineClient(configuration.engine_socket, self._from_engine)
        self._welcome: engine.Welcome | None = None
        self._member: Member | None = None
        self._memory = Memory(time.time())
        self._trace = TraceService(self._answer_trace, self._rng)
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lan_of: object = None
        self._unrouted: list[UplinkSection] = []
        self._stop = asyncio.Event()
        self._channel_ended = asyncio.Event()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT. Raises :class:`StartError`."""
        self._state.prepare()
        membership = self._state.membership()
        if membership is not None:
            try:
                identify(membership)
            except BadRecord as error:
                raise StartError(
                    f"{self._state.directory}: the stored record is not valid: {error}"
                ) from error
        questions = Questions(self._view, self._outsider_status, self._trace, self._memory)
        reloader = Reloader("agent", self._configuration, self._source, self._put)
        configuring = Configuring(reloader, self._engine.reload)
        handlers = questions.handlers() | configuring.handlers() | {"join": self._join, "leave": self._leave}
        api = LocalApi(self._configuration.agent_socket, handlers, of_the_owner=CHANGES_CONFIGURATION)
        await api.start()
        await self._metrics_place.move(self._configuration.metrics.socket)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, reloader.on_signal)
        try:
            async with asyncio.TaskGroup() as self._group:
                self._start("engine", self._engine.run())
                self._start("tick", self._tick())
                self._start("disk", self._watch_disk())
                if membership is not None:
                    self._become(membership)
                else:
                    self._keep_trying_to_join()
                notify("READY=1")
                await self._stop.wait()
                notify("STOPPING=1")
                for name in list(self._tasks):
                    self._cancel(name)
        except ExceptionGroup as failed:
            match failed.exceptions:
                case (StartError() as error,):
                    raise error from None
                case _:
                    raise
        finally:
            reloader.close()
            self._trace.close()
            await self._metrics_place.close()
            await api.close()

    async def _put(self, configuration: Configuration) -> None:
        """Change to another configuration. Raises :class:`StartError`; nothing has changed then."""
        await self._metrics_place.move(configuration.metrics.socket)  # all that can fail
        before, self._configuration = self._configuration, configuration
        member = self._member
        if member is None:
            if configuration.agent.join_token_file != before.agent.join_token_file:
                self._keep_trying_to_join()
            return
        member.channel.spread_s = configuration.agent.reconnect_spread
        self._handle(Configured(self._uplinks(), configuration.agent.announce, configuration.classify))
        if not configuration.agent.lan_discovery:
            self._cancel("lan")
            self._lan_of = None
        self._follow(member)

    # Events and commands

    def _from_engine(self, message: engine.FromEngine | EngineLost) -> None:
        if isinstance(message, engine.Welcome):
            self._welcome = message
        elif isinstance(message, EngineLost):
            self._welcome = None
        self._handle(message)

    def _from_controller(self, message: Event) -> None:
        if isinstance(message, ControllerLost | controller.Revoked):
            self._channel_ended.set()
        self._handle(message)
        if isinstance(message, controller.Revoked):
            self._cancel("channel")

    def _handle(self, event: Event) -> None:
        member = self._member
        if member is None:
            return
        for command in member.machine.handle(event, time.monotonic_ns()):
            self._perform(member, command)
        if isinstance(event, controller.Mesh | controller.Renewed | engine.Welcome):
            self._follow(member)

    def _perform(self, member: Member, command: Command) -> None:
        match command:
            case PushSnapshot(snapshot):
                self._engine.push(snapshot)
                if self._welcome is not None:  # a machine that comes after this one goes on from here
                    generation = max(self._welcome.generation, snapshot.generation)
                    self._welcome = msgspec.structs.replace(self._welcome, generation=generation)
            case TellController(message):
                member.channel.send(message)
            case Reconnect(reason):
                member.channel.reconnect(reason)
            case Save(saved):
                self._state.save_mesh(saved)
            case Certified(certificate, record):
                now = time.monotonic_ns()
                try:
                    member.membership = member.renewal.renewed(certificate, record, member.membership, now)
                    LOG.info("certificate renewed")
                    self._memory.note(logging.INFO, "certificate renewed", {}, time.time())
                except OSError as error:
                    LOG.error("renewed certificate not stored", extra=fields(problem=error.strerror))
            case Recorded(record):
                member.membership = msgspec.structs.replace(member.membership, record=record)
                self._state.keep_membership(member.membership)
            case Log(level, event, values):
                LOG.log(level, event, extra=fields(**values))
                self._memory.note(level, event, values, time.time())

    def _follow(self, member: Member) -> None:
        """Keep discovery and trace as the mesh and the engine are now."""
        machine = member.machine
        if machine.revoked is None:
            self._start("addresses", self._trace.bind(machine.me.record.addresses))
        network = machine.mesh.network
        if not self._configuration.agent.lan_discovery or network is None or self._welcome is None:
            return
        sockets = self._welcome.uplinks
        lan_of = (network.id, network.psk, machine.me.record.id, sockets)
        if lan_of != self._lan_of:
            self._lan_of = lan_of
            uplinks = tuple(LanUplink(one.name, one.address, one.port) for one in sockets)
            codec = Codec(network.id, network.psk)
            discovery = LanDiscovery(machine.me.record.id, codec, uplinks, self._handle, self._rng)
            self._start("lan", discovery.run())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            notify("WATCHDOG=1")
            self._handle(Tick(time.time()))
            self._look_for_routes()
            member = self._member
            if member is not None and member.machine.connected:
                request = member.renewal.request(
                    member.machine.me.record.name, time.monotonic_ns(), time.time()
                )
                if request is not None:
                    member.channel.send(request)

    async def _watch_disk(self) -> None:
        """A disk that fills or fails is told of before it is needed; what it missed is made up for."""
        while True:
            probe = asyncio.create_task(asyncio.to_thread(self._state.probe))
            if not (await asyncio.wait({probe}, timeout=DISK_WAIT_S))[0]:
                self._state.settle(f"the disk has not answered for {DISK_WAIT_S:g} s")
            self._state.settle(await probe)
            await asyncio.sleep(DISK_S)

    # Membership

    def _become(self, membership: Membership) -> NodeRecord:
        """Go online as a member whose membership was checked; return who we are."""
        authentic, record = identify(membership)
        now = time.monotonic_ns()
        configuration = self._configuration
        me = Self(record, self._uplinks(), configuration.agent.announce, version(), configuration.classify)
        machine = Agent(me, authentic, self._state.load_mesh(), now)
        spread_s = self._configuration.agent.reconnect_spread
        channel = ControllerChannel(membership.url, self._state, self._from_controller, spread_s, self._rng)
        self._member = member = Member(membership, machine, channel, Renewal(self._state, now))
        facts = {"node": record.name, "id": record.id, "controller": membership.url}
        LOG.info("member", extra=fields(**facts))
        self._memory.note(logging.INFO, "member", facts, time.time())
        if machine.revoked is None:
            self._start("channel", channel.run())
        if self._welcome is not None:
            self._handle(self._welcome)
        self._follow(member)
        return record

    def _uplinks(self) -> tuple[Uplink, ...]:
        self._unrouted.clear()
        return tuple(
            Uplink(one.name, self._endpoint_of(one), one.mtu, one.rate_bps)
            for one in self._configuration.uplink
        )

    def _endpoint_of(self, uplink: UplinkSection) -> str | None:
        """How peers reach ``uplink``; None as well while no route leads there."""
        try:
            return endpoint_of(uplink)
        except NoRoute as problem:
            LOG.warning("peers cannot call this node yet", extra=fields(uplink=uplink.name, problem=problem))
            self._unrouted.append(uplink)
            return None

    def _look_for_routes(self) -> None:
        """Go online anew, as by a restart, once an uplink that peers could not call has got a route."""
        member = self._member
        if member is None or member.machine.revoked is not None:
            return
        if any(is_routed(uplink) for uplink in self._unrouted):
            self._become(member.membership)

    def _part(self) -> None:
        """Be no member: the engine gets empty tables, the files go."""
        self._handle(Left())
        for name in ("channel", "lan", "addresses"):
            self._cancel(name)
        self._trace.close()
        self._lan_of = None
        self._member = None
        self._state.forget()

    async def _enrol(self, token: str) -> Membership:
        """Join with ``token``, which is not used up before peers can call us. Raises :class:`JoinError`."""
        try:
            for uplink in self._configuration.uplink:
                endpoint_of(uplink)
        except NoRoute as error:
            raise JoinError("no-route", str(error)) from error
        deadline = time.monotonic() + ENGINE_WAIT_S
        while self._welcome is None:
            if time.monotonic() >= deadline:
                raise JoinError("no-engine", "the engine does not answer; its public key is needed to join")
            await asyncio.sleep(0.05)
        configuration = self._configuration
        return await enrol(
            self._state,
            token,
            configuration.node.name,
            self._welcome.public_key,
            configuration.agent.announce,
        )

    def _keep_trying_to_join(self) -> None:
        """Join by the token file, if there is one."""
        file = join_token_file(self._configuration, os.environ)
        if file is not None:
            self._start("join", self._join_by_file(file))

    async def _join_by_file(self, file: Path) -> None:
        """Join with the token in ``file``; again while the controller is not there, not if it says no."""
        while self._member is None:
            try:
                self._become(await self._enrol(file.read_text("utf-8")))
            except OSError as error:
                LOG.warning("no join token yet", extra=fields(file=file, problem=error.strerror))
            except JoinError as error:
                LOG.error("not joined", extra=fields(code=error.code, problem=error))
                if error.code not in ("unreachable", "no-engine", "no-route"):
                    return
            await asyncio.sleep(self._rng.uniform(0.1, 1.0) * self._configuration.agent.reconnect_spread)

    async def _join(self, arguments: dict[str, Any]) -> local.Done:
        token = decode(arguments, JoinArguments).token
        if self._member is not None:
            if self._member.machine.revoked is None:
                name = self._member.machine.me.record.name
                raise RequestFailed("conflict", f"this node has joined as {name}; `overlayctl leave` first")
            self._part()
        self._cancel("join")
        try:
            record = self._become(await self._enrol(token))
        except JoinError as error:
            self._keep_trying_to_join()
            raise RequestFailed(_code_of(error), str(error)) from error
        return local.Done(f"joined as {record.name}, overlay address {', '.join(record.addresses)}")

    async def _leave(self, arguments: dict[str, Any]) -> local.Done:
        force = decode(arguments, LeaveArguments).force
        member = self._member
        if member is None:
            raise RequestFailed("not-found", "this node is no member of a network")
        name = member.machine.me.record.name
        revoked = member.machine.revoked is not None
        if member.machine.connected:
            self._handle(Left())
            self._channel_ended.clear()
            member.channel.send(controller.Leave())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_WAIT_S):
                    await self._channel_ended.wait()
        elif not revoked and not force:
            problem = "the controller cannot be told, and would keep this node's name and address"
            raise RequestFailed("failed", f"{problem}; `leave --force` forgets the membership here only")
        self._part()
        return local.Done(f"{name} left the network")

    # For the local API and for other agents

    def _view(self) -> View | None:
        member, outside = self._member, self._outside()
        if member is None or outside is None:
            return None
        return View(member.machine, time.monotonic_ns(), outside)

    def _outside(self) -> Outside | None:
        member = self._member
        if member is None:
            return None
        renewal = member.renewal
        url, trouble = member.membership.url, self._state.trouble
        return Outside(url, renewal.not_before, renewal.not_after, time.time(), trouble)

    def _metrics(self) -> "list[Metric]":
        from overlayd.daemon import metrics

        member, outside = self._member, self._outside()
        if member is None or outside is None:
            engine_version = self._welcome.version if self._welcome else ""
            return metrics.families(metrics.outsider_samples(version(), engine_version))
        return metrics.families(metrics.member_samples(member.machine, outside, time.monotonic_ns()))

    def _outsider_status(self) -> local.Status:
        found = self._welcome
        if found is None:
            status = local.EngineStatus(connected=False, problem="no engine answers on its socket")
        else:
            status = local.EngineStatus(True, found.version, found.interface, found.generation)
        return local.Status(
            version=version(),
            node=self._configuration.node.name,
            state="not-joined",
            engine=status,
            controller=local.ControllerStatus(connected=False),
            degraded=("this node has not joined a network", *disk_problems(self._state.trouble)),
        )

    def _answer_trace(self, address: str, question: Question) -> Reply | None:
        view = self._view()
        if view is None or not view.is_peer(address):
            return None
        outgoing, incoming = view.trace_answer(question)
        return Reply(question.number, view.me, outgoing, incoming)

    # Tasks

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` as the task ``name``, in place of the one before; its failure ends the process."""
        self._cancel(name)
        if self._group is None:
            raise RuntimeError("the process is not running")
        self._tasks[name] = self._group.create_task(work, name=name)

    def _cancel(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()  # a task that ends itself goes on to its next await


def _code_of(error: JoinError) -> str:
    match error.code:
        case "bad-token":
            return "usage"
        case "name-taken" | "address-taken" | "key-taken" | "prefix-taken":
            return "conflict"
        case "unreachable":
            return "unreachable"
        case "no-engine" | "no-route" | "not-stored" | "protocol":
            return "failed"
        case _:
            return "denied"
