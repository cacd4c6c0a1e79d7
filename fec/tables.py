"""The repair tables of the default classes: `python -m fec.tables > overlayd/model/repair.json` writes them.

A table has a part for each number of rounds that fit into the deadline and for the window that a flow
fills, and in each part a row for each loss ratio (see `RepairRow` in `engine/node/src/snapshot.rs`, which
says how the engine looks one up). It depends on the loss to get to and on the cap alone, so that classes of
different deadlines share one. Pure but for the standard output.
"""

import json
from collections.abc import Iterator
from typing import Final, TypeAlias

from fec.policy import Objective, decide

Row: TypeAlias = tuple[int, int, float, float, tuple[float, ...]]
"""Rounds, window, loss ratio, repair symbols per source symbol, coded symbols per frame sent again: where
no further round fits, where one more does, ...
"""

LOSSES: Final = (0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.065, 0.08, 0.1, 0.12, 0.14, 0.17, 0.22, 0.3, 0.4)

PARTS: Final = ((1, 1), (1, 4), (1, 16), (1, 64), (2, 1), (2, 4), (2, 16), (2, 64), (3, 1), (4, 1))
"""Rounds and window. With three rounds the window makes no difference, and with more than four the rounds
make none.
"""

_WIDE: Final = 48
"""Window that parts for any window are solved for."""

OBJECTIVES: Final = {
    "moderate": Objective(0, 1e-5, repair_cap=0.2, price_limit=500, early_share=0.6, early_limit=0.035),
    "thin": Objective(0, 1e-4, repair_cap=1.15, price_limit=500, early_share=1.0, early_limit=0.2),
    "strong": Objective(0, 1e-6, repair_cap=1.05, price_limit=3000, early_share=1.0, early_limit=0.1),
}
"""By the name of the table: what unmarked traffic, thin real-time flows and `reliable` ask for. The
deadline is told by the rounds.
"""


def table(objective: Objective) -> Iterator[Row]:
    """Yield the rows in the order that the engine wants."""
    for rounds, least_window in PARTS:
        window = _WIDE if rounds > 2 else max(2, least_window) if least_window < 64 else 50
        for loss_ratio in LOSSES:
            decision = decide(rounds, window, loss_ratio, objective)
            early = min(objective.early_share * loss_ratio, objective.early_limit)
            if rounds == 1:  # a cap below one symbol per block is none for a sliding window
                early = min(2 * loss_ratio, objective.repair_cap)
            ratio = max(decision.repair_ratio, early)
            again = [float(extra[0]) for extra in decision.retry_extra]  # mostly they are sent one by one
            while again and again[-1] == 0:
                again.pop()
            if again:  # the last entry holds beyond
                again.append(0.0)
            yield rounds, least_window, loss_ratio, round(ratio, 3), tuple(again)


def main() -> None:
    """Write all tables as JSON, a row a line."""
    solved = {name: ",\n".join(map(json.dumps, table(objective))) for name, objective in OBJECTIVES.items()}
    print("{\n" + ",\n".join(f'"{name}": [\n{rows}\n]' for name, rows in solved.items()) + "\n}")


if __name__ == "__main__":
    main()
