"""What is asked about the past: links at any time, as finely as it is still kept, decisions, and changes of
routes. I/O: the store.

Each telemetry interval a frame comes in; five minutes of frames are rolled up to one, and an hour of those
again (`controller.topology.frames`). Within the next coarser step a frame is kept as the difference to the
one before. Everything here takes up to a second for a thousand nodes and is called in threads.
"""

import logging
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.config import StoreSection
from controller.core.decision import Decision
from controller.core.messages import RouteEvent
from controller.core.record import BadRecord, pack_decision, pack_difference, unpack_decision
from controller.store.store import Store
from controller.topology.frames import BadFrame, LinkFrame, pack_frame, roll_up, unpack_frame
from overlayd.model.ids import NodeId

LOG = logging.getLogger(__name__)

DAY_S = 86400.0
WHOLE_EVERY_S = 3600.0
WHOLE_EVERY_SHARE = 1 / 8
"""A record of a decision is whole after an hour, or when differences to the last one take this share of the
bytes for all: a whole one goes with its differences.
"""
STALE_SPANS = 3.0
"""A moment is told by a frame that is at most so many of its level's spans older."""


@dataclass(frozen=True, slots=True)
class Level:
    """``span_s`` is what one frame stands for, ``chain_s`` how often one is complete."""

    number: int
    span_s: float
    chain_s: float

    def chain(self, unix_s: float) -> int:
        """Return which chain a frame of that time belongs to: what is rolled up together, ends inclusive."""
        return math.ceil(unix_s / self.chain_s)


FIVE_MINUTES: Final = Level(1, 300.0, 3600.0)
HOURS: Final = Level(2, 3600.0, DAY_S)


@dataclass(frozen=True, slots=True)
class Moment:
    """The links as they were at ``at`` (Unix seconds) or, where history is rolled up, in the ``span_s``
    before.
    """

    at: float
    span_s: float
    frame: LinkFrame


@dataclass(slots=True)
class _Whole:
    """The record that differences are made to, and how many bytes it and they are."""

    at: float
    inputs: bytes
    held: int


