"""Quantities and times are read as Kubernetes and Go read them."""

from fractions import Fraction

import pytest

from overlayd.model.quantity import Amounts, amounts, quantity, seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (2, Fraction(2)),
        ("500m", Fraction(1, 2)),
        ("0.5", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("256Mi", Fraction(256 * 1024**2)),
        ("1.5Gi", Fraction(3 * 1024**3, 2)),
        ("1k", Fraction(1000)),
        ("1e3", Fraction(1000)),
        ("12E-1", Fraction(12, 10)),
        ("1E", Fraction(10**18)),
        ("+3", Fraction(3)),
    ],
)
def test_a_quantity_is_a_number_of_its_unit(text: str | int, value: Fraction) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize(
    "text", ["", "m", "-1", -1, "5 00m", "1KB", "1ki", "1e", "0x10", "٣", "9" * 40, True, "1e9999"]
)
def test_what_is_no_quantity_is_refused(text: str | int) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("10m", 600.0), ("90s", 90.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("250ms", 0.25), ("0s", 0.0)],
)
def test_a_time_is_in_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "10", "10 m", "-5s", "1d", "m", "5m x", "1h" * 20])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        seconds(text)


def test_resources_come_to_whole_units_rounded_up() -> None:
    taken = amounts({"cpu": "1500u", "memory": "0.5Ki", "devices.overlayd.io/gpu": 2, "hugepages-2Mi": "4Mi"})
    assert taken == Amounts(cpu_milli=2, memory_bytes=512, devices={"gpu": 2})


def test_amounts_add_up_with_devices_of_both() -> None:
    one, two = Amounts(100, 10, 5, 1.5, {"gpu": 1}), Amounts(50, 1, 0, 2.0, {"gpu": 1, "npu": 3})
    assert one + two == Amounts(150, 11, 5, 3.5, {"gpu": 2, "npu": 3})
