"""Decisions in words: the route of a pair with every path that was weighed, forecast beside measured. Pure.

Figures are those the decision was made with. Called for any route when somebody asks; a decision itself asks
only why primaries were left.
"""

import math
from collections.abc import Sequence

import numpy as np

from controller.planner.pins import Standing
from controller.planner.plan import Plan
from controller.planner.search import ABSENT, NONE, ROUNDING
from controller.planner.table import PATHS
from controller.planner.worth import LEAST_TRUST, WORTH_MS
from controller.policy.costs import RELAY_MS
from controller.topology.links import Vertex
from overlayd.model.ids import ClassId, Path
from overlayd.model.route import Candidate, Route, Verdict
from overlayd.model.service import Objective, ServiceClass

REJECTED = 3
"""How many rejected paths a route tells of: the direct one, and the best others."""


class Explainer:
    """Explains one plan."""

    def __init__(self, plan: Plan, vertices: Sequence[Vertex], services: Sequence[ServiceClass]) -> None:
        self.plan = plan
        self.vertices = vertices
        self.services = services
        self.figures = _Figures(plan)
        self._relays = np.array([i for i, vertex in enumerate(vertices) if vertex.relay], np.intp)

    def route(
        self, number: int, source: int, destination: int, unix_s: float, rejected: int = REJECTED
    ) -> Route | None:
        """Return the route of a class and pair of indices; None if there is none yet."""
        if not (chosen := self._chosen(number, source, destination)):
            return None
        weigh = _Weighing(self, number, source, destination)
        primary = weigh.path(chosen[0])
        why = weigh.why_primary(primary)
        candidates = [weigh.candidate(primary, Verdict.PRIMARY, why)]
        for path in map(weigh.path, chosen[1:]):
            candidates.append(weigh.candidate(path, Verdict.BACKUP, weigh.why_backup(path, primary)))
        for path in map(weigh.path, self._others(number, source, destination, chosen, rejected)):
            candidates.append(weigh.candidate(path, Verdict.REJECTED, weigh.why_rejected(path, primary)))
        return Route(
            destination=self.vertices[destination].id,
            class_id=ClassId(number),
            paths=tuple([candidate.path for candidate in candidates[: len(chosen)]]),
            candidates=tuple(candidates),
            reason=weigh.why_move(primary) or why,
            decided_at=unix_s,
        )

    def reason(self, number: int, source: int, destination: int) -> str:
        """Return why the primary is in force; "" if there is none."""
        if not (chosen := self._chosen(number, source, destination)):
            return ""
        weigh = _Weighing(self, number, source, destination)
        primary = weigh.path(chosen[0])
        return weigh.why_move(primary) or weigh.why_primary(primary)

    def _chosen(self, number: int, source: int, destination: int) -> list[tuple[int, ...]]:
        relays = self.plan.table.relays[number, source, destination]
        return [_indices(path, destination) for path in relays.tolist() if path[0] != ABSENT]

    def _others(
        self, number: int, source: int, destination: int, chosen: Sequence[tuple[int, ...]], limit: int
    ) -> list[tuple[int, ...]]:
        """Return the direct path and the cheapest relayed ones that were not chosen."""
        taken = frozenset(chosen)
        ideal = self.plan.classes[number].ideal.relays[source, destination].tolist()
        found: list[tuple[int, ...]] = [(destination,)]
        if ideal[0] != ABSENT:
            found.append(_indices(ideal, destination))
        cheapest = self._cheapest(number, source, destination, limit + PATHS)
        found += [(relay, destination) for relay in cheapest]
        others = [path for path in dict.fromkeys(found) if path not in taken]
        return others[:limit]

    def _cheapest(self, number: int, source: int, destination: int, count: int) -> list[int]:
        """Return the cheapest single relays."""
        link, relays = self.plan.classes[number].costs.link, self._relays
        single = link[source, relays] + link[relays, destination]
        order = np.argsort(single, kind="stable")[:count]
        return relays[order[np.isfinite(single[order])]].tolist()


