"""Whether users fare worse with a new revision than with the one before it. Pure.

A one-sided test of two proportions, pooled, which is asked again with each report: so it takes four standard
deviations, which chance alone reaches in one of 30,000 looks.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from overlayd.protocol.workload import Outcome

LEAST = 20
"""Requests of each revision before it is judged."""
LEAST_FAILED = 5
LEAST_WORSE = 0.01
"""What is worse by less than one request of a hundred is let pass."""
DEVIATIONS = 4.0


class Tally(NamedTuple):
    """Requests and how many of them failed."""

    requests: int = 0
    failed: int = 0

    @property
    def ratio(self) -> float:
        return self.failed / self.requests if self.requests else 0.0


@dataclass(slots=True)
class Tallies:
    """What users met with instances of each revision of one app, since ``newest`` is on trial."""

    newest: str = ""
    of: dict[str, Tally] = field(default_factory=dict[str, Tally])

    def add(self, newest: str, outcomes: Iterable[Outcome]) -> None:
        """Take what nodes tell. What came before ``newest`` was tried says nothing of it."""
        if newest != self.newest:
            self.newest, self.of = newest, {}
        for one in outcomes:
            requests, failed = self.of.get(one.revision, Tally())
            self.of[one.revision] = Tally(requests + one.requests, failed + one.failed)

    def verdict(self, stable: str, wanted: str) -> str:
        """Say why ``wanted`` is worse than ``stable``; empty: it is not, as far as can be said."""
        if wanted != self.newest:
            return ""
        old, new = self.of.get(stable, Tally()), self.of.get(wanted, Tally())
        if not worse(old, new):
            return ""
        return (
            f"{new.failed} of {new.requests} requests failed with it, "
            f"{old.failed} of {old.requests} with the version before"
        )


def worse(old: Tally, new: Tally) -> bool:
    """Tell whether requests fail more often with ``new``, beyond what chance would do."""
    if min(old.requests, new.requests) < LEAST or new.failed < LEAST_FAILED:
        return False
    difference = new.ratio - old.ratio
    if difference < LEAST_WORSE:
        return False
    pooled = (old.failed + new.failed) / (old.requests + new.requests)
    spread = math.sqrt(pooled * (1.0 - pooled) * (1.0 / old.requests + 1.0 / new.requests))
    return spread == 0.0 or difference >= DEVIATIONS * spread
