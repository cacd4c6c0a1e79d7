"""Routes move in rounds: how many may move to one relay at a time, and who has to wait. Pure.

To a relay with known capacity no more routes move than it has room for, counting those that moved there
lately and do not show in its load yet; to any relay no more than a share of all routes until forecasts tell
what that made of it. Those that are out of
their bound come first, then those that have not changed for longest. Who has to wait stays, and is asked
again in the next round. What is dead is left at once: for somewhere with room if there is any, else for the
best.

Called by `plan`, and does nothing where few want to move and no capacity is known.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.planner.crowd import Crowd
from controller.planner.search import NONE, Paths, Relays
from controller.policy.costs import OUT_OF_BOUND, Costs
from controller.topology.links import F32, I64, Bool

MOVES_SHARE = 0.025
MOVES_AT_LEAST = 64
"""No more than this share of a class's pairs moves to one relay for a gain until it shows; of few so many."""
SHOWN_NS = 300_000_000_000
"""What more load makes of a relay whose capacity nobody told shows in forecasts within their window."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one class would do without regard to others, [from, to]: which routes would ``move`` to their
    ``ideal``, what there is to ``gain``, what they cost ``here``. A ``dead`` one moves in any case, a
    ``broken`` one is out of its bound, a ``free`` one had no route: only full relays hold these two up.
    """

    move: Bool
    ideal: Paths
    gain: F32
    here: F32
    dead: Bool
    broken: Bool
    free: Bool
    before: Relays
    changed_ns: I64
    gained: Bool
    now_ns: int


Elsewhere = Callable[[Bool], Paths]
"""Searches the best paths that pass none of these nodes."""


def take_turns(
    wishes: Wishes, costs: Costs, crowd: Crowd | None, elsewhere: Elsewhere
) -> tuple[Bool, Relays, Bool]:
    """Return which routes move in this round, where to, and which have to wait."""
    relays, nobody = wishes.ideal.relays, np.zeros_like(wishes.move)
    if not wishes.move.any():
        return wishes.move, relays, nobody
    relayed = wishes.move & (relays[..., 0] > NONE)
    if crowd is None:  # nothing holds up who has no route or has to leave
        relayed &= ~(wishes.dead | wishes.broken | wishes.free)
    pairs = np.argwhere(relayed)
    rows, columns = pairs[:, 0], pairs[:, 1]
    pressing = (wishes.dead | wishes.broken)[rows, columns]
    order = np.lexsort((wishes.changed_ns[rows, columns], ~pressing))
    rows, columns, pressing = rows[order], columns[order], pressing[order]
    wanted = relays[rows, columns]
    go = pressing | wishes.free[rows, columns]
    go[~go] = _within_share(wanted[~go], _lately(wishes))
    worth = np.ones_like(go)
    if crowd is not None:
        carried = crowd.carried(rows, columns, wishes.before[rows, columns])
        here, gain = wishes.here[rows, columns], wishes.gain[rows, columns]
        with np.errstate(invalid="ignore"):
            left = gain - crowd.added(carried, wanted, costs.relay)
            worth = pressing | costs.gain.worth(left, here)
        go &= worth
        go[go] = crowd.fits(carried[go], wanted[go])
        crowd.admit(carried[go], wanted[go])
        stuck = pressing & ~go
        if stuck.any():
            relays = relays.copy()
            where = rows[stuck], columns[stuck]
            go[stuck], relays[where] = _crowded_out(
                wishes, crowd, where, carried[stuck], wanted[stuck], elsewhere
            )
    move, waiting = wishes.move.copy(), nobody
    waiting[rows, columns] = ~go & worth
    move[rows, columns] = go
    return move, relays, waiting


def go_home(home: Bool, before: Relays) -> Bool:
    """Return which of those that would give up a relayed path for the direct one do so in this round: a relay
    that is left by all because it is full is an empty one that all would come back to.
    """
    if not home.any():
        return home
    rows, columns = np.nonzero(home)
    answer = home.copy()
    answer[rows, columns] = _within_share(before[rows, columns], np.zeros(len(home), np.int64))
    return answer


def _crowded_out(
    wishes: Wishes,
    crowd: Crowd,
    where: tuple[NDArray[np.intp], NDArray[np.intp]],
    carried: F32,
    wanted: Relays,
    elsewhere: Elsewhere,
) -> tuple[Bool, Relays]:
    """Return who moves after all, and where to, of those that have to leave and found no room."""
    full = np.zeros(len(crowd.used_bps), np.bool_)
    full[wanted[wanted > NONE]] = True
    full &= crowd.room_bps < carried.max()
    found = elsewhere(full)
    other, cost = found.relays[where], found.cost[where]
    go = cost < OUT_OF_BOUND
    go[go] = crowd.fits(carried[go], other[go])
    dead = wishes.dead[where] & ~go
    relays = np.where(go[:, None], other, wanted)
    go |= dead
    crowd.admit(carried[go], relays[go])
    return go, relays


def _lately(wishes: Wishes) -> NDArray[np.int64]:
    """Return how many routes moved to each relay for a gain within the last :data:`SHOWN_NS`."""
    late = wishes.gained & (wishes.now_ns - wishes.changed_ns < SHOWN_NS)
    passed = wishes.before[late]
    return np.bincount(passed[passed > NONE], minlength=len(late))


def _within_share(relays: Relays, lately: NDArray[np.int64]) -> Bool:
    """Return which of the moves are among the first to each of their relays, after those of lately."""
    nodes = len(lately)
    most = max(MOVES_AT_LEAST, int(MOVES_SHARE * nodes * (nodes - 1)))
    within = np.ones(len(relays), np.bool_)
    counts = np.bincount(relays[relays > NONE], minlength=nodes)
    for node in np.flatnonzero((counts > 0) & (counts + lately > most)).tolist():
        through = np.flatnonzero(within & (relays == node).any(axis=1))
        within[through[max(most - int(lately[node]), 0) :]] = False
    return within
