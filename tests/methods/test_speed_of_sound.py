"""The speed of sound of the frames reaches every method."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from helpers.networks import SMALL_OPTIONS, shake, with_model
from wavloc import frames, plugins
from wavloc.errors import InputError
from wavloc.frames import Frames
from wavloc.geometry import LUVIRA_MICS
from wavloc.methods import registry
from wavloc.methods.learned.base import LearnedMethod

WARM = 355.0  # m/s
METHODS = sorted(set(plugins.modules("methods")) - {"ngcc_phat"})  # it measures delays only
SEARCHES = [
    "multilat", "multilat_plus", "srp_phat", "tdoa_grid", "nlls", "linear_ls", "steered"
]  # fmt: skip


def errors(position: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.linalg.norm(position - truth, axis=1)


def centered(data: Frames) -> Frames:
    """Frames whose sources are around (0, 0, 0), which `Frames.at_speed` leaves where it is."""
    center = data.source_position.mean(axis=0)
    places = data.mic_positions - center, data.source_position - center
    return dataclasses.replace(data, mic_positions=places[0], source_position=places[1])


@pytest.mark.parametrize("name", METHODS)
def test_sound_made_at_another_speed_is_located_as_well(name: str) -> None:
    """The same sound, once of an array at 343 m/s, once of one as much larger as 355 m/s is faster:
    positions and errors grow by 3.5 % and no more.
    """
    usual = centered(anechoic_frames(4))
    warm = usual.at_speed(WARM)
    assert warm.speed_of_sound == WARM
    method = with_model(
        registry.create(registry.Entry(name, options=SMALL_OPTIONS.get(name, {}))), usual
    )
    if isinstance(method, LearnedMethod):  # weights under which the positions matter
        shake(method.network)
    before, after = method.predict(usual).position, method.predict(warm).position
    known = np.isfinite(before).all(axis=1)
    assert np.array_equal(known, np.isfinite(after).all(axis=1))
    apart = errors(after, before * WARM / 343)[known]
    assert np.median(apart) < 0.005
    if name == "oracle":  # it makes the delays itself, at the speed it is told
        assert errors(after, warm.source_position).max() < 0.01
    elif name != "center":
        untold = dataclasses.replace(warm, speed_of_sound=343.0)
        assert errors(method.predict(untold).position, after)[known].max() > 0.01


@pytest.mark.parametrize("name", ["oracle", *SEARCHES])
def test_sound_made_in_one_array_at_two_speeds(name: str) -> None:
    """Errors in warm air are what they are in usual air, and larger where the speed is not said."""
    usual, warm = anechoic_frames(5), anechoic_frames(5, speed=WARM)
    method = registry.create(registry.Entry(name))
    plain, told = (
        np.median(errors(method.predict(data).position, data.source_position))
        for data in (usual, warm)
    )
    assert told < plain + 0.005
    assert told < (0.01 if name == "oracle" else 0.03)
    if name != "oracle":  # which makes the delays itself, at the speed it is told
        untold = dataclasses.replace(warm, speed_of_sound=343.0)
        assert np.median(errors(method.predict(untold).position, warm.source_position)) > 0.02


def test_a_training_that_goes_on_at_another_speed_keeps_delays_per_unit(tmp_path) -> None:
    usual = anechoic_frames(4)
    entry = registry.Entry("wav2pos", options=SMALL_OPTIONS["wav2pos"])
    started = with_model(registry.create(entry), usual)
    started.save(tmp_path)
    again = registry.create(entry)
    again.start_from(tmp_path)
    again.prepare(usual.at_speed(WARM))
    grown = np.array(started.stats.position_std) * WARM / 343
    np.testing.assert_allclose(again.stats.position_std, grown)


def test_frames_of_several_temperatures_are_trained_on_together(tmp_path) -> None:
    """They come to the speed of the first: the delays stay those of the sound."""
    parts = [anechoic_frames(3), anechoic_frames(2, seed=1, speed=WARM)]
    for k, part in enumerate(parts):
        part.table = part.table.assign(x_2=1.0, y_2=np.nan)
        part.meta = {"room": [7.0, 8.0, 2.0], "origin": [3.6, 4.5, 0.0]}
        part.save(tmp_path / str(k))
    paths = [tmp_path / "0", tmp_path / "1"]
    both = frames.load_together(paths)
    assert (len(both), both.speed_of_sound) == (5, 343.0)
    assert both.mic_positions.shape == (5, 11, 3)
    travel = np.linalg.norm(both.source_position[3:, None] - both.mics()[3:], axis=-1) / 343.0
    truth = np.linalg.norm(parts[1].source_position[:, None] - LUVIRA_MICS, axis=-1) / WARM
    np.testing.assert_allclose(travel, truth)
    np.testing.assert_allclose(both.table["x_2"], [1, 1, 1, 343 / WARM, 343 / WARM])
    warm = frames.load_together(paths[:1], WARM)
    np.testing.assert_allclose(warm.meta["room"], np.array([7.0, 8.0, 2.0]) * WARM / 343)
    np.testing.assert_allclose(warm.room_bounds[0] * 343 / WARM, [-3.6, -4.5, 0.0])
    water = dataclasses.replace(parts[1], speed_of_sound=1482.0, meta={"other_medium": True})
    water.save(tmp_path / "water")
    with pytest.raises(InputError, match=r"speed_of_sound: 343\.0 m/s in part 1 but 1482\.0"):
        frames.load_together([paths[0], tmp_path / "water"])
