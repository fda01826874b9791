"""Recorders that nobody synchronised, and a source that moves among them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from helpers.recordings import MICS, RATE, SPEED, dry_sound, heard, locate, write_mics, write_sound
from wavloc import cli


def place(time_s: np.ndarray) -> np.ndarray:
    """Where the source is: it walks around the room (n, 3)."""
    turn = time_s[..., None] * 0.3 + np.array([0, 1.0, 2.0])
    return np.array([3.0, 2.5, 1.3]) + np.array([2.0, 1.6, 0.5]) * np.cos(turn * [1, 1.3, 1.7])


def walk(seconds: float, starts: np.ndarray, ppm: np.ndarray) -> list[np.ndarray]:
    """What each recorder writes: noise from a source that moves, in a free field; no room.

    Sample n is taken at start + n / (rate (1 + drift)); the sound was emitted one path earlier.
    """
    fine = 8
    dry = dry_sound(seconds + 1, rate=RATE)
    spectrum = np.fft.rfft(dry)
    smooth = np.fft.irfft(np.pad(spectrum, (0, (fine - 1) * len(dry) // 2)), fine * len(dry))
    files = []
    for mic, start, drift in zip(MICS, starts, ppm, strict=True):
        count = int((seconds - start - 0.1) * RATE)
        time = start + np.arange(count) / (RATE * (1 + 1e-6 * drift))
        path = np.zeros(count)
        for _ in range(3):  # the source moves slowly: this converges at once
            path = np.linalg.norm(place(time - path / SPEED) - mic, axis=1)
        emitted = (time - path / SPEED + 0.5) * RATE * fine
        files.append((np.interp(emitted, np.arange(len(smooth)), smooth) / path).astype(np.float32))
    return files


def record(folder, seconds: float, starts: np.ndarray, ppm: np.ndarray) -> list[str]:
    write_mics(folder / "mics.csv", MICS)
    names = [folder / f"m{k}.wav" for k in range(len(MICS))]
    for name, channel in zip(names, walk(seconds, starts, ppm), strict=True):
        write_sound(name, channel)
    return [str(name) for name in names]


def error_m(table: pd.DataFrame) -> float:
    """Median error; the source is where it was when the sound left it, some ms earlier."""
    found = table[["x", "y", "z"]].to_numpy(float)
    return float(np.nanmedian(np.linalg.norm(found - place(table["time_s"].to_numpy()), axis=1)))


STARTS = np.array([0, 0.31, 0.02, 0.5013, 0.27, 0.1, 0.44, 0.003])


def test_offsets_are_found_with_the_positions(tmp_path, capsys) -> None:
    files = record(tmp_path, 8, STARTS, np.zeros(8))
    table = locate(tmp_path, "--audio", *files, "--estimate-offsets", "--hop", "0.5")
    found = re.findall(r"'m\d' begins at (-?[\d.]+) s", capsys.readouterr().err)
    assert np.abs(np.array(found, float) - STARTS).max() < 1e-4
    assert error_m(table) < 0.05


def test_drifts_are_found_with_the_offsets(tmp_path, capsys) -> None:
    ppm = np.array([0, 50, -80, 20, 0, 35, -10, 120.0])
    files = record(tmp_path, 20, STARTS, ppm)
    table = locate(tmp_path, "--audio", *files, "--estimate-drift", "--hop", "1")
    shown = capsys.readouterr().err
    found = re.findall(r"begins at (-?[\d.]+) s .* is ([+-][\d.]+) ppm fast", shown)
    start, drift = np.array(found, float).T
    assert np.abs(start - STARTS).max() < 1e-4
    assert np.abs(drift - ppm).max() < 6  # 4 cm at the end
    assert error_m(table) < 0.05


def test_a_source_that_stands_tells_no_offsets(tmp_path, capsys) -> None:
    write_mics(tmp_path / "mics.csv", MICS)
    write_sound(tmp_path / "r.wav", heard(dry_sound(4), MICS, np.array([2.0, 3.0, 1.0])))
    given = f"locate --method srp_phat --mics {tmp_path}/mics.csv --audio {tmp_path}/r.wav"
    assert cli.main([*given.split(), "--estimate-offsets", "--out", str(tmp_path / "p.csv")]) == 2
    assert "no offsets are found" in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


def test_noise_tells_no_offsets(tmp_path, capsys) -> None:
    write_mics(tmp_path / "mics.csv", MICS)
    noise = np.random.default_rng(0).standard_normal((2 * RATE, len(MICS)))
    write_sound(tmp_path / "r.wav", 0.1 * noise.astype(np.float32))
    assert refused(tmp_path, [f"{tmp_path}/r.wav"], capsys).count("'m") == len(MICS)


def refused(folder, files: list[str], capsys) -> str:
    """The line that refuses to estimate offsets."""
    given = f"locate --method srp_phat --mics {folder}/mics.csv --out {folder}/p.csv --audio"
    assert cli.main([*given.split(), *files, "--estimate-offsets"]) == 2
    assert not (folder / "p.csv").exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert "no offsets are found" in line
    return line


def test_a_recorder_that_heard_something_else_is_named(tmp_path, capsys) -> None:
    """Its file is of another day, or begins 7 s later than the others and nobody knows."""
    files = record(tmp_path, 8, STARTS, np.zeros(8))
    write_sound(tmp_path / "m3.wav", dry_sound(8, seed=5))
    assert refused(tmp_path, files, capsys).count("'m") == 1
    files = record(tmp_path, 16, np.array([0, 0, 0, 7.0, 0, 0, 0, 0]), np.zeros(8))
    assert "'m3'" in refused(tmp_path, files, capsys)


def test_a_recorder_three_seconds_off_is_found(tmp_path, capsys) -> None:
    starts = np.array([0, 0.31, 0.02, 3.1, 0.27, 0.1, 0.44, 0.003])
    files = record(tmp_path, 14, starts, np.zeros(8))
    table = locate(tmp_path, "--audio", *files, "--estimate-offsets", "--hop", "0.5")
    found = re.findall(r"'m\d' begins at (-?[\d.]+) s", capsys.readouterr().err)
    assert np.abs(np.array(found, float) - starts).max() < 1e-4
    assert error_m(table) < 0.05
