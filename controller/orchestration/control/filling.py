"""How much room full instances have for what is new. Pure.

A part between `LEAST` and 1, by which an instance's weight is multiplied. It falls with each report of one
that takes more of its limit than `GOAL`, and comes back when it takes less: by the root of what would be
right if load followed weights alone, so that it settles.
"""

from collections.abc import Collection, Mapping

GOAL = 0.7
"""Of its limit an instance may take so much before others get more of what is new."""
GAIN = 0.5
MOST_BACK = 1.25
LEAST = 0.05


def room_after(room: float, full: float) -> float:
    """Return an instance's room once it has told how ``full`` it is: the part of its limit that it takes."""
    change = min(MOST_BACK, (GOAL / max(full, 0.01)) ** GAIN)
    return min(1.0, max(LEAST, room * change))


class Rooms:
    """The room of each instance, by its uid; 1 of those that tell nothing."""

    def __init__(self) -> None:
        self._rooms: dict[str, float] = {}

    def told(self, full: Mapping[str, float]) -> None:
        """Take what a node tells of its pods."""
        for uid, part in full.items():
            self._rooms[uid] = room_after(self._rooms.get(uid, 1.0), part)

    def keep(self, uids: Collection[str]) -> None:
        """Forget all instances but these."""
        self._rooms = {uid: room for uid, room in self._rooms.items() if uid in uids}

    def all(self) -> Mapping[str, float]:
        """Return the rooms as they are now."""
        return dict(self._rooms)
