"""What the network is right now, and what each agent holds of it: answers "what does this agent lack?".
Pure.

Every item carries the generation it last changed in, and what went away leaves a tombstone, so that the
change since any generation an agent names can be told. Generations count commits; an agent that none of
a commit's changes concern is sent nothing and stays at its older generation. Routes are in the book
(`controller.core.book`).
"""

from bisect import bisect_right

from controller.core.book import RouteBook
from controller.core.messages import Send
from overlayd.model.ids import Generation, NodeId
from overlayd.model.node import SignedRevocation
from overlayd.protocol.controller import Mesh, NetworkConfig, PeerInfo

MAX_CHANGES = 20_000
"""So many changes of members are remembered."""
NO_NEIGHBOURS: tuple[None, Generation] = None, Generation(0)
"""Nothing was ever said of whom a node is to keep links with: with everyone."""


class Publication:
    """Begins above ``last``, the newest generation of the previous run: whoever holds an older one is
    sent everything.
    """

    def __init__(self, network: NetworkConfig, last: Generation, book: RouteBook) -> None:
        self.network = network
        self._book = book
        self.generation = Generation(last + 1)
        self._oldest_base = self.generation
        self._dirty = False
        self._peers: dict[NodeId, PeerInfo | None] = {}
        self._changed: list[tuple[Generation, NodeId]] = []
        self._revocations: dict[NodeId, tuple[SignedRevocation, Generation]] = {}
        self._revoked = Generation(0)
        self._neighbours: dict[NodeId, tuple[tuple[NodeId, ...], Generation]] = {}
        self._held: dict[NodeId, Generation] = {}

    def set_network(self, network: NetworkConfig) -> None:
        """What all are told of the network is another; it is told along with everything."""
        self.network = network
        self._dirty = True
        self._oldest_base = self.next

    def set_peer(self, node: NodeId, info: PeerInfo) -> None:
        """``node`` is a member, as ``info`` says; no change if it was known like this."""
        if self._peers.get(node) != info:
            self._stamp(node, info)

    def remove_peer(self, node: NodeId) -> None:
        """``node`` is no member any more."""
        if node in self._peers:
            self._stamp(node, None)
        self._held.pop(node, None)
        self._neighbours.pop(node, None)

    def set_neighbours(self, node: NodeId, neighbours: tuple[NodeId, ...]) -> None:
        """``node`` is to keep links with these; (): with everyone."""
        self._dirty = True
        self._neighbours[node] = (neighbours, self.next)

    def revoke(self, node: NodeId, signed: SignedRevocation) -> None:
        """``signed`` is the newest revocation of ``node``; a later member with its id is another one."""
        self._dirty = True
        self._revocations[node] = (signed, self.next)
        self._revoked = self.next

    def peer(self, node: NodeId) -> PeerInfo | None:
        """Return what is published about ``node``."""
        return self._peers.get(node)

    @property
    def next(self) -> Generation:
        """What the next commit makes, if anything changed."""
        return Generation(self.generation + 1)

    def touch(self) -> None:
        """Routes changed."""
        self._dirty = True

    @property
    def dirty(self) -> bool:
        """Whether something changed since the last commit."""
        return self._dirty

    def commit(self) -> Generation:
        """Make the changes since the last commit one new generation."""
        if self._dirty:
            self.generation = self.next
            self._dirty = False
            if len(self._changed) > MAX_CHANGES:
                self._bury()
        return self.generation

    def greet(self, node: NodeId, holds: Generation) -> Send:
        """Return what an agent that holds generation ``holds`` needs; call after a commit.

        An agent that is ahead of us (our store was restored from an older copy) makes us skip ahead of it.
        """
        if holds > self.generation:
            self.generation = Generation(holds + 1)
            self._oldest_base = self.generation
        self._held[node] = self.generation
        return self._send(node, self._base(holds))

    def change_for(self, node: NodeId) -> Send | None:
        """Return what a greeted agent lacks, and take it as sent; None if nothing concerns it. Call
        after a commit.
        """
        held = self._held.get(node)
        if held is None or held == self.generation:
            return None
        base = self._base(held)
        newest = max(
            self._changed[-1][0] if self._changed else 0,
            self._revoked,
            self._book.newest(node),
            self._neighbours.get(node, NO_NEIGHBOURS)[1],
        )
        if base and newest <= base:
            return None
        self._held[node] = self.generation
        return self._send(node, base)

    def part(self, node: NodeId) -> None:
        """The agent's channel is gone; what it holds, its next greeting will say."""
        self._held.pop(node, None)

    @property
    def greeted(self) -> list[NodeId]:
        """The agents whose channels are open, by id."""
        return sorted(self._held)

    def _base(self, held: Generation) -> Generation:
        return held if self._oldest_base <= held else Generation(0)

    def _send(self, node: NodeId, base: Generation) -> Send:
        peers: list[PeerInfo] = []
        removed: list[NodeId] = []
        for other in self._changed_since(base):  # its own record too: what it may announce stands there
            if (info := self._peers[other]) is not None:
                peers.append(info)
            elif base:
                removed.append(other)
        rows = self._book.rows(node, base) if self._book.newest(node) > base else None
        gone = rows.gone if rows is not None and base else ()
        classes = range(len(self.network.classes))
        neighbours, since = self._neighbours.get(node, NO_NEIGHBOURS)
        mesh = Mesh(
            generation=self.generation,
            base=base,
            network=self.network if not base else None,
            peers=tuple(peers),
            removed=tuple(removed),
            routes=(),
            routes_removed=(*gone, *[(other, number) for other in removed for number in classes]),
            revocations=tuple(
                signed for signed, said in self._revocations.values() if not base or said > base
            ),
            neighbours=neighbours if since > base else None,
        )
        return Send(node, mesh, rows)

    def _changed_since(self, base: Generation) -> list[NodeId]:
        """Return who changed after ``base``, in the order in which they came."""
        if not base:
            return list(self._peers)
        begin = bisect_right(self._changed, base, key=lambda change: change[0])
        return list(dict.fromkeys(node for _, node in self._changed[begin:]))

    def _stamp(self, node: NodeId, value: PeerInfo | None) -> None:
        self._dirty = True
        self._peers[node] = value
        self._changed.append((self.next, node))

    def _bury(self) -> None:
        """Forget what went away; whoever holds something older is sent everything."""
        self._oldest_base = self.generation
        self._changed.clear()
        self._peers = {node: info for node, info in self._peers.items() if info is not None}
