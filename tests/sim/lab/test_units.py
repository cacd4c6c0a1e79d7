"""Times, rates, sizes and ratios as lab files write them."""

from collections.abc import Callable

import pytest

from sim.lab import units


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (units.parse_time_ns, "20ms", 20_000_000),
        (units.parse_time_ns, "1.5 s", 1_500_000_000),
        (units.parse_time_ns, "300us", 300_000),
        (units.parse_time_ns, 0, 0),
        (units.parse_rate_bps, "50mbit", 50_000_000),
        (units.parse_rate_bps, "2.5Gbit", 2_500_000_000),
        (units.parse_size_bytes, "256kb", 256_000),
        (units.parse_size_bytes, "256kib", 262_144),
        (units.parse_ratio, "3%", 0.03),
        (units.parse_ratio, "100%", 1.0),
        (units.parse_ratio, "0", 0.0),
        (units.parse_flag, "yes", True),
        (units.parse_flag, False, False),
        (units.parse_count, "1280", 1280),
    ],
)
def test_words_are_numbers(parse: Callable[[object], object], text: object, value: object) -> None:
    assert parse(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("parse", "text", "hint"),
    [
        (units.parse_time_ns, "20", "20ms"),
        (units.parse_time_ns, "-1ms", "20ms"),
        (units.parse_time_ns, True, "20ms"),
        (units.parse_rate_bps, "50mb", "kbit"),
        (units.parse_size_bytes, "1gb", "256kb"),
        (units.parse_ratio, 0.03, "3%"),
        (units.parse_ratio, "101%", "above 100%"),
        (units.parse_flag, "maybe", "neither true nor false"),
        (units.parse_count, "1.5", "whole number"),
    ],
)
def test_a_faulty_word_is_answered_with_what_would_be_right(
    parse: Callable[[object], object], text: object, hint: str
) -> None:
    with pytest.raises(ValueError, match=hint):
        parse(text)
