"""What happens to an agent (events) and what it wants done (commands).

Engine and controller messages are events as they arrive (``overlayd.protocol``); what has no message of its
own is defined here. The process (``overlayd.daemon.agent``) and the simulator turn the world into events
and carry out commands, in order. Pure.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from overlayd.agent.mesh import Saved
from overlayd.model.ids import NodeId
from overlayd.model.node import SignedRecord, Uplink
from overlayd.model.service import HostRule
from overlayd.protocol import controller, engine

# Events


@dataclass(frozen=True, slots=True)
class EngineLost:
    """The engine's socket closed. It may well be forwarding still."""

    problem: str


@dataclass(frozen=True, slots=True)
class ControllerConnected:
    """The channel is authenticated; nothing was said on it yet."""


@dataclass(frozen=True, slots=True)
class ControllerLost:
    problem: str


@dataclass(frozen=True, slots=True)
class Left:
    """The operator takes this node out of the network."""


@dataclass(frozen=True, slots=True)
class NeighbourSeen:
    """An authentic announcement: ``node`` can be called at ``endpoint`` from the local uplink ``uplink``."""

    node: NodeId
    endpoint: str
    uplink: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; sent about once a second. ``unix`` is the wall clock in seconds, for display only."""

    unix: float = 0.0


@dataclass(frozen=True, slots=True)
class Configured:
    """This node's uplinks, what it wants to announce or its rules are others from now on."""

    uplinks: tuple[Uplink, ...]
    prefixes: tuple[str, ...]
    rules: tuple[HostRule, ...] = ()


Event: TypeAlias = (
    engine.FromEngine
    | controller.ToAgent
    | Configured
    | EngineLost
    | ControllerConnected
    | ControllerLost
    | Left
    | NeighbourSeen
    | Tick
)

# Commands


@dataclass(frozen=True, slots=True)
class PushSnapshot:
    """Give the engine these tables."""

    snapshot: engine.Snapshot


@dataclass(frozen=True, slots=True)
class TellController:
    """Send if the channel is open; lost otherwise (the next Hello says what matters)."""

    message: controller.FromAgent


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Close the controller's channel and open it again: what it sent does not fit what is held."""

    reason: str


@dataclass(frozen=True, slots=True)
class Save:
    """Persist before any later command is carried out."""

    saved: Saved


@dataclass(frozen=True, slots=True)
class Certified:
    """A renewed certificate (PEM chain) and record, to be stored and used from the next connection on."""

    certificate: str
    record: SignedRecord


@dataclass(frozen=True, slots=True)
class Recorded:
    """This node's record was signed anew (what it announces was granted, say), to be stored."""

    record: SignedRecord


class Level(IntEnum):
    """As in ``logging``."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


@dataclass(frozen=True, slots=True)
class Log:
    """One line for the log: ``event`` for programs, ``fields`` its facts."""

    level: Level
    event: str
    fields: dict[str, object] = field(default_factory=dict[str, object])


Command: TypeAlias = PushSnapshot | TellController | Reconnect | Save | Certified | Recorded | Log
