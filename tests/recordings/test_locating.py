"""What `wavloc locate` does around the positions: a look at the recording, and warnings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.recordings import RATE, write_mics, write_sound
from helpers.spoken import SIX, recording, speech
from wavloc import cli
from wavloc.recordings import sound

NAMES = [f"m{k}" for k in range(6)]


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """Five seconds of a voice that changes its place twice a second, T60 0.2 s."""
    return recording(speech(5.0, seed=2), seed=2)


def located(folder: Path, channels: np.ndarray, *more: str) -> bytes:
    write_mics(folder / "mics.csv", SIX)
    write_sound(folder / "r.wav", channels.T)
    given = f"--mics {folder}/mics.csv --audio {folder}/r.wav --out {folder}/p.csv --hop 1"
    assert cli.main(["locate", "--method", "srp_phat", *given.split(), *more]) == 0
    return (folder / "p.csv").read_bytes()


def test_a_clean_recording_is_located_without_a_word(clean, tmp_path, capsys) -> None:
    located(tmp_path, clean)
    assert capsys.readouterr().err.count("\n") == 1


def test_each_finding_is_a_line_and_hides_nothing(clean, tmp_path, capsys) -> None:
    faulty = clean[[0, 4, 2, 3, 1, 5]].copy()
    faulty[3] = 0
    written = located(tmp_path, faulty)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0].startswith("locate: warning: 'm3' is dead")
    assert said[1].startswith("locate: warning: channels 'm1' and 'm4' seem swapped")
    assert located(tmp_path, faulty, "--no-check") == written
    assert capsys.readouterr().err.count("\n") == 1


def hours(seconds: float, loud_s: float) -> tuple[sound.Recording, list[tuple[int, int]]]:
    """A recording that is loud at one time, and what is read of it."""
    read: list[tuple[int, int]] = []
    size = round(seconds * RATE)

    def part(_: int, first: int, count: int) -> np.ndarray:
        read.append((first, count))
        wave = np.sin(np.arange(first, first + count))
        here = np.abs(np.arange(first, first + count) / RATE - loud_s) < 300
        return np.tile((wave * (0.01 + here)).astype(np.float32), (6, 1))

    clocks = sound.Clocks(np.zeros(6), np.zeros(6))
    made = sound.Recording(lambda: [], [6], clocks, np.full(6, float(size)), part, RATE)
    return made, read


@pytest.mark.parametrize("loud_s", [20.0, 3000.0, 7190.0])
def test_a_long_recording_is_looked_at_where_it_is_loud(loud_s: float) -> None:
    made, read = hours(7200.0, loud_s)
    found = made.excerpt(20.0)
    assert found.shape == (6, 20 * RATE)
    assert np.abs(found[0]).max() > 0.5
    assert sum(count for _, count in read) <= 40 * RATE
    assert all(first >= 0 and first + count <= 7200 * RATE for first, count in read)


def test_a_short_recording_is_looked_at_as_a_whole() -> None:
    made, read = hours(12.5, 0.0)
    assert made.excerpt(20.0).shape == (6, 200_000)
    assert read == [(0, 200_000)]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_stretch_of_files_is_that_of_the_whole(clean, tmp_path, suffix: str) -> None:
    import soundfile

    paths = []
    for name, channel in zip(NAMES, clean, strict=True):
        paths.append(tmp_path / f"{name}.{suffix}")
        soundfile.write(paths[-1], channel, RATE)
    starts = np.array([0, 0.5, 0, 0, 0.25, 0])
    made = sound.open_files(paths[::-1], NAMES, starts)
    part = made.stretch(1.0, 0.75)
    assert part.shape == (6, 12_000)
    near = 1e-4 if suffix != "ogg" else 0.1
    for row, channel, start in zip(part, clean, starts, strict=True):
        first = round((1.0 - start) * RATE)
        assert np.abs(row - channel[first : first + 12_000]).max() < near
    assert made.whole().shape == (6, round(4.5 * RATE))
