"""What users of apps would have had on a recorded trace, by this placement and by simpler ones. Pure.

`python -m controller.orchestration.replay` prints it. Apps with users at some nodes of the trace may run on
some others; each minute the mesh may move them. A user's minute is good when its mean RTT to where the app
runs is within the bound; minutes without a fresh sample are left out.
"""

import argparse
import json
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.evaluate.liveness import Liveness
from controller.evaluate.trace import BadTrace, Trace
from controller.orchestration.placement.likely import Likely
from controller.orchestration.placement.together import place, recheck
from controller.orchestration.placement.wanted import Bounds, Held, Wanted
from controller.orchestration.placement.world import Host, PathFigures, Users, World
from controller.prediction.forecaster import Forecaster
from controller.prediction.outlook import Horizon
from controller.prediction.series import Series
from controller.topology.links import F32, Bool

DECISION_S = 60.0
HORIZON_S = 120.0
Q90_SD = 1.28155
"""Where the 90th percentile of a normal distribution is, in standard deviations."""
MEDIAN_S = 600.0
HISTORY_S = 6000.0
SLOT, SLOTS = "slots", 5
"""Apps that a node has room for."""


@dataclass(frozen=True, slots=True)
class Case:
    """Nodes where an app's users are, and nodes where it may run."""

    users: NDArray[np.intp]
    hosts: NDArray[np.intp]


@dataclass(slots=True)
class Score:
    """What came of one way to place."""

    good: int = 0
    minutes: int = 0
    moves: int = 0

    def book(self, within: Bool, known: Bool) -> None:
        self.good += int((within & known).sum())
        self.minutes += int(known.sum())

    def figures(self, apps: int, hours: float) -> dict[str, float]:
        return {
            "within_pct": 100.0 * self.good / max(1, self.minutes),
            "moves_per_app_hour": self.moves / apps / hours,
        }


