"""Times as people write them on a command line. Pure, and quick to import."""

import argparse

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str) -> int:
    """Return ``90s``, ``15m``, ``2h`` or ``7d`` in seconds, as the type of an argument.

    Raises :class:`argparse.ArgumentTypeError` for what has no unit, or is no time above zero.
    """
    number, unit = text[:-1], _UNITS.get(text[-1:])
    if unit is None or not (number.isascii() and number.isdecimal()) or int(number) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 90s, 15m, 2h or 7d")
    return int(number) * unit
