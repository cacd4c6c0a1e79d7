"""How long it takes to place 1,000 apps on 500 nodes, and how near to the best that is; how many users are
served within bounds on traces.

The command line of `make bench-placement`; `build/bench/placement.json`. Each case is placed anew by
`placement.together`, all included but the making of the world. Beside it stands a bound that no placement
undercuts, worked out afterwards and at leisure (`placing_bound`). Small problems are held against trying
everything. Times are those of the CPU, in one thread, and of the clock.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from controller.evaluate.trace import Trace
from controller.orchestration.placement import together
from controller.orchestration.placement.choose import choose
from controller.orchestration.placement.columns import Columns
from controller.orchestration.placement.crowd import Crowd
from controller.orchestration.placement.prices import find_prices
from controller.orchestration.placement.problem import Problem
from controller.orchestration.placement.solve import Placement, solve
from controller.orchestration.placement.wanted import POLICIES, Bounds, Held, Wanted, weights_of
from controller.orchestration.placement.world import Host, PathFigures, Users, World
from controller.orchestration.replay import replay
from sim.traces.parameters import Parameters
from sim.traces.sources import VARIABLE, built_in, find
from sim.traces.world import World as Drawn
from tests.bench.placing_bound import bound
from tests.controller.orchestration.placement.test_solve import least_cost, small_problem

ROOT = Path(__file__).parents[2]
GROUPS, ENTRIES = 40, 10
BOUNDS_MS = (30.0, 60.0, 100.0, 150.0)
ROOM = 1.6
"""So many times what all ask is there; nodes differ fourfold."""
SMALL, NEAR = 200, 0.02
"""Small problems, and how far from the best one may be to count as near it."""
RATES = (0.5, 1.0, 2.0)
"""Of what happens on generated traces, in those of the simulator's usual world."""
FIRST_SEED, FRAMES, APPS = 1000, 480, 20
"""Of generated traces: seeds from here on are for judging; a trace's last two thirds are placed in."""
Report = dict[str, Any]


def made(seed: int, apps: int, nodes: int, most: int, talking: float) -> tuple[list[Wanted], World]:
    """Return apps, of which a share of ``talking`` talk to another one, and a world for them."""
    rng = np.random.default_rng(seed)
    base = np.nan_to_num(built_in(nodes, seed).base_ms, nan=0.3)
    groups = {
        f"bench/{group}": Users(
            rng.choice(nodes, ENTRIES, replace=False),
            rng.dirichlet(np.full(ENTRIES, 0.5)),
            rng.uniform(0, 8, ENTRIES),
        )
        for group in range(GROUPS)
    }
    asked: list[Wanted] = []
    for app in range(apps):
        replicas = int(rng.integers(1, most + 1))
        bound = float(rng.choice(BOUNDS_MS))
        asked.append(
            Wanted(
                f"bench/a{app}",
                {"cpu": float(rng.uniform(100, 1000)), "memory": float(rng.uniform(0.1, 1.0)) * 2**30},
                least=int(rng.integers(1, replicas + 1)),
                most=replicas,
                weights=weights_of(str(rng.choice(list(POLICIES)))),
                users=f"bench/{rng.integers(0, GROUPS)}",
                near=(f"bench/a{rng.integers(0, apps)}",) if rng.random() < talking else (),
                bounds=Bounds(latency_ms=bound, satisfy=0.9) if rng.random() < 0.7 else Bounds(),
            )
        )
    size = rng.uniform(0.5, 2.0, nodes)
    size *= ROOM / size.sum()
    hosts: list[Host] = []
    for node in range(nodes):
        room = {
            name: float(size[node]) * sum(one.requests[name] * (one.least + one.most) / 2 for one in asked)
            for name in ("cpu", "memory")
        }
        price, up = float(rng.uniform(0.0, 0.3)), 1.0 - float(rng.exponential(0.001))
        hosts.append(Host(f"n{node}", room, room, price=price, up=up))
    none = np.zeros_like(base)
    paths = PathFigures(base, np.maximum(1.0, 0.05 * base), none, none, np.full_like(base, np.nan))
    return asked, World(tuple(hosts), paths, groups)


