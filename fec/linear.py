"""Linear systems over GF(2^8): reduction to row echelon form.

Called by `fec.code` for both decoders. Pure.
"""

import numpy as np

from fec.field import Bytes, inverse, scale


def reduce_rows(matrix: Bytes, unknowns: int) -> tuple[Bytes, dict[int, int]]:
    """Brings a copy of `matrix` into reduced row echelon form over its first `unknowns` columns.

    The columns after those go along: they hold the right-hand sides. Returns the reduced matrix and, for
    every pivot column, the row that it stands in. Columns that are no pivots are free: the system leaves
    them open.
    """
    reduced = matrix.copy()
    pivots: dict[int, int] = {}
    for column in range(unknowns):
        row = len(pivots)
        below = np.flatnonzero(reduced[row:, column])
        if below.size == 0:
            continue
        reduced[[row, row + below[0]]] = reduced[[row + below[0], row]]
        reduced[row] = scale(inverse(int(reduced[row, column])), reduced[row])
        for other in np.flatnonzero(reduced[:, column]):
            if other != row:
                reduced[other] ^= scale(int(reduced[other, column]), reduced[row])
        pivots[column] = row
    return reduced, pivots


def determined(reduced: Bytes, pivots: dict[int, int], unknowns: int) -> dict[int, int]:
    """The unknowns that the system fixes, each with its row: those whose row names no other unknown.

    In reduced form this finds every one, also when the system as a whole is under-determined.
    """
    return {column: row for column, row in pivots.items() if np.count_nonzero(reduced[row, :unknowns]) == 1}
