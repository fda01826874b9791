"""Measured delays: what is in the data, and what methods make of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavloc import cli, frames
from wavloc.datasets import lund12
from wavloc.errors import Refusal
from wavloc.evaluation.delays import residuals_m
from wavloc.evaluation.errors import capped
from wavloc.frames import Frames
from wavloc.geometry import distances, pairs
from wavloc.methods import registry

# Measured by hand from the published files, cm: the bound is that of errors cut at 3 m.
MAE_CM = {1: 7.8, 2: 31.2, 4: 8.3, 5: 10.3, 6: 5.9, 7: 5.8}
MEDIAN_CM = {1: 6.7, 2: 7.8, 4: 8.5, 5: 4.0, 6: 5.4, 7: 5.3}
METHODS = ("multilat", "multilat_plus", "tdoa_grid", "nlls", "linear_ls")


@pytest.fixture(scope="module")
def chirps() -> Frames:
    return lund12.Dataset().recorded("chirps")


@pytest.fixture(scope="module")
def located(chirps: Frames) -> dict[str, np.ndarray]:
    made = {name: registry.create(registry.named(name)) for name in METHODS}
    return {name: method.predict(chirps).position for name, method in made.items()}


def error_cm(position: np.ndarray, data: Frames) -> dict[int, np.ndarray]:
    """Capped errors of each set that has true positions."""
    number, known = data.table["set"].to_numpy(), np.isfinite(data.source_position).all(axis=1)
    error = 100 * capped(np.linalg.norm(position - data.source_position, axis=1))
    return {one: error[known & (number == one)] for one in MAE_CM}


def unheard(data: Frames) -> np.ndarray:
    """Frames (F,) in which more than a tenth of the delays exceed what their pair allows."""
    first, second = pairs(data.n_mics).T
    arrival_m, mics = data.arrivals * data.speed_of_sound, data.mics()
    span = np.linalg.norm(mics[:, first] - mics[:, second], axis=-1)
    return (np.abs(arrival_m[:, first] - arrival_m[:, second]) > span + 0.05).mean(axis=1) > 0.1


def test_the_file_is_small_and_names_its_source_and_licence() -> None:
    assert lund12.FILE.stat().st_size <= 400 * 1024
    licence = lund12.FILE.with_suffix(".LICENSE").read_text(encoding="utf-8")
    for words in ("Permission is hereby granted", "(c) 2020 Martin Larsson", "commit a3e1522"):
        assert words in licence


def test_the_data_are_those_that_were_published(shared: Path, chirps: Frames) -> None:
    folder = shared / "real" / "lund_tdoa12"
    if not folder.is_dir():
        pytest.skip("the published files are not here")
    for number in range(1, 8):
        (path,) = folder.glob(f"data{number}_*.npz")
        rows = np.flatnonzero(chirps.table["set"] == number)
        with np.load(path) as stored:
            arrival_m = chirps.arrivals[rows] * chirps.speed_of_sound
            assert np.allclose(arrival_m, stored["toa_m"], rtol=0, atol=1e-9)
            for name, ours in (
                ("mic_positions", chirps.mics(rows)[0]),
                ("source_position", chirps.source_position[rows]),
            ):
                assert np.array_equal(stored[name], ours, equal_nan=True), name


def test_frames_hold_arrival_times_and_no_sound(chirps: Frames, tmp_path: Path) -> None:
    other = lund12.Dataset().recorded("xtdoa")
    assert (len(chirps), len(other), chirps.n_mics, chirps.has_sound) == (751, 58, 12, False)
    known = np.isfinite(chirps.source_position).all(axis=1)
    counts = {one: int(known[chirps.table["set"] == one].sum()) for one in range(1, 8)}
    assert counts == {1: 87, 2: 46, 3: 0, 4: 99, 5: 24, 6: 129, 7: 112}
    assert chirps.meta == {"frames_recorded": 751, "frames_unlabelled": 254}
    command = ["simulate", "--dataset", "lund12", "--track", "chirps", "--out"]
    assert cli.main([*command, str(tmp_path / "chirps")]) == 0
    assert np.array_equal(frames.load(tmp_path / "chirps").arrivals, chirps.arrivals)


def test_errors_are_those_that_were_measured_by_hand(chirps: Frames, located: dict) -> None:
    errors = {name: error_cm(position, chirps) for name, position in located.items()}
    for one, best in errors["multilat_plus"].items():
        assert best.mean() <= MAE_CM[one] + 0.5
        assert np.median(best) <= MEDIAN_CM[one] + 0.5
        for other in ("multilat", "nlls", "linear_ls"):
            assert best.mean() <= errors[other][one].mean(), (one, other)


def test_what_no_method_locates_is_no_chirp(chirps: Frames, located: dict) -> None:
    """The first chirps of a set are not heard: four of set 2, one of sets 3 to 7."""
    silent = unheard(chirps)
    found = list(zip(chirps.table["set"][silent], chirps.table["chirp"][silent], strict=True))
    assert found == [(2, 0), (2, 1), (2, 2), (2, 3), *((one, 0) for one in range(3, 8))]
    late = chirps.arrivals * chirps.speed_of_sound
    late -= distances(chirps.source_position, chirps.mics())
    agree = (np.abs(late[:, :, None] - late[:, None]) < 0.10).sum(axis=-1).max(axis=-1)
    known = np.isfinite(chirps.source_position).all(axis=1)
    assert agree[known & silent].max() <= 2 < 5 <= agree[known & ~silent].min()
    error = np.linalg.norm(located["multilat_plus"] - chirps.source_position, axis=1)
    heard = known & ~silent
    assert error[heard].max() < 0.40  # with them, errors reach metres
    assert error[heard & (chirps.table["set"] == 2)].mean() < 0.095


def test_the_fit_is_that_of_the_robust_solution(chirps: Frames, located: dict) -> None:
    """Set 2 apart, where eight chirps are farther from the microphones than the search box."""
    solution = chirps.table[[f"solution_{axis}" for axis in "xyz"]].to_numpy()
    bound = residuals_m(solution, chirps)
    excess = residuals_m(located["multilat_plus"], chirps) - bound
    number, chirp = chirps.table["set"].to_numpy(), chirps.table["chirp"].to_numpy()
    beyond = (number == 2) & (chirp >= 23) & (chirp <= 30)
    assert (solution[beyond, 1] < chirps.mics()[beyond, :, 1].min(axis=1) - 0.5).all()
    judged = ~beyond & ~unheard(chirps)
    for one in range(1, 8):
        assert excess[(number == one) & judged].mean() < 0.0001
    assert excess[judged].max() < 0.010
    assert (excess[judged] > 0.002).mean() < 0.03


def test_methods_that_need_sound_say_so(chirps: Frames, tmp_path: Path, capsys) -> None:
    with pytest.raises(Refusal, match="srp_phat needs sound, and these frames hold arrival times"):
        registry.create(registry.named("srp_phat")).predict(chirps)
    chirps.save(tmp_path / "chirps")
    data, out = ["--frames", str(tmp_path / "chirps")], ["--out", str(tmp_path / "out")]
    dead = ["fault", "--kind", "dead", "--level", "1"]
    assert cli.main([*dead, *data, *out]) == 2
    mixed = ["mix", "--sources", "2", "--partners", str(tmp_path / "chirps")]
    assert cli.main([*mixed, *data, *out]) == 2
    train = ["train", "--method", "gnn", "--train", str(tmp_path / "chirps")]
    assert cli.main([*train, *out]) == 2
    assert capsys.readouterr().err.count("needs sound") == 3
    assert not (tmp_path / "out").exists()
    moved = ["fault", "--kind", "moved", "--level", "0.3"]
    assert cli.main([*moved, *data, *out]) == 0


def test_fewer_microphones_keep_their_arrivals(chirps: Frames, tmp_path: Path) -> None:
    few = chirps.select(np.arange(40, 60))
    few.save(tmp_path / "few")
    run = ["--frames", str(tmp_path / "few"), "--out"]
    assert cli.main(["subset", "--mics", "9", *run, str(tmp_path / "s.npy")]) == 0
    given = ["--method", "multilat_plus", "--subset", str(tmp_path / "s.npy")]
    assert cli.main(["predict", *given, *run, str(tmp_path / "p.csv")]) == 0
    found = np.loadtxt(tmp_path / "p.csv", delimiter=",", skiprows=1, usecols=(1, 2, 3))
    assert np.median(np.linalg.norm(found - few.source_position, axis=1)) < 0.15