def placed(name: str, asked: list[Wanted], world: World) -> tuple[Report, dict[str, Held]]:
    """Return the figures of one case, and where apps are now."""
    seen: list[tuple[Problem, Placement]] = []

    def watched(problem: Problem, now: Any = ()) -> Placement:
        seen.append((problem, solve(problem, now)))
        return seen[-1][1]

    together.solve = watched
    answer, cpu_s, wall_s = timed(lambda: together.place(asked, world))
    together.solve = solve
    ((problem, found),) = seen
    columns, crowd = Columns(problem), Crowd(problem.demands)
    lowest = bound(problem, columns, crowd, find_prices(columns, crowd).worth_ms)
    nowhere = sum(not choice.nodes for choice in answer.choices.values())
    report = {
        "apps": len(asked),
        "nodes": len(world.hosts),
        "cpu_s": round(cpu_s, 2),
        "wall_s": round(wall_s, 2),
        "cost_ms": round(found.cost_ms),
        "bound_ms": round(lowest),
        "gap_pct": round(100.0 * (found.cost_ms - lowest) / found.cost_ms, 2),
        "gap_told_pct": round(100.0 * answer.gap, 2),
        "replicas": sum(len(choice.nodes) for choice in answer.choices.values()),
        "nowhere": nowhere,
        "fullest": round(float((problem.load(found.sites) / np.maximum(problem.capacity, 1e-9)).max()), 3),
    }
    print(f"{name}: {json.dumps(report)}", file=sys.stderr, flush=True)
    return report, {one: Held(choice.nodes) for one, choice in answer.choices.items()}


def replaced(asked: list[Wanted], world: World, held: dict[str, Held], seed: int) -> Report:
    """Return what it takes to place one app again, with all reasons, all others staying; and to look at all
    of them, when a twentieth of the paths has become 80 ms longer.
    """
    rng = np.random.default_rng(seed)
    full = together.beside(asked, world, {name: together.Choice(one.nodes) for name, one in held.items()})
    ms = full.paths.ms + 80.0 * (rng.random(full.paths.ms.shape) < 0.05)
    worse = replace(full, paths=replace(full.paths, ms=ms.astype(np.float32)))
    cpu_ms: list[float] = []
    for app in rng.choice(len(asked), min(100, len(asked)), replace=False).tolist():
        one = asked[app]
        fresh = replace(worse)  # what was worked out for others is no help
        cpu_ms.append(1e3 * timed(lambda one=one, fresh=fresh: choose(one, fresh, held[one.name]))[1])
    answer, cpu_s, _ = timed(lambda: together.recheck(asked, worse, held))
    moved = sum(set(answer.choices[name].nodes) != set(one.nodes) for name, one in held.items())
    return {
        "one_cpu_ms": {"median": round(float(np.median(cpu_ms)), 1), "most": round(max(cpu_ms), 1)},
        "all_cpu_s": round(cpu_s, 2),
        "moved": moved,
    }


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what ``work`` returns, and the seconds of the CPU and of the clock that it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    answer = work()
    return answer, time.process_time() - cpu, time.perf_counter() - wall


def small() -> Report:
    """Return how many small problems are solved exactly, and nearly, as trying everything does."""
    over: list[float] = []
    for seed in range(SMALL):
        problem = small_problem(seed)
        over.append(solve(problem).cost_ms / least_cost(problem) - 1.0)
    exact = sum(one <= 1e-9 for one in over)
    return {"problems": SMALL, "exact": exact, "within_2_pct": sum(one <= NEAR for one in over)}


def replays(seeds: range) -> Report:
    """Return how many users were served within bounds on traces: Seattle's where there is one, generated."""
    found: Report = {}
    data = Path(os.environ.get(VARIABLE, "")) / "seattle99.npz"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing are NaN here
        if data.exists():
            found["seattle"] = _bounds(Trace.load(data), range(344, 516))
        for rate, seed in product(RATES, seeds):
            parameters = Parameters(frames=FRAMES).at_rate(rate)
            world = Drawn.draw(parameters, find(), seed)
            trace = Trace.of(world.rtt_ms, parameters.frame_s, world.loss)
            found[f"generated {seed}, rates times {rate:g}"] = _bounds(trace, range(FRAMES // 3, FRAMES))
    return found


def _bounds(trace: Trace, frames: range) -> Report:
    return {f"{bound:g}": replay(trace, frames, bound, APPS, 1) for bound in (100.0, 150.0, 200.0)}


CASES = {"one replica": (1, 0.0), "up to three": (3, 0.0), "talking": (3, 0.2)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench-placement", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--apps", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--traces", type=int, default=5, help="seeds of generated traces, at three rates (5)")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="the first of them")
    parser.add_argument("--only", default=",".join(CASES), help="cases, by name")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench", help="folder of the result")
    own = parser.parse_args()
    found: Report = {"seed": own.seed, "cores": os.cpu_count()}
    for name in filter(None, own.only.split(",")):
        most, talking = CASES[name]
        asked, world = made(own.seed, own.apps, own.nodes, most, talking)
        found[name], held = placed(name, asked, world)
        found[name]["again"] = replaced(asked, world, held, own.seed)
    found["small problems"] = small()
    found["users within bounds"] = replays(range(own.first_seed, own.first_seed + own.traces))
    own.output.mkdir(parents=True, exist_ok=True)
    (own.output / "placement.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
