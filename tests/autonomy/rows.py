"""What users' records say of one disturbance. Pure; times are seconds of one clock."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

WITHIN_S = 5.0
"""So soon after all that it runs by is up, an app has to serve."""

Seen = Sequence[tuple[float, str]]
"""When each request was sent, and what became of it: "" for an answer."""


@dataclass(frozen=True, slots=True)
class Row:
    """``serves_s``: from when all that the app runs by was up until its users were served for good. ``kept``:
    what ran goes on as it was (None: it could not). ``restarts``: of that, as the controller was back.
    """

    event: str
    kind: str
    requests: int
    failed: int
    serves_s: float | None
    kept: bool | None
    restarts: int

    @property
    def ok(self) -> bool:
        served = self.serves_s is not None and self.serves_s <= WITHIN_S
        return served and self.kept is not False and self.restarts == 0

    def told(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}


def failed(seen: Seen) -> int:
    """How many had no answer."""
    return sum(1 for _, problem in seen if problem)


def serves_s(seen: Seen, up_s: float) -> float | None:
    """How long after ``up_s`` users were served for good; 0: at once. None: they never were."""
    if not seen or seen[-1][1]:
        return None
    last = max((at for at, (_, problem) in enumerate(seen) if problem), default=-1)
    return round(max(0.0, seen[last + 1][0] - up_s), 2)


def table(rows: Sequence[Row]) -> str:
    """The rows for people."""
    lines = [f"{'event':<26}{'app':<11}{'asked':>6}{'failed':>8}{'serves s':>10}  kept  restarts  ok"]
    for row in rows:
        served = "never" if row.serves_s is None else f"{row.serves_s:.2f}"
        kept = {None: "-", True: "yes", False: "no"}[row.kept]
        lines.append(
            f"{row.event:<26}{row.kind:<11}{row.requests:>6}{row.failed:>8}{served:>10}"
            f"  {kept:<4}{row.restarts:>10}  {'yes' if row.ok else 'NO'}"
        )
    return "\n".join(lines)
