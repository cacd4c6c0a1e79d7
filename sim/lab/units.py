"""The words of lab files for times, ratios, rates and sizes, as numbers. Pure; called by `impair` and
`expect`.

Every function raises ValueError with a text that says what would have been right.
"""

import re

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z%]*)", re.IGNORECASE)
_TIMES = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
_RATES = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
_SIZES = {"b": 1, "kb": 10**3, "mb": 10**6, "kib": 2**10, "mib": 2**20}


def parse_time_ns(text: object) -> int:
    """``20ms`` → 20,000,000. A bare 0 needs no unit."""
    return round(_parse(text, _TIMES, "a time", "20ms"))


def parse_rate_bps(text: object) -> int:
    """``50mbit`` → 50,000,000 bit/s."""
    return round(_parse(text, _RATES, "a rate", "50mbit"))


def parse_size_bytes(text: object) -> int:
    """``256kb`` → 256,000; ``256kib`` → 262,144."""
    return round(_parse(text, _SIZES, "a size", "256kb"))


def parse_ratio(text: object) -> float:
    """``3%`` → 0.03. A number without ``%`` is refused where it could mean both, 0 and 1 excepted."""
    value = _parse(text, {"%": 0.01}, "a ratio", "3%")
    if value > 1:
        raise ValueError(f"{text!r} is above 100%")
    return value


def parse_flag(text: object) -> bool:
    """True or false, as YAML or the command line write them."""
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    value = text if isinstance(text, bool) else words.get(str(text).lower())
    if value is None:
        raise ValueError(f"{text!r} is neither true nor false")
    return value


def parse_count(text: object) -> int:
    """A whole number above zero."""
    if isinstance(text, bool) or not re.fullmatch(r"\d+", str(text)) or int(str(text)) == 0:
        raise ValueError(f"{text!r} is not a whole number above zero")
    return int(str(text))


def _parse(text: object, units: dict[str, int] | dict[str, float], what: str, example: str) -> float:
    match = None if isinstance(text, bool) else _NUMBER.fullmatch(str(text).strip())
    if match:
        number, unit = float(match[1]), match[2].lower()
        if unit in units:
            return number * units[unit]
        if not unit and number == 0:
            return 0.0
    raise ValueError(f"{text!r} is not {what} such as {example!r} (units: {', '.join(units)})")
