"""What the users' records say. Pure; times are Unix seconds."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WINDOW_S = 3.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: when it was sent, how long its answer took, who answered; ``problem``: none did."""

    sent_s: float
    seconds: float
    version: str = ""
    problem: str = ""


def read(line: str) -> Asked:
    """A line of `users`."""
    sent, seconds, said = line.rstrip("\n").split(" ", 2)
    if said.startswith("!"):
        return Asked(float(sent), float(seconds), problem=said[1:])
    return Asked(float(sent), float(seconds), version=said)


def between(asked: Iterable[Asked], begin_s: float, end_s: float) -> list[Asked]:
    """Those sent in a stretch of time."""
    return [one for one in asked if begin_s <= one.sent_s < end_s]


def failed(asked: Iterable[Asked]) -> int:
    """How many had no answer."""
    return sum(1 for one in asked if one.problem)


def p99_ms(asked: Iterable[Asked]) -> float | None:
    """The 99th percentile of answers' times, those without an answer counting as the longest; None: nobody
    asked.
    """
    times = sorted(math.inf if one.problem else one.seconds for one in asked)
    return 1e3 * times[min(len(times) - 1, int(0.99 * len(times)))] if times else None


def seconds_until_within(
    asked: Sequence[Asked], since_s: float, until_s: float, bound_ms: float
) -> float | None:
    """How long after ``since_s`` the users were back within a bound: at the begin of the first stretch of
    `WINDOW_S` whose p99 is within it, as is that of all they asked from there until ``until_s``. None: never.
    """
    for step in range(int((until_s - since_s - WINDOW_S) / 0.25) + 1):
        start = since_s + step * 0.25
        first = p99_ms(between(asked, start, start + WINDOW_S))
        rest = p99_ms(between(asked, start, until_s))
        if first is not None and rest is not None and max(first, rest) <= bound_ms:
            return start - since_s
    return None
