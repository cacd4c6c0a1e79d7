"""`controller.evaluate`: what counts, who pays, and that nobody looks ahead."""

import json
from pathlib import Path

import numpy as np
import pytest

from controller.evaluate.__main__ import POLICIES, main
from controller.evaluate.account import Account, Payoff, Schedule
from controller.evaluate.baselines import direct
from controller.evaluate.liveness import Liveness
from controller.evaluate.replay import Brain, evaluate
from controller.evaluate.trace import STALE_FRAMES, BadTrace, Trace, fresh_samples
from controller.planner.search import Relays
from controller.prediction.outlook import Horizon
from overlayd.model.service import Objective
from sim.traces import sources
from sim.traces.parameters import Parameters
from sim.traces.world import World

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

FRAME_S = 15.0


def world(nodes: int = 12, frames: int = 160, seed: int = 5, dying_share: float = 0.0) -> World:
    parameters = Parameters(nodes=nodes, frames=frames, dying_share=dying_share)
    return World.draw(parameters, sources.built_in(60), seed)


def routes(trace: Trace, last: int) -> dict[int, Relays]:
    """The decisions at every sixth frame up to ``last``."""
    brain = Brain(trace.nodes, Horizon(20, 40, trace.frame_s), Objective.LATENCY)
    found: dict[int, Relays] = {}
    for frame in range(last + 1):
        brain.observe(trace.rtt_ms[frame], None if trace.loss is None else trace.loss[frame])
        if frame % 6 == 0:
            found[frame] = brain.decide()
    return found


def report(trace: Trace, policy: Objective = Objective.LATENCY, begin: int = 0) -> dict[str, object]:
    return evaluate(trace, range(begin, trace.frames), range(begin), (300.0, 600.0), policy, 2.0)


def test_scrambling_the_future_changes_no_decision() -> None:
    made = world()
    half = made.parameters.frames // 2
    scrambled_rtt, scrambled_loss = made.rtt_ms.copy(), made.loss.copy()
    order = np.random.default_rng(1).permutation(np.arange(half + 1, made.parameters.frames))
    scrambled_rtt[half + 1 :], scrambled_loss[half + 1 :] = made.rtt_ms[order] * 2.0, made.loss[order]
    told = routes(Trace.of(made.rtt_ms, FRAME_S, made.loss), half)
    blind = routes(Trace.of(scrambled_rtt, FRAME_S, scrambled_loss), half)
    assert any((relays[..., 0] >= 0).any() for relays in told.values())
    assert all((told[frame] == blind[frame]).all() for frame in told)


def test_a_node_that_repeats_its_last_values_carries_nothing_after_twenty_frames() -> None:
    made = world(frames=200)
    best = 3
    rtt = made.rtt_ms.copy()
    rtt[:, best, :] *= 0.3  # everybody's favourite relay
    rtt[:, :, best] *= 0.3
    death = 120
    rtt[death:, best, :] = rtt[death - 1, best, :]
    rtt[death:, :, best] = rtt[death - 1, :, best]
    found = routes(Trace.of(rtt, FRAME_S), 199)
    used = {frame: bool((relays == best).any()) for frame, relays in found.items()}
    assert used[114]
    assert not any(used[frame] for frame in used if frame > death + STALE_FRAMES)


def test_two_dead_nodes_do_not_wake_each_other() -> None:
    made = world(frames=120)
    rtt = made.rtt_ms.copy()
    for node, death in ((2, 40), (5, 60)):
        rtt[death:, node, :] = rtt[death - 1, node, :]
        rtt[death:, :, node] = rtt[death - 1, :, node]
    trace, liveness = Trace.of(rtt, FRAME_S), Liveness(12)
    alive = [liveness.observe(frame) for frame in trace.rtt_ms]
    assert alive[39][2] and alive[59][5]
    assert not any(now[2] for now in alive[60:]) and not any(now[5] for now in alive[60 + STALE_FRAMES + 1 :])
    assert all(now[[0, 1, 3, 4]].all() for now in alive)


def test_a_value_that_never_changes_is_stale_only_where_its_neighbours_change() -> None:
    random = np.random.default_rng(2)
    rtt = random.uniform(10.0, 20.0, (60, 6, 6)).astype(np.float32)
    rtt[:, 0, 1] = 12.0
    fresh = fresh_samples(rtt)
    assert fresh[STALE_FRAMES, 0, 1] and not fresh[STALE_FRAMES + 1 :, 0, 1].any()
    assert fresh[:, 2, 3].all() and not fresh[:, 2, 2].any()
    assert fresh_samples(np.full((60, 3, 3), 7.0, np.float32))[-1].sum() == 6


