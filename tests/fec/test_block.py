"""The block code against reedsolo: its parity, its decoder, and any loss that may occur."""

import itertools

import numpy as np
import pytest
import reedsolo

from fec.code import COLUMNS, MOTHER, PARITY_ROWS, block_decode, block_parity, coefficient
from fec.field import GENERATOR, POLYNOMIAL, Bytes
from fec.linear import reduce_rows


def reference(k: int) -> reedsolo.RSCodec:
    return reedsolo.RSCodec(
        nsym=PARITY_ROWS, nsize=k + PARITY_ROWS, fcr=0, prim=POLYNOMIAL, generator=GENERATOR
    )


def reference_parity(k: int, symbols: Bytes) -> Bytes:
    """All 32 repair symbols by reedsolo, which writes the highest degree first: last symbol, last row."""
    codec = reference(k)
    columns = [list(codec.encode(bytes(column[::-1])))[k:][::-1] for column in symbols.T]
    return np.array(columns, dtype=np.uint8).T


@pytest.mark.parametrize("k", [1, 2, 3, 10, 20, 32, 100, 222, COLUMNS])
def test_parity_is_that_of_reedsolo(k: int) -> None:
    symbols = np.random.default_rng(k).integers(0, 256, (k, 3), dtype=np.uint8)
    assert (block_parity(symbols, range(PARITY_ROWS)) == reference_parity(k, symbols)).all()


def test_every_column_of_the_mother_matrix_is_that_of_reedsolo() -> None:
    codec = reference(COLUMNS)
    for column in range(COLUMNS):
        unit = bytearray(COLUMNS)
        unit[COLUMNS - 1 - column] = 1
        assert list(codec.encode(bytes(unit)))[COLUMNS:][::-1] == MOTHER[:, column].tolist()


def test_random_erasures_are_decoded_as_by_reedsolo() -> None:
    """800 patterns: random size, random losses among symbols, random rows sent at all."""
    rng = np.random.default_rng(800)
    for _ in range(800):
        k = int(rng.integers(1, 60))
        symbols = rng.integers(0, 256, (k, 1), dtype=np.uint8)
        parity = block_parity(symbols, range(PARITY_ROWS))
        lost = set(rng.permutation(k)[: int(rng.integers(1, min(k, PARITY_ROWS) + 1))].tolist())
        rows = sorted(rng.permutation(PARITY_ROWS)[: len(lost)].tolist())

        received = {index: symbols[index] for index in range(k) if index not in lost}
        decoded = block_decode(k, received, {row: parity[row] for row in rows})

        # reedsolo's positions: the last symbol stands first, the last row directly behind the first symbol.
        word = bytearray([*symbols[::-1, 0], *parity[::-1, 0]])
        erased = [k - 1 - index for index in lost]
        erased += [k + PARITY_ROWS - 1 - row for row in range(PARITY_ROWS) if row not in rows]
        for position in erased:
            word[position] = 0
        answer = reference(k).decode(word, erase_pos=erased)[0]
        assert decoded is not None
        assert decoded[::-1, 0].tobytes() == bytes(answer) == symbols[::-1, 0].tobytes()


def test_every_pattern_of_losses_in_a_small_block_is_decoded() -> None:
    rng = np.random.default_rng(2)
    for k, r in [(1, 1), (3, 2), (5, 3), (6, 4)]:
        symbols = rng.integers(0, 256, (k, 2), dtype=np.uint8)
        parity = block_parity(symbols, range(r))
        for pattern in itertools.product([False, True], repeat=k + r):
            received = {index: symbols[index] for index in range(k) if not pattern[index]}
            repair = {row: parity[row] for row in range(r) if not pattern[k + row]}
            decoded = block_decode(k, received, repair)
            if len(received) + len(repair) >= k:
                assert decoded is not None
                assert (decoded == symbols).all()
            else:
                assert decoded is None


def test_square_submatrices_are_invertible() -> None:
    """The claim that all else rests on: 3000 random ones of every size, and no zero in the matrix."""
    assert MOTHER.all()
    rng = np.random.default_rng(3)
    for _ in range(3000):
        size = int(rng.integers(2, 12))
        rows, columns = rng.permutation(PARITY_ROWS)[:size], rng.permutation(COLUMNS)[:size]
        assert len(reduce_rows(MOTHER[np.ix_(rows, columns)], size)[1]) == size


def test_rows_and_columns_repeat_for_ever() -> None:
    assert coefficient(PARITY_ROWS + 5, 7) == coefficient(5, 7)
    assert coefficient(5, COLUMNS * 1000 + 7) == coefficient(5, 7)