class _Figures:
    """The matrices that figures are taken from, element by element."""

    def __init__(self, plan: Plan) -> None:
        forecast = plan.forecast
        self.rtt = forecast.rtt_q80_ms.item
        self.loss = forecast.loss_q90.item
        self.measured_rtt = forecast.measured_rtt_ms.item
        self.measured_loss = forecast.measured_loss.item
        self.bare = [chosen.costs.bare.item for chosen in plan.classes]


class _Course:
    """A path whatever the class: its links as pairs of indices, what is forecast and measured along it."""

    __slots__ = (
        "forecast_loss",
        "forecast_rtt",
        "indices",
        "links",
        "measured_loss",
        "measured_rtt",
        "nodes",
        "rtt",
    )

    def __init__(self, source: int, indices: tuple[int, ...], nodes: Path, figures: _Figures) -> None:
        self.indices, self.nodes = indices, nodes
        self.links = tuple(zip((source, *indices), indices, strict=False))
        rtt, measured_rtt = RELAY_MS * (len(indices) - 1), 0.0
        kept = measured_kept = 1.0
        for a, b in self.links:
            rtt += figures.rtt(a, b)
            measured_rtt += figures.measured_rtt(a, b)
            kept *= 1.0 - figures.loss(a, b)
            measured_kept *= 1.0 - figures.measured_loss(a, b)
        self.rtt = rtt
        self.forecast_rtt, self.measured_rtt = _rounded(rtt, 2), _rounded(measured_rtt, 2)
        self.forecast_loss, self.measured_loss = _rounded(1.0 - kept, 5), _rounded(1.0 - measured_kept, 5)


class _Path:
    """A path under discussion for a class: its bare cost, and what speaks against it in itself."""

    __slots__ = ("bare", "course", "problem")

    def __init__(self, course: _Course, bare: float, problem: str | None) -> None:
        self.course, self.bare, self.problem = course, bare, problem