def test_paid_is_the_mean_of_the_horizon_and_a_cost_per_relay() -> None:
    rtt = np.full((80, 3, 3), 10.0, np.float32)
    rtt[:, 0, 2] = rtt[:, 2, 0] = 100.0
    rtt[30:, 0, 2] = 60.0
    trace = Trace.of(rtt, FRAME_S)
    schedule = Schedule.of(trace, range(0, 80), (300.0, 600.0))
    assert (schedule.first, schedule.last, schedule.step) == (20, 40, 6)
    payoff = Payoff.after(trace, schedule, 0)
    assert payoff.rtt_ms[0, 2] == pytest.approx((10 * 100.0 + 11 * 60.0) / 21)
    relays = direct(3)
    relays[0, 2, 0] = 1
    account = Account(2.0)
    account.book(relays, payoff)
    assert account.paid[0] - account.direct[0] == pytest.approx(22.0 - payoff.rtt_ms[0, 2], rel=1e-5)


def test_long_frames_pay_the_next_one() -> None:
    trace = Trace.of(np.full((18, 4, 4), 30.0, np.float32), 2940.0)
    schedule = Schedule.of(trace, range(0, 18), (300.0, 600.0))
    assert (schedule.first, schedule.last, schedule.step) == (1, 1, 1)
    assert schedule.decisions[-1] == 16


def test_a_static_detour_is_taken_and_pays() -> None:
    random = np.random.default_rng(3)
    at = random.uniform(0.0, 100.0, (10, 2))
    base = np.linalg.norm(at[:, None] - at[None], axis=-1) + 5.0
    base[0, 1] = base[1, 0] = 400.0
    rtt = base * random.uniform(0.98, 1.02, (200, 10, 10))
    made = report(Trace.of(rtt.astype(np.float32), FRAME_S), begin=80)
    assert made["share_of_oracle"] > 0.9
    assert made["routes_changed_pct_per_decision"] < 0.5


@pytest.mark.parametrize("policy", [Objective(name) for name in POLICIES])
def test_every_policy_gives_a_whole_report(policy: Objective) -> None:
    made = world(nodes=8, frames=120)
    told = report(Trace.of(made.rtt_ms, FRAME_S, made.loss), policy, 40)
    assert set(told["baselines"]) == {
        "direct", "current_best", "current_best_m10", "rolling_q80", "long_q80",
    }  # fmt: skip
    assert told["decisions"] == 7 and told["pairs"] == 56
    json.dumps(told, allow_nan=False)


def _degenerate() -> dict[str, np.ndarray]:
    random = np.random.default_rng(4)
    noisy = random.uniform(20.0, 200.0, (60, 6, 6))
    silent = noisy.copy()
    silent[:, 2, :] = silent[:, :, 2] = np.nan
    late = noisy.copy()
    late[:30, 5, :] = late[:30, :, 5] = np.nan
    return {
        "noise": noisy,
        "short": noisy[:3],
        "constant": np.full((60, 6, 6), 42.0),
        "one node": np.full((60, 1, 1), 1.0),
        "two nodes": noisy[:, :2, :2],
        "nothing": np.full((60, 6, 6), np.nan),
        "a silent node": silent,
        "a new node": late,
        "nonsense": np.where(noisy > 100.0, -1.0, np.inf),
    }


@pytest.mark.parametrize("name", list(_degenerate()))
def test_what_teaches_nothing_does_no_harm(name: str) -> None:
    told = report(Trace.of(_degenerate()[name].astype(np.float32), FRAME_S))
    cut = told["cut_vs_direct_pct"]
    assert cut is None or cut > -0.5
    json.dumps(told, allow_nan=False)


def test_the_command_prints_json_and_refuses_what_is_no_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace.npz"
    np.savez(path, rtt_ms=np.random.default_rng(0).uniform(5, 9, (80, 5, 5)), frame_seconds=FRAME_S)
    assert main(["--trace", str(path), "--frames", "20:", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["decisions"] == 4
    assert main(["--trace", str(path), "--train", "0:10", "--frames", "20:60"]) == 0
    assert "cut_vs_direct_pct" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--trace", str(path), "--policy", "weighted"])
    np.savez(path, other=np.zeros(3))
    assert main(["--trace", str(path)]) == 2
    with pytest.raises(BadTrace):
        Trace.of(np.zeros((3, 4, 5), np.float32), 1.0)
