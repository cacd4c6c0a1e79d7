"""Loss models: do they lose what they promise, in runs of the promised length, the same for the same seed?"""

import numpy as np
import pytest

from fec.loss import GilbertElliott, Independent, LossModel, Trace, mean_loss_run

MS = 1_000_000


def stream(count: int, spacing_ns: int = MS) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(count, dtype=np.int64) * spacing_ns


@pytest.mark.parametrize(
    ("model", "loss_ratio", "run"),
    [
        (Independent(0.1), 0.1, 1 / 0.9),
        # A packet each ms: an outage of mean 3 ms ends before the next packet with probability about 1/3.
        (GilbertElliott.of_outages(0.05, 3 * MS), 0.05, 3.4),
        (GilbertElliott.of_outages(0.02, 8 * MS), 0.02, 8.3),
        (GilbertElliott(40 * MS, 10 * MS, good_loss=0.01, bad_loss=0.5), 0.108, None),
    ],
)
def test_models_lose_as_much_and_as_long_as_they_say(
    model: LossModel, loss_ratio: float, run: float | None
) -> None:
    lost = model.losses(stream(400_000), np.random.default_rng(1))
    assert lost.mean() == pytest.approx(loss_ratio, rel=0.06)
    if run is not None:
        assert mean_loss_run(lost) == pytest.approx(run, rel=0.06)


def test_outages_last_in_time_not_in_packets() -> None:
    model = GilbertElliott.of_outages(0.1, 20 * MS)
    often = model.losses(stream(400_000, MS), np.random.default_rng(2))
    seldom = model.losses(stream(40_000, 10 * MS), np.random.default_rng(2))
    assert mean_loss_run(often) > 6 * mean_loss_run(seldom)
    assert often.mean() == pytest.approx(float(seldom.mean()), rel=0.1)


def test_the_same_seed_loses_the_same_packets() -> None:
    model = GilbertElliott.of_outages(0.1, 5 * MS)
    first, again, other = (model.losses(stream(10_000), np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_the_ratio_of_a_model_follows_from_its_states() -> None:
    assert GilbertElliott.of_outages(0.07, 3 * MS).loss_ratio == pytest.approx(0.07)
    assert GilbertElliott(30, 10, 0.1, 0.9).loss_ratio == pytest.approx(0.3)


def test_a_trace_repeats() -> None:
    trace = Trace(np.array([0, 10, 20]), np.array([False, True, False]), period_ns=30)
    times = np.array([0, 9, 10, 19, 20, 29, 30, 40, 50, 3_000_010])
    expected = [False, False, True, True, False, False, False, True, False, True]
    assert trace.losses(times, np.random.default_rng(0)).tolist() == expected


def test_no_packets_lose_nothing() -> None:
    for model in (Independent(0.5), GilbertElliott.of_outages(0.5, MS)):
        assert model.losses(stream(0), np.random.default_rng(0)).size == 0


@pytest.mark.parametrize(
    ("lost", "run"), [([], 1.0), ([0, 0], 1.0), ([1, 1, 0, 1], 1.5), ([0, 1, 1, 1], 3.0)]
)
def test_runs_are_counted_up_to_both_ends(lost: list[int], run: float) -> None:
    assert mean_loss_run(np.array(lost, dtype=np.bool_)) == run
