"""A whole mesh in virtual time: shipped engines, agents and controller, wired to a simulated underlay.

Here lives the glue that the processes have in real life: engine events to agents, snapshots to engines,
messages between agents and controller after their delay. Not here: what happens when (``sim.scenario``). A
run is a function of its seed and its scenario.

Time goes in steps. While the engines run one, half of them in a thread each, agents and controller answer
what the engines said in the step before; what they answer takes effect when both are done. So an agent is
a step behind its engine, as a process of its own would be, and two cores share the work. The controller's
planner has a thread too, and its answer comes after a fixed virtual time.

What is not simulated: TLS, enrolment and signatures (records are taken as they come), and the time that
Python itself takes.
"""

import heapq
import itertools
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import msgspec

from controller.core import messages as mind
from controller.core.controller import Controller, Settings
from controller.core.decision import Decided
from overlayd._engine import SimulatedWorld, public_key
from overlayd.agent.machine import Agent, Self
from overlayd.agent.messages import (
    ControllerConnected,
    ControllerLost,
    PushSnapshot,
    Reconnect,
    TellController,
    Tick,
)
from overlayd.agent.messages import Event as AgentEvent
from overlayd.model.ids import NodeId
from overlayd.model.node import NodeRecord, SignedRecord, Uplink
from overlayd.model.service import DEFAULT_CLASSES
from overlayd.protocol import controller as wire
from overlayd.protocol import engine
from sim.sites import Site, Sites, Wire

STEP_NS = 100_000_000
"""How finely events reach the agents; engines themselves run in exact virtual time."""
SECOND_NS = 1_000_000_000
CONTROL_DELAY_NS = 30_000_000
DECISION_NS = 2 * SECOND_NS
"""What a round of the planner takes, generously: virtual time that the engines run on meanwhile."""
_EVENT = msgspec.json.Decoder(engine.FromEngine)
_RECORD = msgspec.json.Decoder(NodeRecord)


@dataclass(slots=True)
class _Host:
    site: Site
    agent: Agent
    signed: SignedRecord
    tick_ns: int
    boot: int = 1
    alive: bool = True


