"""A small mesh and a way to write tests of the agent as a dialogue: ``talk >> event << command``."""

from collections.abc import Callable
from typing import Any

import msgspec

from overlayd.agent.machine import Agent, Self
from overlayd.agent.mesh import Saved
from overlayd.agent.messages import Command, Event, Log, PushSnapshot, TellController
from overlayd.model.ids import ClassId, Generation, NodeId
from overlayd.model.node import NodeRecord, Revocation, SignedRecord, SignedRevocation, Uplink
from overlayd.model.route import Candidate, Route, Verdict
from overlayd.model.service import DEFAULT_CLASSES, ServiceClass
from overlayd.protocol import controller, engine

MS = 1_000_000
SECOND = 1_000_000_000
ME, BERLIN, ROME, OSLO = (NodeId(number) for number in (1, 2, 3, 4))
NAMES = {ME: "paris", BERLIN: "berlin", ROME: "rome", OSLO: "oslo"}
CLASSES = DEFAULT_CLASSES[:1]


def record(node: NodeId, relay: bool = True) -> NodeRecord:
    return NodeRecord(
        id=node,
        name=NAMES[node],
        public_key=f"{node:02x}" * 32,
        addresses=(f"10.90.0.{node}",),
        prefixes=(f"10.90.0.{node}/32",),
        relay=relay,
        not_after=2_000_000_000,
    )


def signed(node: NodeId, relay: bool = True, epoch: int = 0) -> SignedRecord:
    body = msgspec.json.encode(msgspec.structs.replace(record(node, relay), epoch=epoch))
    return SignedRecord(body, b"signature")


def believe(body: bytes, signature: bytes) -> bool:
    """For tests that are not about signatures: what says that it is signed is signed."""
    return signature == b"signature"


def revoked(node: NodeId, epoch: int, key_of: NodeId | None = None) -> SignedRevocation:
    key = record(key_of or node).public_key
    return SignedRevocation(msgspec.json.encode(Revocation(epoch, node, key, 0, "stolen")), b"signature")


def uplink(node: NodeId) -> Uplink:
    return Uplink("isp1", f"198.51.100.{node}:51900")


def route(destination: NodeId, *paths: tuple[NodeId, ...], rtt_ms: float | None = None) -> Route:
    verdicts = [Verdict.PRIMARY, *[Verdict.BACKUP] * (len(paths) - 1)]
    candidates = [
        Candidate(path, verdict, "for the test", forecast_rtt_ms=rtt_ms)
        for path, verdict in zip(paths, verdicts, strict=False)  # no path: no primary either
    ]
    return Route(destination, ClassId(0), paths, tuple(candidates), "for the test", 0.0)


def mesh(
    generation: int,
    *routes: Route,
    peers: tuple[NodeId, ...] = (BERLIN, ROME),
    base: int = 0,
    classes: tuple[ServiceClass, ...] = CLASSES,
) -> controller.Mesh:
    return controller.Mesh(
        generation=Generation(generation),
        base=Generation(base),
        network=controller.NetworkConfig(7, "aes256-gcm", "ab" * 32, "test", classes),
        peers=tuple(controller.PeerInfo(signed(peer), (uplink(peer),)) for peer in peers),
        removed=(),
        routes=routes,
    )


def welcome(generation: int = 0, boot: int = 1) -> engine.Welcome:
    sockets = (engine.EngineUplink("isp1", "198.51.100.1", 51900),)
    return engine.Welcome(engine.PROTOCOL, "0.1.0", "01" * 32, boot, generation, "overlay0", sockets)


def link_report(
    link: int, peer: NodeId, rtt_ms: float, loss: float = 0.0, **changes: Any
) -> engine.LinkReport:
    report = engine.LinkReport(
        link=link,
        peer=peer,
        uplink=0,
        remote=f"198.51.100.{peer}:51900",
        up=True,
        samples=20,
        rtt_min_ns=int(rtt_ms * MS),
        rtt_mean_ns=int(rtt_ms * MS),
        jitter_out_ns=MS,
        jitter_in_ns=MS,
        loss_out_ratio=loss,
        loss_in_ratio=0.0,
        delivered_bps=12_000_000,
        budget_bps=None,
        mtu=1500,
        sent_bytes=0,
        received_bytes=0,
        repair=(),
    )
    return msgspec.structs.replace(report, **changes)


def path_report(
    path: tuple[NodeId, ...], rtt_ms: float, active: bool, loss: float = 0.0
) -> engine.PathReport:
    rtt_ns = int(rtt_ms * MS)
    return engine.PathReport(path[-1], 0, path, active, True, 20, rtt_ns, rtt_ns, loss)


class Dialogue:
    """``talk >> event`` says something at the virtual time; ``talk << expected`` checks the next answer.

    ``expected`` is a command, a command's class, or a predicate. Log lines are kept apart in ``log``.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.now = 100 * SECOND
        self.answers: list[Command] = []
        self.log: list[Log] = []

    def __rshift__(self, event: Event) -> "Dialogue":
        self.silent()
        for command in self.agent.handle(event, self.now):
            if isinstance(command, Log):
                self.log.append(command)
            else:
                self.answers.append(command)
        return self

    def __lshift__(self, expected: Command | type | Callable[[Command], bool]) -> "Dialogue":
        assert self.answers, f"nothing was answered; expected {expected}"
        answer = self.answers.pop(0)
        if isinstance(expected, type):
            assert isinstance(answer, expected), f"{answer} is no {expected.__name__}"
        elif callable(expected):
            assert expected(answer), f"{answer} is not as expected"
        else:
            assert answer == expected
        return self

    def silent(self) -> None:
        """Nothing (more) was answered."""
        assert self.answers == []

    def drain(self) -> list[Command]:
        """Take all answers that are left."""
        answers, self.answers = self.answers, []
        return answers

    def pass_time(self, seconds: float) -> "Dialogue":
        self.now += int(seconds * SECOND)
        return self

    def second(self, *reports: engine.LinkReport, paths: tuple[engine.PathReport, ...] = ()) -> list[Command]:
        """One second of the engine's reports; returns what was answered."""
        self.pass_time(1)
        said = self.drain()
        self >> engine.Links(self.now, 0, reports)
        said += self.drain()
        self >> engine.Paths(self.now, 0, paths)
        return said + self.drain()


def agent(saved: Saved | None = None) -> Agent:
    me = Self(record(ME), (uplink(ME),), ("10.90.0.1/32",), "0.1.0")
    return Agent(me, believe, saved)


def started(*routes: Route, peers: tuple[NodeId, ...] = (BERLIN, ROME)) -> Dialogue:
    """An agent with its engine and a mesh, everything answered so far left out."""
    talk = Dialogue(agent())
    talk >> welcome()
    talk.drain()
    talk >> mesh(1, *routes, peers=peers)
    talk.drain()
    return talk


def snapshots(commands: list[Command]) -> list[engine.Snapshot]:
    return [command.snapshot for command in commands if isinstance(command, PushSnapshot)]


def told(commands: list[Command]) -> list[controller.FromAgent]:
    return [command.message for command in commands if isinstance(command, TellController)]
