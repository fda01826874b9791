"""Tracks of `wavloc locate --track`: smoothed positions, speeds, gaps filled as asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from helpers.recordings import RATE, dry_sound, locate, write_mics, write_sound
from helpers.spoken import SIX, recording
from wavloc import cli
from wavloc.methods import tracking
from wavloc.recordings import tracks

VELOCITY = np.array([0.8, -0.3, 0.1])


def walk(count: int = 60, noise_m: float = 0.0, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A table of somebody who walks straight on, and the true places."""
    time_s = 0.064 * np.arange(count)
    truth = np.array([1.0, 4.0, 1.5]) + time_s[:, None] * VELOCITY
    place = truth + noise_m * np.random.default_rng(seed).standard_normal(truth.shape)
    table = pd.DataFrame({"time_s": time_s} | dict(zip("xyz", place.T, strict=True)))
    return table.assign(status="ok", confidence=0.9), truth


def errors(table: pd.DataFrame, truth: np.ndarray) -> np.ndarray:
    return np.linalg.norm(table[["x", "y", "z"]].to_numpy() - truth, axis=1)


def noise(count: int, std_m: float) -> np.ndarray:
    return np.tile(std_m**2 * np.eye(3), (count, 1, 1))


def silenced(table: pd.DataFrame, rows: slice) -> pd.DataFrame:
    table = table.copy()
    table.loc[table.index[rows], ["x", "y", "z", "confidence"]] = np.nan
    table.loc[table.index[rows], "status"] = "silent"
    return table


def test_a_straight_walk_is_what_it_is() -> None:
    table, truth = walk()
    position, velocity, _ = tracking.run(table["time_s"].to_numpy(), truth, noise(60, 0.01))
    assert np.abs(position - truth).max() < 1e-3
    assert np.abs(velocity[5:] - VELOCITY).max() < 0.02


def test_noise_becomes_less_and_speeds_are_those_of_the_walk() -> None:
    table, truth = walk(120, noise_m=0.1)
    found = tracks.smoothed(table, noise(120, 0.1), 0.0)
    assert np.sqrt(np.square(errors(found, truth)).mean()) < 0.6 * np.sqrt(3) * 0.1
    assert found["speed"].median() == pytest.approx(np.linalg.norm(VELOCITY), abs=0.15)
    deviation = found[["sigma_x", "sigma_y", "sigma_z"]].to_numpy()
    off = np.abs(found[["x", "y", "z"]].to_numpy() - truth)
    assert 0.85 < (off < 2 * deviation).mean() <= 1
    assert (deviation < 0.1).all()


def test_gaps_are_bridged_as_far_as_is_asked() -> None:
    table, truth = walk()
    table = silenced(silenced(table, slice(10, 14)), slice(30, 45))
    left = tracks.smoothed(table, noise(60, 0.01), 0.0)
    assert left["x"].isna().sum() == 19
    assert set(left["status"]) == {"ok", "silent"}
    found = tracks.smoothed(table, noise(60, 0.01), 0.5)
    assert (found["status"][10:14] == "bridged").all()
    assert found["confidence"][10:14].isna().all()
    assert (found["status"][30:45] == "silent").all()
    assert found["speed"].notna().equals(found["x"].notna())
    assert errors(found, truth)[10:14].max() < 0.02
    assert found["sigma_x"][11] > found["sigma_x"][5]
    whole = tracks.smoothed(table, noise(60, 0.01), 5.0)
    assert whole["x"].notna().all()
    assert errors(whole, truth).max() < 0.05


def test_another_talker_and_a_long_pause_begin_another_track() -> None:
    table, truth = walk()
    table.loc[30:, "x"] += 3.0
    found = tracks.smoothed(table, noise(60, 0.05), 1.0)
    assert found["x"][30:].to_numpy() - truth[30:, 0] == pytest.approx(np.full(30, 3.0), abs=0.05)
    assert found["speed"].max() < 1.5
    table, truth = walk(100)
    pause = silenced(table, slice(40, 80))  # 2.6 s
    assert (tracks.smoothed(pause, noise(100, 0.05), 2.0)["status"] != "bridged").all()
    assert (tracks.smoothed(pause, noise(100, 0.05), 3.0)["status"][40:80] == "bridged").all()


