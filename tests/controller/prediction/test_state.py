"""The long run of a link, and the episode it is in."""

import numpy as np
import pytest

from controller.prediction.series import Series
from controller.prediction.state import EPISODE_S, PROFILE_S, Profile, State

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

N = 8
FRAMES = 160


def samples(seed: int = 1) -> np.ndarray:
    rtt = 100.0 + np.random.default_rng(seed).uniform(-0.5, 0.5, (FRAMES, N, N))
    rtt[:, np.arange(N), np.arange(N)] = np.nan
    return rtt


def series_of(rtt: np.ndarray, frame_s: float = 15.0) -> Series:
    series = Series(N, frame_s, FRAMES)
    for frame in rtt.astype(np.float32):
        series.append(frame)
    return series


def test_the_base_is_that_of_a_link_while_nothing_happens() -> None:
    rtt = samples()
    rtt[20:110, 3, :] += 80.0
    rtt[20:110, :, 3] += 80.0
    rtt[60:150, 1, 2] += 40.0
    rtt[60:150, 2, 1] += 40.0
    base = Profile.of(series_of(rtt)).base_ms
    assert np.nanmax(np.abs(base - 100.0)) < 1.0


def test_an_episode_is_told_at_an_end_or_in_the_middle_from_one_frame() -> None:
    rtt = samples()
    rtt[-1, 3, :] += 80.0
    rtt[-1, :, 3] += 80.0
    rtt[-1, 1, 2] += 40.0
    rtt[-1, 2, 1] += 40.0
    series = series_of(rtt)
    state = State.of(series, Profile.of(series))
    assert state.end_ms[3] == pytest.approx(80.0, abs=2.0) and not np.delete(state.end_ms, 3).any()
    assert state.middle_ms[1, 2] == pytest.approx(40.0, abs=2.0)
    assert np.count_nonzero(state.middle_ms) == 2


def test_a_spike_in_one_direction_is_no_episode() -> None:
    rtt = samples()
    rtt[-1, 1, 2] += 400.0
    series = series_of(rtt)
    assert not State.of(series, Profile.of(series)).middle_ms.any()


def test_what_was_measured_once_for_both_directions_has_to_last() -> None:
    rtt = np.triu(samples())
    rtt += rtt.swapaxes(1, 2)
    rtt[-1, 1, 2] = rtt[-1, 2, 1] = 400.0
    series = series_of(rtt)
    assert not State.of(series, Profile.of(series)).middle_ms.any()
    series.append(rtt[-1].astype(np.float32))
    assert State.of(series, Profile.of(series)).middle_ms[1, 2] > 100.0


def test_of_frames_longer_than_an_episode_the_mean_is_all_there_is() -> None:
    rtt = samples()
    rtt[-5, 1, 2] = 2000.0
    series = series_of(rtt, EPISODE_S)
    window = series.frames_of(PROFILE_S)
    profile = Profile.of(series)
    assert profile.base_ms[1, 2] == pytest.approx(rtt[-window:, 1, 2].mean(), rel=1e-4)
    assert not State.of(series, profile).middle_ms.any()
