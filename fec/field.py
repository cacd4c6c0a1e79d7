"""Arithmetic in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1 (0x11d), generator 2.

Addition is exclusive or, so a sum and a difference are the same thing. This is the field of most erasure
codes (and of reedsolo, the oracle of the tests); it is not the field of AES, whose polynomial is 0x11b.
Called by `fec.linear`, `fec.code` and `fec.vectors`. Pure.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

POLYNOMIAL: Final = 0x11D
GENERATOR: Final = 2
GROUP_ORDER: Final = 255
"""Number of non-zero elements; every one of them is a power of the generator."""


def _powers() -> list[int]:
    powers: list[int] = []
    element = 1
    for _ in range(GROUP_ORDER):
        powers.append(element)
        element <<= 1
        if element & 0x100:
            element ^= POLYNOMIAL
    return powers


EXP: Final[list[int]] = _powers()
"""EXP[i] is the generator to the power i, for i in 0..254."""

LOG: Final[dict[int, int]] = {element: power for power, element in enumerate(EXP)}
"""The inverse of EXP. Zero has no logarithm and no entry."""


def multiply(a: int, b: int) -> int:
    """The product of two elements (each 0..255)."""
    if a == 0 or b == 0:
        return 0
    return EXP[(LOG[a] + LOG[b]) % GROUP_ORDER]


def inverse(a: int) -> int:
    """The element whose product with `a` is 1. Raises `ZeroDivisionError` for zero."""
    if a == 0:
        raise ZeroDivisionError("zero has no inverse in GF(2^8)")
    return EXP[-LOG[a] % GROUP_ORDER]


PRODUCT: Final[Bytes] = np.array([[multiply(a, b) for b in range(256)] for a in range(256)], dtype=np.uint8)
"""PRODUCT[a, b] = a · b: indexing its row `a` with a vector multiplies that vector by `a`."""


def scale(coefficient: int, vector: Bytes) -> Bytes:
    """`coefficient` times every element of `vector`."""
    return PRODUCT[coefficient][vector]


def polynomial_product(p: list[int], q: list[int]) -> list[int]:
    """The product of two polynomials; coefficients lowest degree first."""
    product = [0] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            product[i + j] ^= multiply(a, b)
    return product
