"""The mother code and its two uses: a block code and a sliding-window code.

One table M of 32 rows and 223 columns serves both. It is the parity part of the systematic Reed-Solomon
code of length 255 with 32 parity symbols: let g(x) = (x - 1)(x - 2)(x - 4)...(x - 2^31); source symbol i
stands at degree 32 + i, and M[t][i] is the coefficient of x^t in x^(32 + i) mod g(x). The code is
maximum-distance separable, which says that **every square submatrix of M is invertible**. Hence any subset
of rows may be sent, in any order, at any time, and a block may stay open-ended: every repair symbol that
arrives makes up for one that did not.

*Block use*: k symbols, any of the 32 rows. *Sliding-window use*: source symbols carry a sequence number for
ever, and a repair symbol is a sum over the last `span` of them with coefficients M[row mod 32][seq mod
223]. Within one window columns never repeat (span is at most 128), so a burst is repaired by as many repair
symbols as it has losses; across windows a system may rarely be singular, and the next repair symbol then
decides it.

A *symbol* is a payload behind its length: [length, 2 bytes, big-endian][payload][zeros]. Zeros add nothing to
a sum, so a repair symbol is as long as the longest symbol of its window and shorter ones are never padded.

Not here: when to send how much repair (`fec.policy`), the fast codec (`engine/fec`). Called by tests and
`fec.vectors`. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fec.field import EXP, Bytes, multiply, polynomial_product, scale
from fec.linear import determined, reduce_rows

PARITY_ROWS: Final = 32
COLUMNS: Final = 223
WINDOW_LIMIT: Final = 128
LENGTH_BYTES: Final = 2


class MalformedSymbolError(ValueError):
    """A recovered symbol whose length prefix contradicts its bytes: its repair symbols did not belong
    together.
    """


@dataclass(frozen=True, slots=True)
class Repair:
    """A repair symbol: the sum over source symbols first_seq .. first_seq + span - 1 with row `row` of M."""

    first_seq: int
    span: int
    row: int
    data: bytes


def _mother_matrix() -> Bytes:
    generator = [1]
    for power in range(PARITY_ROWS):
        generator = polynomial_product(generator, [EXP[power], 1])
    matrix = np.zeros((PARITY_ROWS, COLUMNS), dtype=np.uint8)
    # The remainder of x^(32 + i + 1) is x times the remainder of x^(32 + i), reduced once more by g.
    remainder = generator[:PARITY_ROWS]
    for column in range(COLUMNS):
        matrix[:, column] = remainder
        overflow = remainder[-1]
        shifted = [0, *remainder[:-1]]
        remainder = [s ^ multiply(overflow, g) for s, g in zip(shifted, generator, strict=False)]
    return matrix


MOTHER: Final[Bytes] = _mother_matrix()
"""M[32 x 223]."""


def coefficient(row: int, seq: int) -> int:
    """The coefficient of source symbol `seq` in a repair symbol of row `row`; never zero."""
    return int(MOTHER[row % PARITY_ROWS, seq % COLUMNS])


# --- block use ------------------------------------------------------------------------------------


def block_parity(symbols: Bytes, rows: Sequence[int]) -> Bytes:
    """The repair symbols of a block: `symbols` is [k x bytes], the answer [len(rows) x bytes]; k is at most
    223.
    """
    parity = np.zeros((len(rows), symbols.shape[1]), dtype=np.uint8)
    for out, row in zip(parity, rows, strict=True):
        for column, symbol in enumerate(symbols):
            out ^= scale(coefficient(row, column), symbol)
    return parity


def block_decode(k: int, received: Mapping[int, Bytes], parity: Mapping[int, Bytes]) -> Bytes | None:
    """The k symbols of a block from those received (by index) and repair symbols (by row).

    Answers None if fewer than k symbols are there in all. Any k suffice.
    """
    missing = [index for index in range(k) if index not in received]
    if len(missing) > len(parity):
        return None
    width = next(iter([*received.values(), *parity.values()])).shape[0]
    block = np.zeros((k, width), dtype=np.uint8)
    for index, symbol in received.items():
        block[index] = symbol
    if not missing:
        return block
    system = np.zeros((len(parity), len(missing) + width), dtype=np.uint8)
    for equation, (row, symbol) in zip(system, parity.items(), strict=True):
        equation[: len(missing)] = [coefficient(row, index) for index in missing]
        equation[len(missing) :] = symbol
        for index, known in received.items():
            equation[len(missing) :] ^= scale(coefficient(row, index), known)
    reduced, pivots = reduce_rows(system, len(missing))
    for column, index in enumerate(missing):
        block[index] = reduced[pivots[column], len(missing) :]
    return block


# --- sliding-window use ---------------------------------------------------------------------------


def symbol_of(payload: bytes) -> bytes:
    """The symbol that stands for a payload (at most 65535 bytes) in a sum."""
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


def payload_of(symbol: bytes) -> bytes:
    """The payload of a symbol with any number of zeros behind it. Raises `MalformedSymbolError`."""
    end = LENGTH_BYTES + int.from_bytes(symbol[:LENGTH_BYTES], "big")
    if len(symbol) < end or any(symbol[end:]):
        raise MalformedSymbolError(
            f"length prefix says {end - LENGTH_BYTES} in a symbol of {len(symbol)} bytes"
        )
    return symbol[LENGTH_BYTES:end]


def make_repair(payloads: Sequence[bytes], first_seq: int, row: int) -> Repair:
    """The repair symbol of row `row` over consecutive payloads, the first of which has number `first_seq`."""
    if not 1 <= len(payloads) <= WINDOW_LIMIT:
        raise ValueError(f"a window holds 1 to {WINDOW_LIMIT} symbols, not {len(payloads)}")
    total = np.zeros(LENGTH_BYTES + max(map(len, payloads)), dtype=np.uint8)
    for seq, payload in enumerate(payloads, start=first_seq):
        _add(total, coefficient(row, seq), symbol_of(payload))
    return Repair(first_seq, len(payloads), row, total.tobytes())


class SlidingDecoder:
    """Recovers every symbol that what has arrived determines, as soon as it does. Forgets nothing.

    `source` and `repair` take arrivals, in any order; `recover` answers the payloads that became known since.
    """

    def __init__(self) -> None:
        self._sources: dict[int, bytes] = {}
        self._repairs: list[Repair] = []

    def source(self, seq: int, payload: bytes) -> None:
        """Takes a source symbol that arrived."""
        self._sources[seq] = payload

    def repair(self, repair: Repair) -> None:
        """Takes a repair symbol that arrived."""
        self._repairs.append(repair)

    def recover(self) -> dict[int, bytes]:
        """Payloads by sequence number. Raises `MalformedSymbolError` if arrivals contradict each other."""
        self._repairs = [repair for repair in self._repairs if self._missing(repair)]
        unknowns = sorted({seq for repair in self._repairs for seq in self._missing(repair)})
        width = max((len(repair.data) for repair in self._repairs), default=0)
        system = np.zeros((len(self._repairs), len(unknowns) + width), dtype=np.uint8)
        for equation, repair in zip(system, self._repairs, strict=True):
            right = equation[len(unknowns) :]
            right[: len(repair.data)] = np.frombuffer(repair.data, dtype=np.uint8)
            for seq in range(repair.first_seq, repair.first_seq + repair.span):
                if seq in self._sources:
                    _add(right, coefficient(repair.row, seq), symbol_of(self._sources[seq]))
                else:
                    equation[unknowns.index(seq)] = coefficient(repair.row, seq)
        reduced, pivots = reduce_rows(system, len(unknowns))
        recovered = {
            unknowns[column]: payload_of(reduced[row, len(unknowns) :].tobytes())
            for column, row in determined(reduced, pivots, len(unknowns)).items()
        }
        self._sources |= recovered
        return recovered

    def _missing(self, repair: Repair) -> list[int]:
        covered = range(repair.first_seq, repair.first_seq + repair.span)
        return [seq for seq in covered if seq not in self._sources]


def _add(total: Bytes, coefficient: int, symbol: bytes) -> None:
    """total += coefficient · symbol, where the symbol may be shorter than the total. Longer is
    contradictory.
    """
    if len(symbol) > len(total):
        raise MalformedSymbolError(f"a symbol of {len(symbol)} bytes in a sum of {len(total)}")
    total[: len(symbol)] ^= scale(coefficient, np.frombuffer(symbol, dtype=np.uint8))