class SimulatedMesh:
    """``sites`` become hosts, which boot one after the other within the first second; all agents know the
    controller from the start and connect in the next. ``settings`` are the controller's,
    ``probe_budget`` is each node's, in bytes per second.
    """

    def __init__(
        self, seed: int, sites: Sites, settings: Settings | None = None, probe_budget: int = wire.PROBE_BUDGET
    ) -> None:
        self.world = SimulatedWorld(seed)
        self.sites = sites
        self.controller_up = True
        self.switches: list[tuple[int, int, engine.Switch]] = []
        self._messages: list[tuple[int, int, int, wire.FromAgent | wire.ToAgent, bool]] = []
        self._order = itertools.count()
        network = wire.NetworkConfig(
            1, "aes256-gcm", f"{seed:064x}", "simulated", DEFAULT_CLASSES, probe_budget=probe_budget
        )
        self.controller = Controller(network, settings=settings)
        self.hosts = [self._add_host(index, site) for index, site in enumerate(sites.sites)]
        self.now_ns = self.world.now_ns()
        """Virtual time since the start."""
        for (a, b), between in sites.wires.items():
            self.set_wire(a, b, between)
        for host in self.hosts:
            self._decide(
                mind.Enrolled(_RECORD.decode(host.signed.record), host.signed, host.agent.me.uplinks)
            )
        self._planner = ThreadPoolExecutor(1, "planner")
        self._decision: tuple[int, Future[Decided]] | None = None
        self._said: list[tuple[int, int, bytes]] = []

    def set_wire(self, a: int, b: int, between: Wire) -> None:
        """Change the wire from host ``a`` to host ``b``, in this direction."""
        self.world.set_wire(Site.endpoint(a), Site.endpoint(b), between.settings())

    def kill(self, index: int) -> None:
        """The host at ``index`` dies with all its processes."""
        self.hosts[index].alive = False
        self.world.stop(index)
        self._decide(mind.Disconnected(NodeId(index + 1)))

    def revive(self, index: int) -> None:
        """The host at ``index`` boots; its agent has kept its state."""
        host = self.hosts[index]
        host.alive, host.boot = True, host.boot + 1
        self.world.start(index)
        self._welcome(index)
        self._tell_agent(index, ControllerConnected() if self.controller_up else ControllerLost("outage"))

    def set_controller(self, up: bool) -> None:
        """Cut the controller off, or let it come back."""
        self.controller_up = up
        for index, host in enumerate(self.hosts):
            if host.alive:
                self._tell_agent(index, ControllerConnected() if up else ControllerLost("outage"))
            if not up:
                self._decide(mind.Disconnected(NodeId(index + 1)))

    def run_until(self, until_ns: int) -> None:
        """Let time pass."""
        while self.now_ns < until_ns:
            step_end = min(self.now_ns + STEP_NS, until_ns)
            self.world.begin_step(step_end)
            self._answer()
            self._said = self.world.end_step()
            self.now_ns = step_end

    def digest(self) -> str:
        """Return a hash over every delivery and every event of every engine so far."""
        return self.world.digest()

    def _add_host(self, index: int, site: Site) -> _Host:
        boot_ns = SECOND_NS * index // len(self.sites.sites)
        self.world.begin_step(boot_ns)
        self.world.end_step()
        # Of a key's last byte, as of its first, X25519 leaves some bits out of account.
        key = (index + 1).to_bytes(31, "big") + bytes(1)
        self.world.add_node(key, [Site.endpoint(index)])
        address = f"{Site.address(index)}"
        record = NodeRecord(
            id=NodeId(index + 1),
            name=site.name,
            public_key=public_key(key).hex(),
            addresses=(address,),
            prefixes=(f"{address}/32",),
            relay=site.relay,
            not_after=2**40,
        )
        signed = SignedRecord(msgspec.json.encode(record), b"")
        uplinks = (Uplink("wan", Site.endpoint(index)),)
        agent = Agent(Self(record, uplinks, record.prefixes, "simulated"), lambda body, signature: True)
        return _Host(site, agent, signed, SECOND_NS + boot_ns)

    def _answer(self) -> None:
        for index, host in enumerate(self.hosts):
            if self.now_ns >= host.tick_ns:
                self._tick(index, host)
        for at_ns, index, event in self._said:
            decoded = _EVENT.decode(event)
            if isinstance(decoded, engine.Switch):
                self.switches.append((at_ns, index, decoded))
            self._tell_agent(index, decoded)
        self._deliver()
        self._plan()

    def _tick(self, index: int, host: _Host) -> None:
        if host.tick_ns < 2 * SECOND_NS:
            self._welcome(index)
            self._tell_agent(index, ControllerConnected())
        host.tick_ns += SECOND_NS
        self._tell_agent(index, Tick(self.now_ns / SECOND_NS))

    def _plan(self) -> None:
        now = mind.Instant(self.now_ns, self.now_ns / SECOND_NS)
        due = self.controller.poll_timeout()
        if self.controller_up and due is not None and due <= self.now_ns:
            if (question := self.controller.begin(now)) is not None:
                self._decision = (self.now_ns + DECISION_NS, self._planner.submit(question.run))
            self._decide(mind.Tick())
        if self._decision is not None and self._decision[0] <= self.now_ns:
            (_, answer), self._decision = self._decision, None
            self._carry_out(self.controller.complete(answer.result(), now))

    def _welcome(self, index: int) -> None:
        host, endpoint = self.hosts[index], Site.endpoint(index)
        address, _, port = endpoint.rpartition(":")
        uplinks = (engine.EngineUplink("wan", address, int(port)),)
        hello = engine.Welcome(
            protocol=engine.PROTOCOL,
            version="simulated",
            public_key=host.agent.me.record.public_key,
            boot=host.boot,
            generation=0,
            interface="overlay0",
            uplinks=uplinks,
            probe_budget=True,
        )
        self._tell_agent(index, hello)

    def _tell_agent(self, index: int, event: AgentEvent) -> None:
        host = self.hosts[index]
        if not host.alive:
            return
        for command in host.agent.handle(event, self.now_ns):
            match command:
                case PushSnapshot(snapshot):
                    self.world.apply(index, msgspec.json.encode(snapshot).decode())
                    self._tell_agent(index, engine.Applied(snapshot.generation))
                case TellController(message):
                    self._send(index, message, to_agent=False)
                case Reconnect(reason):
                    self._tell_agent(index, ControllerLost(reason))
                    self._tell_agent(index, ControllerConnected())
                case _:
                    pass

    def _send(self, index: int, message: wire.FromAgent | wire.ToAgent, *, to_agent: bool) -> None:
        entry = (self.now_ns + CONTROL_DELAY_NS, next(self._order), index, message, to_agent)
        heapq.heappush(self._messages, entry)

    def _deliver(self) -> None:
        while self._messages and self._messages[0][0] <= self.now_ns:
            _, _, index, message, to_agent = heapq.heappop(self._messages)
            if not self.controller_up or not self.hosts[index].alive:
                continue
            node = NodeId(index + 1)
            match message:
                case wire.Hello():
                    self._decide(mind.Connected(node, message))
                case wire.Telemetry() | wire.Switched() | wire.Sightings():
                    self._decide(mind.Received(node, message))
                case wire.Mesh() if to_agent:
                    self._tell_agent(index, message)
                case _:
                    pass

    def _decide(self, event: mind.Event) -> None:
        now = mind.Instant(self.now_ns, self.now_ns / SECOND_NS)
        self._carry_out(self.controller.handle(event, now))

    def _carry_out(self, commands: list[mind.Command]) -> None:
        for command in commands:
            if isinstance(command, mind.Send):
                self._send(command.node - 1, command.message, to_agent=True)


def degraded(between: Wire, *, extra_ms: float = 0.0, loss_ratio: float = 0.0) -> Wire:
    """Return ``between`` with more delay and another loss."""
    return replace(between, delay_ms=between.delay_ms + extra_ms, loss_ratio=loss_ratio)
