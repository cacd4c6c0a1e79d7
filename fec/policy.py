"""How much to repair, and when: from the estimates of a hop and the objective of a class to a table.

A class allows a hop some delay D. With a feedback round trip RTT and a guard g (the wait for reordered
packets plus the feedback interval) there are R = 1 + floor((D - g) / (RTT + g)) rounds: the first
transmission and R - 1 retransmissions. In every round the sender may add coded symbols. One added early
costs its bytes always; one added in a later round costs them only if that round takes place, but is of no
use to packets that cannot wait that long.

The trade is a small decision problem, after Hairpin (Meng et al., NSDI 2024). State: (symbols missing at the
receiver, rounds left). Decision: b, the coded symbols to send beyond the missing ones. Any n of the n + b
symbols of a round will do (see `fec.code`), so if l are lost, max(0, l - b) symbols are missing in the next
round, and after the last round the source symbols among the lost ones are lost for good. Losses follow a
two-state chain with the estimated loss ratio and mean run. `plan` minimises bytes + price · losses, at the
lowest price of a lost symbol that brings the residual loss to the objective.

What the model simplifies. On the safe side: the sliding window counts as a block of the window's size (the
window does better at equal overhead), and a round's retransmissions as one burst. On the other side: rounds
are independent (an outage longer than an RTT makes them alike), which the engine helps by spreading the
symbols of a round over what is left of the time; a lost request for retransmission costs nothing; and a
symbol that is recovered only once the whole window is there counts as in time. What is still missing after
repair failed is asked for symbol by symbol. The benchmarks decide, not the model's forecast.

Latency is not in the model: a packet that needs another round waits a round trip. `early_share` adds repair
symbols in the first round whatever the residual asks for: with 3 % of them, fewer than one packet in a
hundred takes two round trips at 10 % loss.

The engine looks up the row of its own estimates. A table depends on little (rounds, window, loss run,
objective), so that it is solved ahead of time, wherever numpy is at hand: `fec.tables` makes those of the
default classes. Not here: the estimators, congestion control. Pure.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fec.code import WINDOW_LIMIT

LOSS_ROWS: Final = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04),
    *(0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4),
)
"""Upper ends of the table's loss ratios. Up to the first one there is no redundancy."""

RETRY_LIMIT: Final = 16
"""Missing symbols that the retransmission table tells apart; for more, its last column holds in proportion.
"""

ROUND_LIMIT: Final = 6
"""More rounds than this change nothing: the loss ratio to its power is below every objective."""

_THIN_WINDOW: Final = 4

_PRICE_STEPS: Final = 14

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Objective:
    """What a class asks of a hop."""

    deadline_ns: int
    """Delay that repair may add."""
    residual_loss: float
    """Share of packets (0..1) that may be lost or late."""
    repair_cap: float = 0.2
    """Most repair symbols per source symbol, retransmissions not counted."""
    price_limit: float = 3000.0
    """Most extra symbols worth sending to save one more. Without it a target that losses make unattainable
    would be bought at any price."""
    early_share: float = 0.0
    """Repair symbols in the first round per packet that has to be expected lost, at least, where a retry
    fits …
    """
    early_limit: float = 0.03
    """… and per source symbol at most."""


@dataclass(frozen=True, slots=True)
class Hop:
    """What is known of a hop, for one class."""

    rtt_ns: int
    """Round trip of feedback."""
    guard_ns: int
    """Wait for reordered packets plus feedback interval."""
    rate_pps: float
    """Source symbols per second."""
    mean_loss_run: float = 1.0
    """Mean length of a run of lost packets, in packets of this stream."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One row of the table: what to do at a loss ratio up to `loss_ratio`."""

    loss_ratio: float
    repair_ratio: float
    """Repair symbols per source symbol in the first round."""
    retry_extra: tuple[tuple[int, ...], ...]
    """retry_extra[r][n - 1]: coded symbols to add to the retransmission of n symbols, with r more rounds
    after it.
    """
    residual_loss: float
    """What the model expects to remain."""
    overhead: float
    """What the model expects to send beyond the source symbols, per source symbol, retransmissions
    included.
    """


@dataclass(frozen=True, slots=True)
class RepairTable:
    """The policy of one hop and class."""

    rounds: int
    window: int
    rows: tuple[Decision, ...]

    def row(self, loss_ratio: float) -> Decision:
        """The row for an upper bound of the loss: the first that reaches it, or the last."""
        return self.rows[min(bisect_left(LOSS_ROWS, loss_ratio), len(self.rows) - 1)]


