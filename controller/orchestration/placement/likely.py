"""How likely users are served within a bound in the next minutes, by experience. Pure.

Of each question (a node where users enter, and a bound in ms) and each node that may serve them: whether the
last sample was within, the share of the last minutes' samples that were, the share of what is usual, and what
the forecast says. How much each of these says is learned from what came of earlier answers (least squares,
slowly forgotten); with no history it is the prior. On noisy lines what is usual says most, on steps the last
sample.

Nothing is kept but sums that fade, so that a thousand questions about five hundred nodes take some 15 MB.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from controller.orchestration.placement.problem import F64
from controller.orchestration.placement.programs import below
from controller.orchestration.placement.quality import LEAST_SD_MS
from controller.prediction.outlook import solve
from controller.topology.links import F32

Question: TypeAlias = tuple[int, float]
"""The index of a node, and a bound in ms."""

HALF_LIVES_S = (120.0, 1500.0)
"""Of what was lately, and of what is usual."""
LAST_S = 300.0
"""A sample older than this is none."""
HORIZON_S = 120.0
"""An answer is about so much time."""
PRIOR: F64 = np.array([0.3, 0.0, 0.7, 0.0, 0.0])
"""Weights of: the last sample, lately, usual, the forecast, and a constant."""
PRIOR_ANSWERS = 0.5
REMEMBERED = 0.99
LEARNED = 64
"""Of so many questions each time."""
ENOUGH = 0.05
"""Samples, as they fade, below which nothing is known."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """``features`` [question, node, feature] of some ``questions`` at ``at_s``, and the sums at that time."""

    at_s: float
    questions: tuple[Question, ...]
    features: F32
    seen: F32
    within: F32


class Likely:
    """Fed with each new round trip that was measured; asked whenever somebody is to be placed."""

    def __init__(self, nodes: int) -> None:
        self.weights: F64 = PRIOR.copy()
        self._nodes = nodes
        self._row: dict[Question, int] = {}
        self._sums = np.zeros((0, nodes, len(_SUMS)), np.float32)
        self._last_s = np.zeros((0, nodes), np.float64)
        self._now_s = 0.0
        self._open: deque[_Answer] = deque()
        self._squares: F64 = np.zeros((len(PRIOR), len(PRIOR)))
        self._products: F64 = np.zeros(len(PRIOR))

    def ask(self, questions: Iterable[Question]) -> None:
        """Keep experience of these ``questions`` from now on, and of no others."""
        wanted = sorted(set(questions))
        if wanted == list(self._row):
            return
        kept = np.array([self._row.get(question, -1) for question in wanted], np.intp)
        self._sums, self._last_s = _picked(self._sums, kept, 0.0), _picked(self._last_s, kept, -np.inf)
        self._row = {question: row for row, question in enumerate(wanted)}

    def renumber(self, before: NDArray[np.intp]) -> None:
        """The set of nodes has changed: the node of each index had the index ``before``; −1: it is new."""
        now = {int(old): new for new, old in enumerate(before.tolist()) if old >= 0}
        rows = {(now[node], bound): row for (node, bound), row in self._row.items() if node in now}
        kept = np.array(list(rows.values()), np.intp)
        self._row = {question: row for row, question in enumerate(rows)}
        self._sums = _picked(self._sums[kept].swapaxes(0, 1), before, 0.0).swapaxes(0, 1)
        self._last_s = _picked(self._last_s[kept].T, before, -np.inf).T.copy()
        self._nodes = len(before)
        self._open.clear()

    def observe(self, rtt_ms: F32, now_s: float) -> None:
        """Take in what was measured [from, to] since the last call; NaN where nothing was."""
        passed_s, self._now_s = max(0.0, now_s - self._now_s), now_s
        for half, (seen, within) in zip(HALF_LIVES_S, _FADING, strict=True):
            self._sums[..., [seen, within]] *= np.float32(0.5 ** (passed_s / half))
        if not self._row:
            return
        node, bound = _columns(self._row)
        sample = rtt_ms[node]
        known = np.isfinite(sample)
        inside = known & (sample <= bound[:, None])
        for seen, within in (*_FADING, (_SEEN, _WITHIN)):
            self._sums[..., seen] += known
            self._sums[..., within] += inside
        self._sums[..., _LAST] = np.where(known, inside, self._sums[..., _LAST])
        self._last_s[known] = now_s
        self._learn()

    def expect(self, ms: F32, sd_ms: F32) -> Mapping[Question, F32]:
        """Return for each question [to] the share of the next minutes that will be within; NaN where nothing
        was ever measured. ``ms`` and ``sd_ms`` [from, to] are the forecast.
        """
        if not self._row:
            return {}
        features = self._features(ms, sd_ms)
        stride = -(-len(features) // LEARNED)
        questions, sums = tuple(self._row)[::stride], self._sums[::stride]
        seen, within = sums[..., _SEEN].copy(), sums[..., _WITHIN].copy()
        self._open.append(_Answer(self._now_s, questions, features[::stride], seen, within))
        likely = np.clip(features @ self.weights.astype(np.float32), 0.0, 1.0)
        return dict(zip(self._row, likely, strict=True))

    def _features(self, ms: F32, sd_ms: F32) -> F32:
        (lately, usual) = (self._share(*places) for places in _FADING)
        lately = np.where(np.isnan(lately), usual, lately)
        last = np.where(self._now_s - self._last_s <= LAST_S, self._sums[..., _LAST], usual)
        node, bound = _columns(self._row)
        told = below((bound[:, None] - ms[node]) / np.maximum(sd_ms[node], LEAST_SD_MS))
        told = np.where(np.isnan(told), usual, told)
        return np.stack((last, lately, usual, told, np.ones_like(usual)), axis=-1).astype(np.float32)

    def _share(self, seen: int, within: int) -> F32:
        counts = self._sums[..., seen]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(counts > ENOUGH, self._sums[..., within] / counts, np.float32(np.nan))

    def _learn(self) -> None:
        while self._open and self._open[0].at_s + HORIZON_S <= self._now_s:
            answer = self._open.popleft()
            there = [place for place, question in enumerate(answer.questions) if question in self._row]
            rows = [self._row[answer.questions[place]] for place in there]
            seen = self._sums[rows, :, _SEEN] - answer.seen[there]
            features = answer.features[there]
            with np.errstate(invalid="ignore", divide="ignore"):
                came = (self._sums[rows, :, _WITHIN] - answer.within[there]) / seen
            counts = (seen > 0.5) & np.isfinite(features).all(axis=-1)
            if not counts.any():
                continue
            facts = features[counts].astype(np.float64)
            self._squares = REMEMBERED * self._squares + facts.T @ facts / len(facts)
            self._products = REMEMBERED * self._products + facts.T @ came[counts] / len(facts)
            ridge = PRIOR_ANSWERS * np.eye(len(PRIOR))
            self.weights = solve(self._squares + ridge, self._products + ridge @ PRIOR)


_SUMS = ("seen lately", "within lately", "seen", "within", "seen ever", "within ever", "last")
_FADING = ((0, 1), (2, 3))
_SEEN, _WITHIN, _LAST = 4, 5, 6


def _columns(questions: Iterable[Question]) -> tuple[NDArray[np.intp], F32]:
    nodes, bounds = zip(*questions, strict=True)
    return np.array(nodes, np.intp), np.array(bounds, np.float32)


def _picked(values: NDArray[Any], places: NDArray[np.intp], otherwise: float) -> NDArray[Any]:
    """Return ``values`` at these places of their first axis, ``otherwise`` where the place is −1."""
    made = np.full((len(places), *values.shape[1:]), otherwise, values.dtype)
    made[places >= 0] = values[places[places >= 0]]
    return made
