"""The controller as a state machine: ``handle(event, now) -> commands``. Pure.

Nodes join and leave, agents connect and report, time passes; out come meshes to send and facts to persist. Small changes
of membership are gathered for a moment before they are sent, so that fifty nodes that start together do not make fifty
rounds of fifty messages.
"""

from collections.abc import Iterable

from controller.core.messages import (
    Command,
    Connected,
    Disconnected,
    Enrolled,
    Event,
    Instant,
    Persist,
    Received,
    Removed,
    Send,
    Tick,
)
from controller.core.publication import Publication
from overlayd.model.ids import Generation
from overlayd.protocol.controller import NetworkConfig, PeerInfo

GATHER_NS = 100_000_000


class Controller:
    def __init__(self, network: NetworkConfig, last_generation: Generation = Generation(0)) -> None:
        self.publication = Publication(network, last_generation)
        self._publish_at: int | None = None

    def handle(self, event: Event, now: Instant) -> list[Command]:
        """Take in one event; return what is to be done, in order."""
        match event:
            case Enrolled(record, signed, uplinks, _):
                self.publication.set_peer(record.id, PeerInfo(signed, uplinks))
            case Removed(node):
                self.publication.remove_peer(node)
            case Connected(node, hello):
                info = self.publication.peer(node)
                if info is None:
                    return []
                self.publication.set_peer(node, PeerInfo(info.record, hello.uplinks))
                self._gather(now)
                self.publication.commit()
                greeting = Send(node, self.publication.greet(node, hello.generation))
                return [Persist(self.publication.generation), greeting]
            case Disconnected(node):
                self.publication.part(node)
            case Received():
                pass
            case Tick():
                if self._publish_at is not None and now.monotonic_ns >= self._publish_at:
                    self._publish_at = None
                    return list(self._publish())
        self._gather(now)
        return []

    def poll_timeout(self) -> int | None:
        """Return when (monotonic ns) a :class:`Tick` is due; None: not before the next event."""
        return self._publish_at

    def _gather(self, now: Instant) -> None:
        if self.publication.dirty and self._publish_at is None:
            self._publish_at = now.monotonic_ns + GATHER_NS

    def _publish(self) -> Iterable[Command]:
        yield Persist(self.publication.commit())
        for node in self.publication.greeted:
            if (mesh := self.publication.change_for(node)) is not None:
                yield Send(node, mesh)