def loss_upper_bound(lost: int, sent: int, deviations: float = 1.64) -> float:
    """The upper end of the Wilson score interval of a loss ratio; 1.64 deviations: 95 % on one side.

    Zero if nothing was lost: redundancy is off on a clean link, however short the look at it.
    """
    if lost == 0 or sent == 0:
        return 0.0
    ratio, z2 = lost / sent, deviations * deviations
    spread = deviations * sqrt(ratio * (1 - ratio) / sent + z2 / (4 * sent * sent))
    return min(1.0, (ratio + z2 / (2 * sent) + spread) / (1 + z2 / sent))


def rounds(hop: Hop, objective: Objective) -> int:
    """How often a packet can be sent within the deadline, the first time included: 1 to 6."""
    left = objective.deadline_ns - hop.guard_ns
    return max(1, min(ROUND_LIMIT, 1 + left // max(1, hop.rtt_ns + hop.guard_ns)))


def window(hop: Hop, objective: Objective) -> int:
    """Source symbols per encoding window: those of half the deadline, 1 to 128.

    The other half is for the repair symbols to come. A flow too thin for that has as many as the deadline
    lets in, at most 4: over a single symbol the code can only repeat it.
    """
    per_deadline = hop.rate_pps * objective.deadline_ns / 1e9
    thin = min(_THIN_WINDOW, 1 + int(per_deadline))
    return max(thin, min(WINDOW_LIMIT, int(per_deadline / 2)))


def decide(
    rounds_: int, window_: int, loss_ratio: float, objective: Objective, mean_loss_run: float = 1.0
) -> Decision:
    """The decisions for a single loss ratio, given what fits into the deadline: see `rounds` and `window`."""
    most_extra = int(objective.repair_cap * window_)
    chances = loss_distribution(max(window_ + most_extra, 2 * RETRY_LIMIT), loss_ratio, mean_loss_run)
    first = _Round.of(chances, np.array([window_]), most_extra, repeats=False)
    retry = _Round.of(chances, np.arange(1, RETRY_LIMIT + 1), RETRY_LIMIT, repeats=True)
    return _cheapest(first, [retry] * (rounds_ - 1), loss_ratio, objective)


def plan(hop: Hop, objective: Objective, coded_retries: bool = True) -> RepairTable:
    """The table for a hop. The same plan is asked for again and again: it is computed once.

    `coded_retries`: whether the engine adds coded symbols to retransmissions; if not, the first round has to
    do with more.
    """
    # Two digits of the run's length are more than anybody knows of it.
    run = round(max(1.0, hop.mean_loss_run), 1)
    count, size = rounds(hop, objective), window(hop, objective)
    retry_most = RETRY_LIMIT if coded_retries else 0
    rows = _rows(count, size, run, retry_most, objective)
    return RepairTable(count, size, rows)


@lru_cache(maxsize=256)
def _rows(count: int, size: int, run: float, retry_most: int, objective: Objective) -> tuple[Decision, ...]:
    most_extra = int(objective.repair_cap * size)
    clean = Decision(LOSS_ROWS[0], 0.0, ((0,) * RETRY_LIMIT,) * (count - 1), 0.0, 0.0)
    rows = [clean]
    for loss_ratio in LOSS_ROWS[1:]:
        chances = loss_distribution(max(size + most_extra, 2 * RETRY_LIMIT), loss_ratio, run)
        first = _Round.of(chances, np.array([size]), most_extra, repeats=False)
        retry = _Round.of(chances, np.arange(1, RETRY_LIMIT + 1), retry_most, repeats=True)
        rows.append(_cheapest(first, [retry] * (count - 1), loss_ratio, objective))
    return tuple(rows)


def loss_distribution(most: int, loss_ratio: float, run: float) -> Floats:
    """P[m, l]: the probability that of m packets in a row l are lost; [most + 1 x most + 1].

    The chain loses the next packet with probability 1 - 1/run after a loss, and after a success such that it
    loses `loss_ratio` in all. Independent losses are the shortest runs there are, 1 / (1 - loss_ratio).
    """
    run = max(run, 1 / (1 - loss_ratio))
    after_loss = 1 - 1 / run
    after_success = loss_ratio / ((1 - loss_ratio) * run)
    table = np.zeros((most + 1, most + 1))
    table[0, 0] = 1.0
    # Joint with the fate of the last packet; the first packet follows the long run's mixture.
    ended_well, ended_badly = np.zeros(most + 1), np.zeros(most + 1)
    ended_well[0], ended_badly[0] = 1 - loss_ratio, loss_ratio
    for count in range(1, most + 1):
        lost_next = ended_well * after_success + ended_badly * after_loss
        ended_well = ended_well * (1 - after_success) + ended_badly * (1 - after_loss)
        ended_badly = np.concatenate([[0.0], lost_next[:-1]])
        table[count] = ended_well + ended_badly
    return table


def _cheapest(
    first: "_Round", retries: Sequence["_Round"], loss_ratio: float, objective: Objective
) -> Decision:
    """The decisions at the lowest price of a loss that meets the target, or else at the limit."""
    low, high = 0.0, log(objective.price_limit)
    best = _decide(first, retries, loss_ratio, exp(high))
    if best.residual_loss > objective.residual_loss:
        return best
    for _ in range(_PRICE_STEPS):
        middle = (low + high) / 2
        attempt = _decide(first, retries, loss_ratio, exp(middle))
        if attempt.residual_loss <= objective.residual_loss:
            best, high = attempt, middle
        else:
            low = middle
    return best


def _decide(first: "_Round", retries: Sequence["_Round"], loss_ratio: float, price: float) -> Decision:
    """Solves the decision problem at one price, from the last round to the first."""
    after: _Outcome | None = None
    retry_extra: list[tuple[int, ...]] = []
    for retry in retries:
        extra, after = retry.best(after, price)
        retry_extra.append(tuple(int(number) for number in extra))
    extra, outcome = first.best(after, price)
    size = int(first.symbols[0])
    residual, spent = float(outcome.residual[0]) / size, float(outcome.spent[0]) / size
    return Decision(loss_ratio, int(extra[0]) / size, tuple(retry_extra), residual, spent)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What is to be expected of a round and those after it, for every number of symbols it may start with."""

    residual: Floats
    """Source symbols lost for good."""
    spent: Floats
    """Symbols sent beyond the first transmission of source symbols."""


@dataclass(frozen=True, slots=True)
class _Round:
    """One round for each of several numbers n of symbols, with each number b = 0, 1, ... of extra symbols."""

    symbols: Integers
    """[n]"""
    cost: Floats
    """[n x b]: symbols sent in this round that count as spent."""
    missing: Floats
    """[n x b x m]: the probability that m symbols are missing after it."""
    lost_if_last: Floats
    """[n x b]: the expected number of source symbols that are lost if no round follows."""

    @staticmethod
    def of(chances: Floats, symbols: Integers, most_extra: int, repeats: bool) -> "_Round":
        """A round by the distribution of losses; `repeats` if the n symbols were sent before."""
        n = symbols[:, None, None]
        b = np.arange(most_extra + 1)[None, :, None]
        m = np.arange(int(symbols.max()) + 1)[None, None, :]
        # The code makes up for all of b losses, or for none of more: each is asked for, or lost with the
        # share that source symbols have. Of n symbols no more than n can be missing.
        lost: Integers = np.arange(chances.shape[1], dtype=np.int64)[None, None, :]
        chance = np.where(lost > b, chances[n[:, :, 0] + b[:, :, 0]], 0.0)
        missing = np.zeros((len(symbols), most_extra + 1, m.shape[2]))
        np.add.at(missing, (np.arange(len(symbols))[:, None, None], b, np.minimum(lost, n)), chance)
        missing[:, :, 0] = 1 - missing.sum(axis=2)
        lost_for_good = (chance * lost * n / (n + b)).sum(axis=2)
        cost = (symbols[:, None] * int(repeats) + b[:, :, 0]).astype(np.float64)
        return _Round(symbols, cost, missing, lost_for_good)

    def best(self, after: _Outcome | None, price: float) -> tuple[Integers, _Outcome]:
        """For every n the best b, and what comes of it; `after` is None in the last round."""
        if after is None:
            residual, spent = self.lost_if_last, self.cost
        else:
            most = self.missing.shape[2]
            residual = self.missing @ _extend(after.residual, most)
            spent = self.cost + self.missing @ _extend(after.spent, most)
        choice = np.argmin(spent + price * residual, axis=1)
        row = np.arange(len(choice))
        return choice, _Outcome(residual[row, choice], spent[row, choice])


def _extend(values: Floats, most: int) -> Floats:
    """Values for n = 1 .. RETRY_LIMIT as values for m = 0 .. most - 1; beyond the limit in proportion."""
    m = np.arange(most)
    known = np.clip(m, 1, RETRY_LIMIT)
    return values[known - 1] * (m / known)
