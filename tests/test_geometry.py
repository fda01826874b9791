"""Arrays that allow no position, positions that are not in metres, speeds that are not in air."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from wavloc.errors import InputError, Refusal
from wavloc.geometry import LUVIRA_MICS, check_extent, check_speed, unusable
from wavloc.methods import registry
from wavloc.setups import Setup


def line(count: int) -> np.ndarray:
    return np.outer(np.linspace(-2, 2, count), [1.0, 0.5, 0.2]) + np.array([0, 0, 1])


LINE = line(8)
TWICE = np.concatenate([LUVIRA_MICS, LUVIRA_MICS[:1]])


def reason(mics: np.ndarray) -> str:
    return unusable(np.asarray(mics, float)[None])[0]


def test_arrays_that_allow_no_position_are_told() -> None:
    assert reason(LUVIRA_MICS) == ""
    assert reason(LUVIRA_MICS * [1, 1, 0]) == ""  # a plane is good enough
    assert "on a line" in reason(LINE)
    noisy = LINE + np.random.default_rng(0).normal(0, 0.005, LINE.shape)
    assert "on a line" in reason(noisy)
    assert reason(TWICE) == "microphones 1 and 12 are at the same place"
    assert "same place" in reason(np.zeros((5, 3)))
    unknown = LUVIRA_MICS.copy()
    unknown[5:] = np.nan
    assert reason(unknown) == reason(np.full((11, 3), np.nan)) == reason(LINE[:2]) == ""
    assert reason(1e-2 * LUVIRA_MICS) == ""  # a small array is an array


@pytest.mark.parametrize("mics", [LINE, TWICE, np.zeros((6, 3))])
@pytest.mark.parametrize("name", ["multilat", "srp_phat", "multilat_plus", "nlls", "oracle"])
def test_every_method_refuses_them(mics: np.ndarray, name: str) -> None:
    frames = anechoic_frames(3)
    frames.audio = np.repeat(frames.audio, 2, axis=1)[:, : len(mics)]
    frames.mic_positions = mics
    with pytest.raises(Refusal, match=r"on a line|at the same place"):
        registry.create(registry.Entry(name)).predict(frames)
    center = registry.create(registry.Entry("center")).predict(frames)
    assert (center.status == "ok").all()  # the control answers whatever it is shown


def test_one_bad_frame_does_not_take_the_others_along() -> None:
    frames = anechoic_frames(4)
    mics = frames.mics().copy()
    mics[2] = line(11)
    frames.mic_positions = mics
    found = registry.create(registry.Entry("srp_phat")).predict(frames)
    assert found.status.tolist() == ["ok", "ok", "unusable_array", "ok"]
    assert np.isnan(found.position[2]).all()
    assert np.isfinite(found.position[[0, 1, 3]]).all()


def test_chosen_microphones_are_what_counts() -> None:
    frames = anechoic_frames(2)
    frames.mic_positions = np.concatenate([LINE, LUVIRA_MICS[:3]])
    good, bad = np.array([[0, 3, 8, 9, 10]] * 2), np.array([[0, 1, 2, 3, 4]] * 2)
    method = registry.create(registry.Entry("multilat"))
    for setup in ("1a", "2a"):
        assert method.refusal(frames, Setup(setup, good)) is None
        assert "on a line" in method.refusal(frames, Setup(setup, bad))
    frames.mic_positions[3:] = np.nan
    with pytest.raises(Refusal, match="needs at least 5 known positions, got 3"):
        method.predict(frames)


def test_millimetres_are_noticed() -> None:
    check_extent(LUVIRA_MICS + 500_000, "mics.csv")  # a map's coordinates
    with pytest.raises(InputError, match=r"mics\.csv: positions are 6,022\.91 apart.*millimetres"):
        check_extent(1000 * LUVIRA_MICS, "mics.csv")


@pytest.mark.parametrize("speed", [-343, 0, 5, 299, 371, 34300, float("nan"), float("inf"), "343"])
def test_speeds_are_those_of_air_unless_told(speed: object) -> None:
    with pytest.raises(InputError, match="expected a number from 300 to 370 m/s in air"):
        check_speed(speed, "speed")
    assert check_speed(1482.0, "speed", other_medium=True) == 1482.0
    assert check_speed(331.3, "speed") == 331.3