class _Weighing:
    """One class and pair."""

    def __init__(self, explainer: Explainer, number: int, source: int, destination: int) -> None:
        plan = explainer.plan
        self._explainer = explainer
        self._vertices = explainer.vertices
        self._service = explainer.services[number]
        self._chosen = plan.classes[number]
        self._forecast = plan.forecast
        self._figures = explainer.figures
        self._bare = explainer.figures.bare[number]
        self._source, self._destination = source, destination
        self._pinned = self._chosen.pins.get((source, destination))
        caps = self._chosen.costs.rtt_cap_ms
        self._cap_ms = math.inf if caps is None else float(caps[source, destination])

    def path(self, indices: tuple[int, ...]) -> _Path:
        course = _Course(self._source, indices, tuple([self._vertices[i].id for i in indices]), self._figures)
        bare = self._passage(indices[:-1])
        for a, b in course.links:
            bare += self._bare(a, b)
        return _Path(course, bare, self._problem(course))

    def candidate(self, path: _Path, verdict: Verdict, reason: str) -> Candidate:
        course = path.course
        return Candidate(
            path=course.nodes,
            verdict=verdict,
            reason=reason + self._crowding(path),
            cost=_rounded(path.bare, 4),
            forecast_rtt_ms=course.forecast_rtt,
            measured_rtt_ms=course.measured_rtt,
            forecast_loss_ratio=course.forecast_loss,
            measured_loss_ratio=course.measured_loss,
        )

    def why_move(self, primary: _Path) -> str | None:
        """Return why the old primary was left and this one is in force; None if it was in force before."""
        if not self._chosen.moved[self._source, self._destination]:
            return None
        before = self._chosen.before[self._source, self._destination].tolist()
        left = self.path(_indices(before, self._destination))
        problem = left.problem or f"now {self._value(left.bare)}{self._crowding(left)}"
        why = self.why_primary(primary, beside_direct=len(left.course.indices) > 1)
        return f"left {self._named(left)} ({problem}): {why}"

    def why_primary(self, path: _Path, *, beside_direct: bool = True) -> str:
        pinned = self._pinned
        if pinned is None:
            return self._why_best(path, beside_direct)
        if pinned.standing is Standing.IN_FORCE:
            return f"pinned by hand: {self._named(path)}, {path.problem or self._value(path.bare)}"
        wanted = self.path((*pinned.pin.relays, self._destination))
        why = wanted.problem or "it does not answer"
        if pinned.standing is Standing.HELD:
            why = f"it was not healthy for long enough yet ({self._held_s(wanted):.0f} s more)"
        return f"{self._why_best(path, beside_direct)}; pinned by hand: {self._named(wanted)}, but {why}"

    def _why_best(self, path: _Path, beside_direct: bool) -> str:
        if path.problem is not None:
            return f"{self._named(path)}: nothing better is left, although {path.problem}"
        if len(path.course.indices) == 1:
            why = self._doubt() or f"no relayed path is better by {self._worth()}"
            return f"direct, {self._value(path.bare)}: {why}"
        said = f"{self._named(path)}, {self._value(path.bare)}"
        if not beside_direct:
            return said
        direct = self.path((self._destination,))
        return f"{said}; direct: {direct.problem or self._value(direct.bare)}"

    def why_backup(self, path: _Path, primary: _Path) -> str:
        shared = "shares no relay with the primary"
        if path.problem is not None:
            return f"{shared}; the best that is left, although {path.problem}"
        return f"{shared}; {self._difference(path, primary)}"

    def why_rejected(self, path: _Path, primary: _Path) -> str:
        if path.problem is not None:
            return path.problem
        held_s = self._held_s(path)
        held = f"; held down for {held_s:.0f} s more after it degraded" if held_s > 0 else ""
        if self._pinned is not None and self._pinned.standing is Standing.IN_FORCE:
            return f"{self._difference(path, primary)}, which is pinned by hand"
        if path.bare >= primary.bare or primary.problem is not None:
            return self._difference(path, primary) + held
        if self._chosen.waiting[self._source, self._destination]:
            return f"{self._difference(path, primary)}, but relays take on no more routes in this round{held}"
        if self._chosen.dwelling[self._source, self._destination]:
            return f"{self._difference(path, primary)}, but the route changed less than a minute ago{held}"
        if self._chosen.resting[self._source, self._destination] and len(path.course.indices) > 1:
            return f"{self._difference(path, primary)}, but the route changed less than ten minutes ago{held}"
        why = self._doubt() or f"a change has to be worth {self._worth()}"
        return f"{self._difference(path, primary)}: {why}{held}"

    def _problem(self, path: _Course) -> str | None:
        if (excluded := self._excluded(path)) is not None:
            return excluded
        figures, bound = self._figures, self._service.bound.link_loss_ratio
        for a, b in path.links:
            if problem := self._unsound(a, b, relayed=len(path.links) > 1):
                return problem
            if bound is not None and figures.loss(a, b) > bound:
                loss = f"{100 * figures.loss(a, b):.1f} % loss on {self._link(a, b)}"
                return f"{loss} is above the bound of {100 * bound:g} %"
        if path.rtt > self._cap_ms:
            return f"RTT of {path.rtt:.1f} ms is above the cap of {self._cap_ms:.1f} ms"
        return self._above_limits(path)

    def _excluded(self, path: _Course) -> str | None:
        """Return what the policy has against the path's relays."""
        policy, relays = self._chosen.policy, path.indices[:-1]
        if len(relays) > policy.relays:
            return f"{len(relays)} relays are {len(relays) - policy.relays} more than the class passes"
        if not policy.chooses_relays:
            return None
        return next((why for relay in relays if (why := policy.excludes(self._vertices[relay]))), None)

    def _above_limits(self, path: _Course) -> str | None:
        policy = self._chosen.policy
        lost, most = path.forecast_loss, policy.loss_ratio
        if most is not None and lost is not None and lost > most * ROUNDING:
            above = f"{100 * (lost - most):.1f} points above the most of {100 * most:g} %"
            return f"{100 * lost:.1f} % loss is {above}"
        if (most := policy.price_per_gb) is not None:
            price = sum(self._vertices[a].price_per_gb for a, _ in path.links)
            if price > most * ROUNDING:
                return f"{price:g} per GB is {price - most:g} above the most of {most:g}"
        return None

    def _passage(self, relays: Sequence[int]) -> float:
        """Return what the relays add to the cost of a path."""
        costs = self._chosen.costs
        if costs.passage is None:
            return costs.relay * len(relays)
        return sum(float(costs.passage[relay]) for relay in relays)

    def _crowding(self, path: _Path) -> str:
        """Return which relays of a path are busy, and what that costs."""
        crowd, costs = self._explainer.plan.crowd, self._chosen.costs
        if crowd is None or costs.passage is None:
            return ""
        said = ""
        for relay in path.course.indices[:-1]:
            more = float(costs.passage[relay]) - costs.relay
            if 0.0 < more < math.inf:
                used = f"{100 * crowd.utilisation[relay]:.0f} % of its capacity"
                said += f"; {self._vertices[relay].name} is at {used}, which counts for {self._value(more)}"
        return said

    def _unsound(self, a: int, b: int, relayed: bool) -> str | None:
        if self._forecast.down[a, b]:
            return f"{self._link(a, b)} is down"
        if not self._forecast.known[a, b]:
            return f"no fresh sample of {self._link(a, b)}"
        if relayed and not self._forecast.confirmed[a, b]:
            return f"only one end vouches for {self._link(a, b)}"
        return None

    def _link(self, a: int, b: int) -> str:
        return f"{self._vertices[a].name} → {self._vertices[b].name}"

    def _difference(self, path: _Path, primary: _Path) -> str:
        more = path.bare - primary.bare
        than = "more" if more >= 0 else "less"
        return f"{self._value(abs(more))} {than} than the primary ({self._value(primary.bare)})"

    def _held_s(self, path: _Path) -> float:
        return max(float(self._forecast.held_ns[link]) for link in path.course.links) / 1e9

    def _doubt(self) -> str | None:
        """Return why no gain, however large, would be taken; None if one would be."""
        if self._by_what_lasts and self._forecast.trust < LEAST_TRUST:
            return f"only {100 * self._forecast.trust:.0f} % of what relayed paths promised came true lately"
        return None

    def _worth(self) -> str:
        """Return what a change has to be worth, as `controller.planner.plan` has it."""
        if self._by_what_lasts:
            said = f"{self._value(WORTH_MS)}, its lasting part counted twice"
        else:
            gain = self._chosen.costs.gain
            said = f"{100 * gain.share:g} % and {self._value(gain.least)}"
            if math.isfinite(gain.plenty):
                said += f", or {self._value(gain.plenty)}"
        trust = self._forecast.trust
        if self._service.objective is Objective.LATENCY and trust < 0.995:
            said += f"; {100 * trust:.0f} % of a promise is believed"
        return said

    @property
    def _by_what_lasts(self) -> bool:
        """Whether gains are weighed by `controller.planner.worth`."""
        return self._forecast.base_ms is not None and self._service.objective is Objective.LATENCY

    def _named(self, path: _Path) -> str:
        *relays, _ = path.course.indices
        return "via " + ", ".join([self._vertices[index].name for index in relays]) if relays else "direct"

    def _value(self, cost: float) -> str:
        match self._service.objective:
            case Objective.LATENCY:
                return f"{cost:.1f} ms"
            case Objective.JITTER:
                return f"{cost:.1f} ms of variation"
            case Objective.RELIABILITY:
                return f"{cost:.1f} lost of a thousand"
            case Objective.COST:
                return f"{cost:.2f} per GB"
            case Objective.THROUGHPUT:
                return f"{cost:.2f} ms per Mbit"
            case Objective.WEIGHTED:
                return f"{cost:.2f} as weighted"


def _indices(relays: Sequence[int], destination: int) -> tuple[int, ...]:
    return (*[relay for relay in relays if relay > NONE], destination)


def _rounded(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
