"""Row reduction on systems whose solution is known."""

import numpy as np

from fec.field import PRODUCT
from fec.linear import determined, reduce_rows


def test_random_systems_are_solved() -> None:
    rng = np.random.default_rng(1)
    for size in range(1, 20):
        matrix = rng.integers(0, 256, (size, size), dtype=np.uint8)
        solution = rng.integers(0, 256, size, dtype=np.uint8)
        right = np.bitwise_xor.reduce(PRODUCT[matrix, solution[None, :]], axis=1)
        reduced, pivots = reduce_rows(np.column_stack([matrix, right]), size)
        for column in determined(reduced, pivots, size):
            assert reduced[pivots[column], size] == solution[column]
        # A random matrix is singular once in 255 times; none of these is.
        assert len(determined(reduced, pivots, size)) == size


def test_what_an_underdetermined_system_fixes_is_found() -> None:
    # x + y = 5, z = 7, and 2x + 2y = 10 says nothing new: z is fixed, x and y are not.
    system = np.array([[1, 1, 0, 5], [0, 0, 1, 7], [2, 2, 0, 10]], dtype=np.uint8)
    reduced, pivots = reduce_rows(system, 3)
    fixed = determined(reduced, pivots, 3)
    assert {column: int(reduced[row, 3]) for column, row in fixed.items()} == {2: 7}


def test_the_argument_is_left_alone() -> None:
    system = np.array([[0, 3], [5, 1]], dtype=np.uint8)
    before = system.copy()
    reduce_rows(system, 2)
    assert (system == before).all()
