"""The field against its definition and against reedsolo."""

import pytest
import reedsolo

from fec.field import EXP, GENERATOR, LOG, POLYNOMIAL, PRODUCT, inverse, multiply, polynomial_product


def by_definition(a: int, b: int) -> int:
    """Multiplies polynomials over GF(2), then divides by the field's polynomial."""
    product = 0
    for bit in range(8):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(15, 7, -1):
        if product >> bit & 1:
            product ^= POLYNOMIAL << (bit - 8)
    return product


def test_every_product_agrees_with_the_definition() -> None:
    for a in range(256):
        assert [multiply(a, b) for b in range(256)] == [by_definition(a, b) for b in range(256)]
        assert PRODUCT[a].tolist() == [by_definition(a, b) for b in range(256)]


def test_every_element_but_zero_has_an_inverse() -> None:
    assert all(multiply(a, inverse(a)) == 1 for a in range(1, 256))
    with pytest.raises(ZeroDivisionError):
        inverse(0)


def test_the_generator_reaches_every_element() -> None:
    assert EXP[1] == GENERATOR
    assert sorted(EXP) == list(range(1, 256))
    assert all(EXP[LOG[a]] == a for a in range(1, 256))


def test_tables_are_those_of_reedsolo() -> None:
    reedsolo.init_tables(prim=POLYNOMIAL, generator=GENERATOR, c_exp=8)
    assert list(reedsolo.gf_exp[:255]) == EXP


def test_polynomials_multiply_term_by_term() -> None:
    # (1 + 2x)(3 + x^2) = 3 + 6x + x^2 + 2x^3
    assert polynomial_product([1, 2], [3, 0, 1]) == [3, 6, 1, 2]
