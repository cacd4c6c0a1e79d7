"""The upper tail: what suits a link is believed, and nothing is known of the future."""

import numpy as np
import pytest

from controller.prediction.statistics import MOST_UNSORTED, quantiles_of, upper_of
from controller.prediction.tail import SHARE, WINDOWS, Tail
from controller.topology.links import F32

NODES = 12
FRAMES = 400
SETTLED = 100


def pinball(short: F32) -> float:
    return float(np.maximum(SHARE * short, (SHARE - 1.0) * short).mean())


def run(samples: F32, calibrated: F32) -> tuple[float, float, float]:
    """What the tail, the calibrated quantile and the shortest window lose one frame ahead."""
    tail = Tail(NODES)
    lost: list[tuple[float, float, float]] = []
    for frame in range(max(WINDOWS), FRAMES - 1):
        recent = samples[frame + 1 - max(WINDOWS) : frame + 1]
        told, paid = tail.quantile(calibrated[frame], recent), samples[frame + 1]
        if frame >= SETTLED:
            short = upper_of(recent[-WINDOWS[0] :])
            lost.append((pinball(paid - told), pinball(paid - calibrated[frame]), pinball(paid - short)))
        tail.learn(paid, calibrated[frame], recent)
    ours, theirs, window = np.mean(lost, axis=0)
    return float(ours), float(theirs), float(window)


def test_a_level_that_shifts_is_followed() -> None:
    rng = np.random.default_rng(1)
    level = 50.0 + 40.0 * (np.arange(FRAMES) // 40 % 2)[:, None, None]
    samples = (level + rng.exponential(1.0, (FRAMES, NODES, NODES))).astype(np.float32)
    ours, calibrated, window = run(samples, np.full_like(samples, 92.3))
    assert ours < 0.5 * calibrated
    assert ours < 1.05 * window


def test_what_is_well_calibrated_is_kept() -> None:
    rng = np.random.default_rng(2)
    samples = (50.0 + rng.exponential(2.0, (FRAMES, NODES, NODES))).astype(np.float32)
    ours, calibrated, window = run(samples, np.full_like(samples, 50.0 + 2.0 * np.log(10.0)))
    assert ours < 1.05 * calibrated
    assert ours < 0.95 * window


def test_before_anything_is_known_the_calibrated_quantile_is_told() -> None:
    samples = np.full((3, 2, 2), 10.0, np.float32)
    told = Tail(2).quantile(np.full((2, 2), 20.0, np.float32), samples)
    assert np.all((19.8 < told) & (told < 20.0))


def test_links_without_samples_tell_what_is_calibrated_and_learn_nothing() -> None:
    tail = Tail(2)
    nothing = np.full((3, 2, 2), np.nan, np.float32)
    calibrated = np.full((2, 2), 20.0, np.float32)
    costs = tail.costs_ms.copy()
    tail.learn(nothing[0], calibrated, nothing)
    assert np.array_equal(tail.costs_ms / tail.costs_ms[0], costs / costs[0])
    assert np.allclose(tail.quantile(calibrated, nothing), calibrated)
    assert np.allclose(tail.quantile(calibrated, nothing[:0]), calibrated)


def test_a_link_that_never_changes_is_told_as_it_is() -> None:
    tail = Tail(1)
    samples = np.full((max(WINDOWS), 1, 1), 7.0, np.float32)
    tail.costs_ms[:] = 0.0
    for _ in range(3):
        assert tail.quantile(samples[0], samples) == pytest.approx(7.0)
        tail.learn(samples[0], samples[0], samples)


def test_nodes_that_come_and_go_leave_the_others_what_they_learned() -> None:
    tail = Tail(3)
    rng = np.random.default_rng(3)
    tail.costs_ms += rng.random((3, 3, 3)).astype(np.float32)
    before = tail.costs_ms.copy()
    tail.grow(4)
    assert np.array_equal(tail.costs_ms[:, :3, :3], before)
    assert np.array_equal(tail.costs_ms[:, 3, :], Tail(4).costs_ms[:, 3, :])
    tail.shrink(0)
    assert np.array_equal(tail.costs_ms[:, :2, :2], before[:, 1:, 1:])


@pytest.mark.parametrize("number", range(MOST_UNSORTED + 1))
def test_the_unsorted_quantile_is_the_sorted_one(number: int) -> None:
    rng = np.random.default_rng(number)
    samples = rng.random((number, 5, 40)).astype(np.float32)
    samples[rng.random(samples.shape) < 0.3] = np.nan
    if number:
        expected = quantiles_of(samples, (SHARE,))[0]
    else:
        expected = np.full((5, 40), np.nan, np.float32)
    assert np.array_equal(upper_of(samples), expected, equal_nan=True)


def test_too_many_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="17 samples: more than 16"):
        upper_of(np.zeros((MOST_UNSORTED + 1, 1), np.float32))