class Archive:
    """``interval_s`` is the telemetry interval. One thread may record while others ask."""

    def __init__(self, database: Path, keep: StoreSection, interval_s: float) -> None:
        fine = Level(0, interval_s, max(FIVE_MINUTES.span_s, interval_s))
        self._levels = (fine, FIVE_MINUTES, HOURS)
        self._days = (keep.frames_days, keep.retention_days, keep.hourly_days)
        self._most_bytes = keep.decisions_gb * 1e9
        self._writer, self._reader = Store.open(database), Store.open(database)
        self._writing, self._reading, self._packing = threading.Lock(), threading.Lock(), threading.Lock()
        self._whole: _Whole | None = None
        self._last: dict[int, tuple[float, float, LinkFrame]] = {}
        self._rolled_up_to = {level.number: self._writer.newest_frame(level.number) for level in self._levels}

    def close(self) -> None:
        with self._writing:
            self._writer.close()
        with self._reading:
            self._reader.close()

    def record(self, unix_s: float, frame: LinkFrame) -> None:
        """Keep the links of this moment, and roll up what is complete. Raises ``sqlite3.Error``."""
        with self._writing:
            self._append(self._levels[0], unix_s, frame)
            for finer, coarser in zip(self._levels, self._levels[1:], strict=False):
                self._roll(finer, coarser, unix_s)

    def prune(self, unix_s: float) -> None:
        """Forget what is older than it is to be kept. Raises ``sqlite3.Error``."""
        with self._writing, self._writer.transaction():
            for level, days in zip(self._levels, self._days, strict=True):
                self._writer.prune_frames(level.number, unix_s - days * DAY_S)
        with self._packing, self._writing:
            with self._writer.transaction():
                self._writer.prune_decisions(unix_s - self._days[0] * DAY_S, self._most_bytes)
            if self._whole is not None and not self._writer.has_decision(self._whole.at):
                self._whole = None

    def at(self, unix_s: float) -> Moment | None:
        """Return the links as they were, by the finest level that still knows; None if none does."""
        for level in self._levels:
            with self._reading:
                chain = self._reader.frame_chain(level.number, unix_s)
            if not chain or chain[-1][0] < unix_s - STALE_SPANS * level.span_s:
                continue
            frame: LinkFrame | None = None
            try:
                for _, blob in chain:
                    frame = unpack_frame(blob, frame)
            except BadFrame as error:
                LOG.error("history of links at %d cannot be read: %s", unix_s, error)
                continue
            if frame is not None:
                return Moment(chain[-1][0], level.span_s, frame)
        return None

    def keep_decision(self, decision: Decision) -> None:
        """Keep what a decision was made from. Raises ``sqlite3.Error``."""
        at = decision.now.unix_s
        with self._packing:
            whole, inputs = self._whole, None
            if whole is not None and whole.at < at < whole.at + WHOLE_EVERY_S:
                if whole.held <= WHOLE_EVERY_SHARE * self._most_bytes:
                    inputs = pack_difference(decision, whole.inputs)
            if whole is None or inputs is None:
                inputs = pack_decision(decision)
                whole = _Whole(at, inputs, 0)
            with self._writing, self._writer.transaction():
                self._writer.append_decision(at, whole.at, inputs)
            whole.held += len(inputs)
            self._whole = whole

    def decision(self, unix_s: float) -> Decision | None:
        """Return the newest decision that was made until then; None if it is not kept, or not readable any
        more.
        """
        with self._reading:
            record = self._reader.decision(unix_s)
        if record is None:
            return None
        try:
            return unpack_decision(*record)
        except BadRecord as error:
            LOG.warning("the decision in force at %d cannot be read: %s", unix_s, error)
            return None

    def changes(
        self, source: NodeId, destination: NodeId, class_id: int | None, limit: int, until: float | None
    ) -> Sequence[RouteEvent]:
        """Return the newest changes of a route, newest first."""
        with self._reading:
            return self._reader.history(source, destination, class_id, limit, until)

    def newest_changes(self, limit: int, until: float | None) -> Sequence[RouteEvent]:
        """Return the newest changes of all routes, newest first."""
        with self._reading:
            return self._reader.newest_changes(limit, until)

    def between(self, after: float, until: float, most: int) -> Iterator[Moment]:
        """Yield the links later than ``after``, up to ``until``, oldest first, by the finest level that has
        at most so many frames in that time, or by the coarsest.
        """
        finest = (level for level in self._levels if (until - after) / level.span_s <= most)
        level = next(finest, self._levels[-1])
        with self._reading:
            rows = self._reader.frames(level.number, after - level.chain_s, until)
        last: LinkFrame | None = None
        for at, complete, blob in rows:
            if last is None and not complete:
                continue
            try:
                last = unpack_frame(blob, None if complete else last)
            except BadFrame as error:
                LOG.error("history of links at %d cannot be read: %s", at, error)
                last = None
                continue
            if at > after:
                yield Moment(at, level.span_s, last)

    def _append(self, level: Level, at: float, frame: LinkFrame) -> None:
        known = self._last.get(level.number)
        same_chain = known is not None and level.chain(known[0]) == level.chain(at)
        if known is not None and same_chain and known[2].ids == frame.ids and known[0] < at:
            base, blob = known[1], pack_frame(frame, known[2])
        else:
            base, blob = at, pack_frame(frame)
        with self._writer.transaction():
            self._writer.append_frame(level.number, at, base, blob)
        self._last[level.number] = (at, base, frame)

    def _roll(self, finer: Level, coarser: Level, now: float) -> None:
        """Make the newest frame of ``coarser`` whose span has just ended."""
        end = now // coarser.span_s * coarser.span_s
        done = self._rolled_up_to[coarser.number]
        if done is not None and done >= end:
            return
        self._rolled_up_to[coarser.number] = end
        frames: list[LinkFrame] = []
        last: LinkFrame | None = None
        for _, complete, blob in self._writer.frames(finer.number, end - coarser.span_s, end):
            if last is None and not complete:
                continue
            try:
                last = unpack_frame(blob, None if complete else last)
            except BadFrame as error:
                LOG.error("a frame cannot be rolled up: %s", error)
                last = None
                continue
            frames.append(last)
        if frames:
            self._append(coarser, end, roll_up(frames))
