"""Why an app would go where it would: what a dry run shows of it, as ``status.placement``. Pure."""

from math import isfinite

from controller.orchestration.objects.schema import Object
from controller.orchestration.placement.choose import Choice, Score
from controller.orchestration.placement.demands import bound_words
from controller.orchestration.placement.wanted import Held, Wanted

SURE = 0.005
"""A gap below half a percent is told as none but for what stands in ``gapPct``."""


def explanation(wanted: Wanted, choice: Choice, held: Held) -> Object:
    """Return placement's answer for an app that is ``held`` where it runs now."""
    made: Object = {
        "summary": summary(wanted, choice, held),
        "nodes": list(choice.nodes),
        "candidates": [_candidate(name, score, choice, held) for name, score in choice.scores.items()],
        "refused": [{"node": name, "reason": reason} for name, reason in sorted(choice.refused.items())],
    }
    if choice.nodes:
        made["gapPct"] = round(100.0 * choice.gap, 2)
    if (expected := choice.expected) is not None:
        made["expected"] = {"meanMs": round(expected.ms, 1), "strayMs": round(expected.sd, 1)}
        if wanted.bounds.any:
            made["expected"] |= {
                "withinPct": _percent(expected.share),
                "likelyPct": _percent(expected.p_satisfied),
            }
    return made


def summary(wanted: Wanted, choice: Choice, held: Held) -> str:
    """Return where it would run, how its users would be served, and how good that is, in one line."""
    if not choice.nodes:
        return f"nowhere: {choice.problem}"
    parts = [_where(choice, held), *_served(wanted, choice), _quality(choice)]
    if choice.problem and len(choice.nodes) < wanted.least:
        parts.append(choice.problem)
    return "; ".join(parts)


def _where(choice: Choice, held: Held) -> str:
    nodes = ", ".join(sorted({*choice.nodes}))
    if not held.nodes:
        return f"on {nodes}"
    if sorted(held.nodes) == sorted(choice.nodes):
        return f"stays on {nodes}"
    return f"on {nodes}, now on {', '.join(sorted({*held.nodes}))}"


def _served(wanted: Wanted, choice: Choice) -> list[str]:
    expected, bounds = choice.expected, wanted.bounds
    if expected is None:
        return ["nobody is named to be near"]
    told = [f"{expected.ms:.1f} ms ± {expected.sd:.1f} for the average user"]
    if bounds.any:
        short = (
            "" if expected.share >= bounds.satisfy else f", {_short(expected.share, bounds.satisfy)} short"
        )
        told.append(
            f"{_percent(expected.share):g} % of the users likely within the bounds{short} "
            f"(asked: {bound_words(bounds)}; {_percent(expected.p_satisfied):g} % likely to be met)"
        )
    return told


def _short(share: float, satisfy: float) -> str:
    return f"{100.0 * (satisfy - share):.1f} %"


def _quality(choice: Choice) -> str:
    if choice.gap <= 0.0:
        return "no choice is better"
    if choice.gap < SURE:
        return "no choice is better by more than 0.5 %"
    return f"another choice may be better by {100.0 * choice.gap:.1f} % at most"


def _candidate(name: str, score: Score, choice: Choice, held: Held) -> Object:
    made: Object = {"node": name, "cost": round(score.cost_ms, 1)}
    if name in choice.nodes:
        made["chosen"] = True
    if name in held.nodes:
        made["runs"] = True
    if score.share is not None:
        made["withinPct"] = _percent(score.share)
    if score.ms is not None and isfinite(score.ms):
        made["meanMs"] = round(score.ms, 1)
    if score.price:
        made["price"] = score.price
    return made | {"fullPct": _percent(score.fill)}


def _percent(share: float) -> float:
    return round(100.0 * share, 1)
