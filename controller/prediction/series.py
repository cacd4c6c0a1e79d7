"""The samples of all links over the last hours, as forecasts are made of them: a frame per interval. Pure.

Who appends decides what a sample is: a link without a fresh one is NaN. Nothing is filled in here.
"""

import numpy as np

from controller.topology.links import F32


class Series:
    """[frame, from, to], oldest first: RTT in ms and loss 0..1. Holds the last ``capacity`` frames.

    ``frame_s`` is the interval of frames in seconds; ``appended`` counts all frames there ever were.
    """

    def __init__(self, nodes: int, frame_s: float, capacity: int) -> None:
        self.frame_s = frame_s
        self.capacity = capacity
        self.appended = 0
        # Twice the room: what is held lies in one piece and is seldom moved.
        self._rtt = np.empty((0, nodes, nodes), np.float32)
        self._loss = np.empty((0, nodes, nodes), np.float32)
        self._begin = self._end = 0

    def __len__(self) -> int:
        return self._end - self._begin

    @property
    def nodes(self) -> int:
        return self._rtt.shape[1]

    @property
    def rtt_ms(self) -> F32:
        return self._rtt[self._begin : self._end]

    @property
    def loss(self) -> F32:
        return self._loss[self._begin : self._end]

    def frames_of(self, seconds: float, least: int = 1) -> int:
        """Return how many frames make up ``seconds``, at least ``least``."""
        return max(least, round(seconds / self.frame_s))

    def append(self, rtt_ms: F32, loss: F32 | None = None) -> None:
        """Take in the next frame; the oldest goes where there is no room for it."""
        if self._end == len(self._rtt):
            self._make_room()
        self._rtt[self._end] = rtt_ms
        self._loss[self._end] = np.nan if loss is None else loss
        self._end += 1
        self._begin = max(self._begin, self._end - self.capacity)
        self.appended += 1

    def grow(self, nodes: int) -> None:
        """Nodes were added behind those there are: nothing is known of them."""
        before = self.nodes
        for name in ("_rtt", "_loss"):
            old = getattr(self, name)
            new = np.full((len(old), nodes, nodes), np.nan, np.float32)
            new[:, :before, :before] = old
            setattr(self, name, new)

    def shrink(self, index: int) -> None:
        """The node at ``index`` is gone; later ones move down."""
        for name in ("_rtt", "_loss"):
            setattr(self, name, np.delete(np.delete(getattr(self, name), index, 1), index, 2))

    def _make_room(self) -> None:
        held = len(self)
        room = min(2 * self.capacity, max(16, 2 * held))
        for name in ("_rtt", "_loss"):
            new = np.empty((room, self.nodes, self.nodes), np.float32)
            new[:held] = getattr(self, name)[self._begin : self._end]
            setattr(self, name, new)
        self._begin, self._end = 0, held