def test_single_positions_have_no_speed() -> None:
    table, _ = walk(5)
    alone = silenced(silenced(table, slice(0, 2)), slice(3, 5))
    found = tracks.smoothed(alone, noise(5, 0.05), 1.0)
    assert found["speed"].isna().all()
    assert found[["x", "y", "z"]].equals(alone[["x", "y", "z"]])


def test_a_walk_in_a_recording_is_followed(tmp_path, capsys) -> None:
    count = 40
    path = np.linspace([1.5, 1.2, 1.4], [3.5, 3.2, 1.4], count)  # 2.83 m in 2.56 s
    dry = dry_sound(count * 0.064)
    dry[14_000:20_000] = 0
    sound = recording(dry, path=path, step_s=0.064, t60_s=0.2)
    write_mics(tmp_path / "mics.csv", SIX)
    write_sound(tmp_path / "r.wav", sound.T)
    given = ("--room", "6", "5", "2.7", "--track")
    left = locate(tmp_path, *given, method="steered")
    found = locate(tmp_path, *given, "--bridge", "1", method="steered")
    assert "bridged" in capsys.readouterr().err
    assert (left["status"] == "silent").any()
    assert not (found["status"] == "silent").any()
    same = left["x"].notna()
    assert np.allclose(found[same]["x"], left[same]["x"], atol=1e-4)
    middle = found[found["time_s"].between(0.3, 2.2)]
    truth = np.stack([np.interp(middle["time_s"], 0.064 * np.arange(count) + 0.032, axis)
                      for axis in path.T], axis=1)  # fmt: skip
    assert errors(middle, truth).max() < 0.25
    assert np.median(errors(middle, truth)) < 0.06
    assert middle["speed"].median() == pytest.approx(1.105, abs=0.15)


def test_what_cannot_be_followed_is_said(tmp_path, capsys) -> None:
    write_mics(tmp_path / "mics.csv", SIX)
    write_sound(tmp_path / "r.wav", np.zeros((RATE, 6)))
    base = f"locate --mics {tmp_path}/mics.csv --audio {tmp_path}/r.wav --out {tmp_path}/p.csv"
    for more, words in (
        ("--method srp_phat --track", "--track: srp_phat gives no candidates to be followed"),
        ("--bridge 1", "--bridge is given without --track"),
        ("--track --bridge -1", "expected a number from 0 to 3,600 s"),
        ("--track --detect", "--track: follows positions over time"),
        ("--track --audio -", "--track: needs files"),
    ):
        assert cli.main([*base.split(), *more.split()]) == 2, more
        assert words in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


def test_deviations_hold_the_chance_of_being_elsewhere() -> None:
    table, _ = walk()
    table = silenced(table.assign(confidence=np.linspace(1, 0.5, 60)), slice(10, 14))
    smooth = tracks.smoothed(table, noise(60, 0.01), 0.5)
    found = tracks.doubted(smooth.copy())
    assert found["sigma_x"][0] == pytest.approx(smooth["sigma_x"][0])
    half = np.sqrt(smooth["sigma_z"][59] ** 2 + 0.5 * tracking.WRONG_M**2)
    assert found["sigma_z"][59] == pytest.approx(half)
    assert found["sigma_y"].is_monotonic_increasing
    assert found["confidence"][10:14].isna().all()
    alone = table.assign(speed=np.nan, sigma_x=0.4, sigma_y=0.4, sigma_z=0.4)
    assert (tracks.doubted(alone.copy())["sigma_x"] == 0.4).all()  # not along a track