def some_cases(trace: Trace, frames: range, apps: int, seed: int) -> list[Case]:
    """Return apps with users at 15 nodes that live throughout, or at a sixth of them, and as many nodes and a
    third more to run on.
    """
    rng = np.random.default_rng(seed)
    there = np.flatnonzero(trace.fresh[frames.start : frames.stop].any(axis=2).mean(axis=0) > 0.9)
    users = min(15, max(1, len(there) // 6))
    drawn = [rng.permutation(there) for _ in range(apps)]
    return [Case(nodes[:users], nodes[users : users + users * 4 // 3 + 1]) for nodes in drawn]


class Ours:
    """As the controller places: by what is likely, together, moving only for good reason."""

    def __init__(self, cases: list[Case], bound_ms: float, trace: Trace) -> None:
        self._likely = Likely(trace.nodes)
        self._likely.ask((node, bound_ms) for case in cases for node in case.users.tolist())
        ahead = max(1, round(HORIZON_S / trace.frame_s))
        self._forecaster = Forecaster(trace.nodes, Horizon(1, ahead, trace.frame_s))
        self._frame_s = trace.frame_s
        self._bounds = Bounds(latency_ms=bound_ms, satisfy=1.0)
        self._groups = {
            str(app): Users(case.users, np.ones(len(case.users)), np.zeros(len(case.users)))
            for app, case in enumerate(cases)
        }
        labels = [
            {str(app): "" for app, case in enumerate(cases) if node in case.hosts}
            for node in range(trace.nodes)
        ]
        self._hosts = tuple(Host(str(node), labels=of) for node, of in enumerate(labels))
        self._wanted = [
            Wanted(str(app), {SLOT: 1.0}, users=str(app), bounds=self._bounds, selector={str(app): ""})
            for app in range(len(cases))
        ]
        self._held: dict[str, tuple[str, float]] = {}

    def observe(self, rtt_ms: F32, frame: int) -> None:
        """Take in a frame."""
        self._likely.observe(rtt_ms, frame * self._frame_s)
        self._forecaster.observe(rtt_ms)

    def place(self, series: Series, alive: Bool, choose: bool) -> list[int]:
        """Return where each app runs; without ``choose`` it only learns."""
        told = self._forecaster.forecast()
        sd_ms = (told.q90_ms - told.q50_ms) / Q90_SD
        within = self._likely.expect(told.expected_ms, sd_ms)
        if not choose:
            return []
        now_s = self._forecaster.frame * self._frame_s
        none = np.zeros_like(sd_ms)
        figures = PathFigures(told.expected_ms, sd_ms, none, none, none, within)
        held = {app: Held((node,), now_s - since_s) for app, (node, since_s) in self._held.items()}
        world = World(self._hosts_now(alive), figures, self._groups)
        chosen = (recheck if held else place)(self._wanted, world, held).choices
        for app, choice in chosen.items():
            if choice.nodes and self._held.get(app, ("",))[0] != choice.nodes[0]:
                self._held[app] = choice.nodes[0], now_s
        return [int(self._held[one.name][0]) for one in self._wanted]

    def _hosts_now(self, alive: Bool) -> tuple[Host, ...]:
        taken = Counter(node for node, _ in self._held.values())
        return tuple(
            replace(host, alive=there, free={SLOT: float(SLOTS - taken[host.name])})
            for host, there in zip(self._hosts, alive.tolist(), strict=True)
        )


class Nearest:
    """Where users' mean RTT is least, by the newest samples or by the median of some."""

    def __init__(self, cases: list[Case], window_s: float | None) -> None:
        self._cases, self._window_s = cases, window_s

    def place(self, series: Series, alive: Bool, choose: bool) -> list[int]:
        """Return where each app runs."""
        if not choose:
            return []
        rtt_ms = series.rtt_ms[-1 if self._window_s is None else -series.frames_of(self._window_s) :]
        seen = np.nan_to_num(np.nanmedian(rtt_ms, axis=0), nan=1e4)
        seen[:, ~alive] = 1e6
        return [
            int(case.hosts[seen[np.ix_(case.users, case.hosts)].mean(axis=0).argmin()])
            for case in self._cases
        ]


class Anywhere:
    """Drawn once."""

    def __init__(self, cases: list[Case], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._drawn = [int(rng.choice(case.hosts)) for case in cases]

    def place(self, series: Series, alive: Bool, choose: bool) -> list[int]:
        """Return where each app runs."""
        return self._drawn


def replay(trace: Trace, frames: range, bound_ms: float, apps: int, seed: int) -> dict[str, Any]:
    """Return the figures of each way to place, decided every minute of ``frames``."""
    cases = some_cases(trace, frames, apps, seed)
    ours = Ours(cases, bound_ms, trace)
    ways = {
        "ours": ours,
        "last_ping": Nearest(cases, None),
        "median": Nearest(cases, MEDIAN_S),
        "random": Anywhere(cases, seed),
    }
    scores = {name: Score() for name in ways}
    before: dict[str, list[int]] = {}
    step = max(1, round(DECISION_S / trace.frame_s))
    series = Series(trace.nodes, trace.frame_s, max(16, round(HISTORY_S / trace.frame_s)))
    liveness = Liveness(trace.nodes)
    for frame in range(frames.stop - step):
        alive = liveness.observe(trace.rtt_ms[frame])
        series.append(trace.rtt_ms[frame])
        ours.observe(trace.rtt_ms[frame], frame)
        if (frame - frames.start) % step:
            continue
        paid = np.nanmean(trace.rtt_ms[frame + 1 : frame + 1 + step], axis=0)
        for name, way in ways.items():
            at = way.place(series, alive, frame >= frames.start)
            if frame < frames.start:
                continue
            for case, site in zip(cases, at, strict=True):
                rtt_ms = paid[case.users, site]
                scores[name].book(rtt_ms <= bound_ms, np.isfinite(rtt_ms))
            moved = zip(before.get(name, at), at, strict=True)
            scores[name].moves += sum(was != now for was, now in moved)
            before[name] = at
    hours = len(frames) * trace.frame_s / 3600.0
    return {name: score.figures(apps, hours) for name, score in scores.items()}


def main(arguments: list[str] | None = None) -> int:
    """Replay and print; 2 for a file that is no trace."""
    parser = argparse.ArgumentParser(
        prog="python -m controller.orchestration.replay",
        description="How many of apps' users would have been served within a bound on a recorded trace.",
    )
    parser.add_argument("--trace", type=Path, required=True, help=".npz with rtt_ms and frame_seconds")
    parser.add_argument("--frames", default=":", help="frames to decide in, A:B (default: all)")
    parser.add_argument("--bound-ms", type=float, action="append", help="may be given again (default: 100)")
    parser.add_argument("--apps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    own = parser.parse_args(arguments)
    try:
        trace = Trace.load(own.trace)
        begin, _, end = own.frames.partition(":")
        frames = range(*slice(int(begin) if begin else None, int(end) if end else None).indices(trace.frames))
    except (BadTrace, OSError, ValueError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing are NaN here
        found = {
            f"{bound:g}": replay(trace, frames, bound, own.apps, own.seed)
            for bound in own.bound_ms or [100.0]
        }
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
