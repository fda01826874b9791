"""Tracks: neighbouring frames mend what single frames get wrong; gaps part; jumps are followed."""

import numpy as np
import pytest

from wavloc.methods import tracking
from wavloc.methods.learned.steered import calibrated


def scene(frames: int = 40, wrong: float = 0.3):
    """A slow walk; in some frames a wrong candidate is three times as probable as the right one."""
    rng = np.random.default_rng(0)
    truth = np.stack([np.linspace(0, 2, frames), np.full(frames, 1.0), np.full(frames, 1.5)], 1)
    candidates = rng.uniform(-4, 4, (frames, 6, 3))
    candidates[:, 0] = truth
    posterior = np.full((frames, 6), 0.04)
    posterior[:, 0] = 0.8
    fooled = rng.random(frames) < wrong
    posterior[fooled, 0], posterior[fooled, 1] = 0.2, 0.64
    return truth, candidates, posterior, np.arange(frames) * 0.1


def test_neighbours_outvote_a_wrong_frame() -> None:
    truth, candidates, posterior, time_s = scene()
    assert (posterior.argmax(1) != 0).any()
    points, shares = tracking.smooth(candidates, posterior, time_s)
    best = np.take_along_axis(points, shares.argmax(1)[:, None, None], 1)[:, 0]
    assert np.linalg.norm(best - truth, axis=1).max() < 0.15
    assert np.allclose(shares.sum(1), 1)


def test_a_frame_without_the_right_candidate_borrows_it() -> None:
    truth, candidates, posterior, time_s = scene(wrong=0)
    candidates[20, 0] = [3, 3, 3]
    points, shares = tracking.smooth(candidates, posterior, time_s)
    best = points[20, shares[20].argmax()]
    assert np.linalg.norm(best - truth[20]) < 0.15


def test_single_frames_and_frames_far_apart_keep_their_posterior() -> None:
    _, candidates, posterior, time_s = scene()
    kept = posterior.argmax(1)
    _, shares = tracking.smooth(candidates, posterior, time_s * 1000)
    assert (shares[:, :6].argmax(1) == kept).all()
    _, alone = tracking.smooth(candidates[:1], posterior[:1], time_s[:1])
    assert alone[0, :6] == pytest.approx(posterior[0] / posterior[0].sum())


def test_another_source_is_followed() -> None:
    truth, candidates, posterior, time_s = scene(wrong=0)
    truth[20:] += [2, -2, 0]
    candidates[:, 0] = truth
    points, shares = tracking.smooth(candidates, posterior, time_s)
    best = np.take_along_axis(points, shares.argmax(1)[:, None, None], 1)[:, 0]
    assert np.linalg.norm(best - truth, axis=1).max() < 0.15


def test_backing_is_the_mean_of_the_frames_around_in_any_order() -> None:
    rng = np.random.default_rng(0)
    time_s = rng.permutation(np.sort(rng.uniform(0, 8, 30)))
    heard, backing = rng.random(30) < 0.8, rng.uniform(0.01, 0.99, 30)
    sure = np.full(30, 0.9)
    given = tracking.grounds(sure, np.full(30, 0.1), backing, heard, time_s)
    for k in np.flatnonzero(heard):
        around = heard & (np.abs(time_s - time_s[k]) <= tracking.AROUND_S)
        mean = backing[around].mean()
        assert given[k, 1] == pytest.approx(np.log(mean / (1 - mean)))
    assert given[:, 0] == pytest.approx(np.log(9))
    assert given[:, 2] == pytest.approx(np.log(0.1))


def test_a_track_that_no_frame_backs_is_not_sure() -> None:
    """An echo that fools all frames alike: the posterior of the track is sure, no frame is."""
    time_s = np.arange(50) * 0.064
    sure, heard = np.full(50, 0.999), np.ones(50, bool)
    told = [
        calibrated(
            tracking.grounds(sure, np.full(50, 0.1), np.full(50, alone), heard, time_s),
            tracking.CALIBRATION,
        )
        for alone in (0.02, 0.5, 0.98)
    ]
    assert told[0].max() < 0.5
    assert told[2].min() > 0.9
    assert (told[0] < told[1]).all()
    assert (told[1] < told[2]).all()
