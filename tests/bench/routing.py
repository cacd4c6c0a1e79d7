"""What forecaster and planner gain, on measured and on generated traces, and forecasts on single series.

The command line of `make bench-routing`: `routing.json` and `routing.svg`. The generated traces' limit is the
planner that knows the hidden state but not the future (`sim.traces.oracle`). Reads `$OVERLAYD_DATA`.
"""

import argparse
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from controller.evaluate.account import Account, Payoff, Schedule
from controller.evaluate.replay import evaluate
from controller.evaluate.search import cheapest
from controller.evaluate.trace import Trace
from controller.planner.search import ABSENT, NONE, SECOND_RELAYS
from controller.prediction.forecaster import Forecaster
from controller.prediction.outlook import Horizon
from controller.prediction.statistics import quantiles_of
from overlayd.model.service import Objective
from sim.traces import sources
from sim.traces.oracle import expected
from sim.traces.parameters import Parameters
from sim.traces.world import World
from tests.bench.routing_chart import chart

ROOT = Path(__file__).parents[2]
HORIZON_S = (300.0, 600.0)
RELAY_MS = 2.0
FIRST_SEED = 1000
"""Seeds from here on are for judging; those below are free for development."""
RATES = (1.0, 0.5, 2.0)
ROLLING_FRAMES = (5, 30, 90)
ATLAS_FRAMES = 4000
Report = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench-routing", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="generated traces for each rate (20)")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--nodes", type=int, default=60)
    parser.add_argument("--frames", type=int, default=480)
    parser.add_argument("--only", default="generated,seattle,planetlab,atlas")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench", help="folder of the result")
    own = parser.parse_args()
    data = Path(os.environ.get(sources.VARIABLE, ""))
    wanted = own.only.split(",")
    found: Report = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NaN and overflow are values here
        if "seattle" in wanted and (data / "seattle99.npz").exists():
            trace = Trace.load(data / "seattle99.npz")
            found["seattle"] = _measured(trace, trace.frames * 2 // 3)
        if "planetlab" in wanted and (data / "planetlab490.npz").exists():
            found["planetlab"] = _measured(Trace.load(data / "planetlab490.npz"), 0)
        if "atlas" in wanted and (data / "atlas50.npz").exists():
            found["atlas"] = atlas(data / "atlas50.npz")
            _tell(f"atlas {found['atlas']}")
        if "generated" in wanted:
            seeds = range(own.first_seed, own.first_seed + own.seeds)
            for rate in map(float, own.rates.split(",")):
                parameters = Parameters(nodes=own.nodes, frames=own.frames).at_rate(rate)
                made = [generated(parameters, seed) for seed in seeds]
                found[f"generated x{rate:g}"] = {"summary": summary(made), "traces": made}
                _tell(f"rate {rate:g}: {json.dumps(found[f'generated x{rate:g}']['summary'])}")
    own.output.mkdir(parents=True, exist_ok=True)
    (own.output / "routing.json").write_text(json.dumps(found, indent=2) + "\n")
    (own.output / "routing.svg").write_text(chart(found))
    return 0


def generated(parameters: Parameters, seed: int) -> Report:
    """Evaluate one generated trace from its second third on, by both policies, beside the state oracle."""
    source = sources.find()
    world = World.draw(parameters, source, seed)
    trace = Trace.of(world.rtt_ms, parameters.frame_s, world.loss)
    begin = parameters.frames // 3
    latency = _run(trace, begin, Objective.LATENCY)
    reliability = _run(trace, begin, Objective.RELIABILITY)
    schedule = Schedule.of(trace, range(begin, trace.frames), HORIZON_S)
    state, present = Account(RELAY_MS), Account(RELAY_MS)
    ratio = np.float32(source.ratios.mean())
    for frame in schedule.decisions:
        told = expected(world, frame, schedule.first, schedule.last, ratio)
        payoff = Payoff.after(trace, schedule, frame)
        dead = world.died <= frame
        rtt = told.rtt_ms.copy()
        rtt[dead], rtt[:, dead] = np.nan, np.nan
        for account, cost, relay in (
            (state, rtt, RELAY_MS),
            (present, rtt * 0.01 - 1000.0 * np.log1p(-told.loss), 0.02),
        ):
            relays = cheapest(cost.astype(np.float32), relay, SECOND_RELAYS)[1]
            account.book(np.where(relays[..., :1] == ABSENT, np.int16(NONE), relays), payoff)
    lossy = reliability["lossy_pair_minutes_pct"]
    knowing = present.figures(schedule)["lossy_pair_minutes_pct"]
    possible = state.figures(schedule)
    m10 = latency["baselines"]["current_best_m10"]
    return {
        "seed": seed,
        "cut": latency["cut_vs_direct_pct"],
        "state_oracle_cut": possible["cut_vs_direct_pct"],
        "oracle_cut": latency["oracle_cut_pct"],
        "m10_cut": m10["cut_vs_direct_pct"],
        "changed": latency["routes_changed_pct_per_decision"],
        "m10_changed": m10["routes_changed_pct_per_decision"],
        "state_oracle_changed": possible["routes_changed_pct_per_decision"],
        "worse": latency["pairs_worse_pct"],
        "coverage": latency["q80_coverage"],
        "pinball": latency["pinball_vs_rolling_pct"],
        "lossy_direct": lossy["direct"],
        "lossy_chosen": lossy["chosen"],
        "lossy_knowing_present": knowing,
        "by_fold": latency["by_fold"],
    }


def summary(made: list[Report]) -> Report:
    """Return the figures that count, over all traces."""

    def mean(name: str) -> float:
        return float(np.mean([trace[name] for trace in made]))

    kept = (mean("lossy_direct") - mean("lossy_chosen"), mean("lossy_direct") - mean("lossy_knowing_present"))
    return {
        "cut": round(mean("cut"), 3),
        "share_of_state_oracle": round(mean("cut") / mean("state_oracle_cut"), 4),
        "least_share": round(min(trace["cut"] / trace["state_oracle_cut"] for trace in made), 4),
        "m10_cut": round(mean("m10_cut"), 3),
        "changed": round(mean("changed"), 3),
        "changed_of_m10": round(mean("changed") / mean("m10_changed"), 4),
        "worse": round(mean("worse"), 3),
        "coverage": round(mean("coverage"), 4),
        "pinball": round(mean("pinball"), 2),
        "lossy_cut_of_knowing_present": round(kept[0] / kept[1], 4),
    }


def atlas(path: Path) -> Report:
    """Forecast the q90 of each series two frames ahead; series are laid out as links that share little."""
    with np.load(path) as file:
        series = [file[name][-ATLAS_FRAMES:] for name in sorted(file) if name.endswith("_rtt_ms")]
    series = [values for values in series if len(values) == ATLAS_FRAMES]
    samples = np.stack(series, axis=1).astype(np.float32)
    samples[(samples <= 0.0) | (samples >= 1000.0)] = np.nan
    number = samples.shape[1]
    rows, columns = np.arange(number), (np.arange(number) + 1) % number
    horizon = Horizon(2, 2, 240.0)
    forecaster = Forecaster(number, horizon)
    frame_of = np.full((number, number), np.nan, np.float32)
    losses: dict[str, float] = {}
    below = seen = 0
    for frame in range(len(samples) - horizon.last):
        frame_of[rows, columns] = samples[frame]
        forecaster.observe(frame_of)
        told = forecaster.forecast()
        if frame < len(samples) // 4:
            continue
        paid = samples[frame + horizon.last]
        names = {"overlayd": told.q90_ms[rows, columns]}
        for length in ROLLING_FRAMES:
            names[f"rolling {length}"] = quantiles_of(samples[frame + 1 - length : frame + 1], (0.9,))[0]
        known = np.isfinite(paid) & np.all([np.isfinite(told) for told in names.values()], axis=0)
        seen += int(known.sum())
        below += int((paid[known] <= names["overlayd"][known]).sum())
        for name, quantile in names.items():
            error = (paid - quantile)[known].astype(np.float64)
            losses[name] = losses.get(name, 0.0) + float(np.maximum(0.9 * error, -0.1 * error).sum())
    ours = losses.pop("overlayd")
    return {
        "q90_coverage": below / seen,
        "q90_pinball_ms": ours / seen,
        "q90_pinball_vs_pct": {name: 100.0 * (ours / loss - 1.0) for name, loss in losses.items()},
    }


def _measured(trace: Trace, begin: int) -> Report:
    told = _run(trace, begin, Objective.LATENCY)
    names = (
        "cut_vs_direct_pct", "cut_ci95", "by_fold", "routes_changed_pct_per_decision", "pairs_worse_pct",
        "oracle_cut_pct", "share_of_oracle", "q80_coverage", "pinball_vs_rolling_pct", "seconds",
    )  # fmt: skip
    _tell(json.dumps({name: told[name] for name in names}))
    return told


def _run(trace: Trace, begin: int, objective: Objective) -> Report:
    return evaluate(trace, range(begin, trace.frames), range(begin), HORIZON_S, objective, RELAY_MS)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
