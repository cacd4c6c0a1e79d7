"""What happened on this host lately, for `overlayctl events`: the log's lines that matter, at any log level.

Bounded, and gone with the agent's process. Written by `overlayd.daemon.agent`, read by its local API. Pure.
"""

import logging
from collections import deque
from collections.abc import Mapping

from overlayd.protocol.local import EventList, EventRow

MOST = 1000


class Memory:
    """The newest :data:`MOST` events since ``began`` (Unix seconds)."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._rows: deque[EventRow] = deque(maxlen=MOST)
        self._number = 0

    def note(self, level: int, event: str, values: Mapping[str, object], unix: float) -> None:
        """Remember one event, unless it is for those alone who look for a fault (`logging.DEBUG`)."""
        if level < logging.INFO:
            return
        self._number += 1
        named = "error" if level >= logging.ERROR else "warning" if level >= logging.WARNING else "info"
        plain = {key: _plain(value) for key, value in values.items()}
        self._rows.append(EventRow(self._number, unix, named, event, plain))

    def told(self, since: float = 0.0, after: int = 0, limit: int = MOST) -> EventList:
        """Return the newest ``limit`` since a time and after a number, the oldest first."""
        rows = [row for row in self._rows if row.at >= since and row.number > after]
        return EventList(self._began, tuple(rows[-limit:] if limit else ()))


def _plain(value: object) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
