"""Sound from files in blocks: clocks, lengths, rates, silence."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import soundfile

from helpers.recordings import (
    MICS,
    RATE,
    dry_sound,
    errors_m,
    heard,
    locate,
    write_mics,
    write_sound,
)
from wavloc import audio, cli
from wavloc.errors import InputError
from wavloc.geometry import LUVIRA_MICS, speed_in_air
from wavloc.recordings import positions, sound

SOURCE = np.array([2.0, 3.0, 1.0])
NAMES = [f"m{k}" for k in range(len(MICS))]


def write_files(folder, channels: list[np.ndarray], rate: int = RATE) -> list[str]:
    """One file per microphone."""
    files = [folder / f"m{k}.wav" for k in range(len(channels))]
    for path, channel in zip(files, channels, strict=True):
        write_sound(path, channel, rate)
    return [str(path) for path in files]


@pytest.mark.parametrize("hop", ["0", "-1", "nan", "inf", "1e-9", "1e9", "fast"])
def test_impossible_hops_are_named(tmp_path, capsys, hop: str) -> None:
    given = f"locate --method srp_phat --mics m --audio r.wav --out {tmp_path}/p.csv --hop {hop}"
    assert cli.main(given.split()) == 2
    assert "a number from 0.001 to 3,600 s" in capsys.readouterr().err.replace("finite ", "")


def test_another_medium_is_kept_with_the_frames(tmp_path) -> None:
    write_mics(tmp_path / "mics.csv", MICS)
    write_sound(tmp_path / "r.wav", heard(dry_sound(0.3), MICS, SOURCE, speed=1482.0))
    table = locate(tmp_path, "--speed-of-sound", "1482", "--other-medium")
    assert errors_m(table, SOURCE).max() < 0.05


def test_temperature_is_a_speed_of_sound(tmp_path) -> None:
    assert speed_in_air(20) == pytest.approx(343.2, abs=0.1)
    write_mics(tmp_path / "mics.csv", MICS)
    write_sound(tmp_path / "r.wav", heard(dry_sound(0.3), MICS, SOURCE, speed=speed_in_air(40)))
    assert errors_m(locate(tmp_path, "--temperature", "40"), SOURCE).max() < 0.01
    assert errors_m(locate(tmp_path), SOURCE).max() > 0.03


@pytest.mark.parametrize("below_db", [-3, float("nan"), 1000])
def test_impossible_silence_is_named(below_db: float) -> None:
    with pytest.raises(InputError, match=r"silence: .*, expected a number from 0 to 200 dB"):
        positions.silent(np.ones(3), below_db)


@pytest.mark.parametrize("disturbance", ["none", "offset", "hum", "rumble"])
def test_pauses_are_silent_whatever_is_below_the_band(tmp_path, disturbance: str) -> None:
    dry = dry_sound(1.0)
    dry[: RATE // 2] = 0
    heard_ = heard(dry, MICS, SOURCE)
    time = np.arange(len(heard_))[:, None] / RATE
    phase = np.arange(len(MICS))
    heard_ += {
        "none": 0.0,
        "offset": 0.3,
        "hum": 0.2 * np.sin(2 * np.pi * 50 * time + phase),
        "rumble": 0.3 * np.sin(2 * np.pi * 13 * time + phase),
    }[disturbance]
    write_mics(tmp_path / "mics.csv", MICS)
    write_sound(tmp_path / "r.wav", heard_.astype(np.float32))
    table = locate(tmp_path)
    pause, loud = table[table["time_s"] < 0.43], table[table["time_s"] > 0.6]
    assert (pause["status"] == "silent").all()
    assert pause["x"].isna().all()
    assert errors_m(loud, SOURCE).max() < 0.05


def test_lengths_that_differ_are_trimmed_and_said(tmp_path, capsys) -> None:
    write_mics(tmp_path / "mics.csv", MICS)
    channels = list(heard(dry_sound(0.5), MICS, SOURCE).T)
    channels[3] = channels[3][:-1000]
    files = write_files(tmp_path, channels)
    table = locate(tmp_path, "--audio", *files)
    assert "used: 0.000 to 0.438 s" in capsys.readouterr().err
    assert len(table) == 5
    assert errors_m(table, SOURCE).max() < 0.02


@pytest.mark.parametrize("rate", [16000, 44100])
def test_recordings_that_begin_at_different_times(tmp_path, capsys, rate: int) -> None:
    """Starts need not be whole samples: 0.4 ms are 14 cm, half a sample is 1 cm."""
    starts = np.array([0, 0.25, 0.0004, 0.1, 0.07003, 0, 0.3, 0.011])
    delayed = heard(dry_sound(1.2, rate=rate), MICS, SOURCE, rate)
    size = len(delayed)
    turn = np.exp(2j * np.pi * np.fft.rfftfreq(size, 1 / rate)[:, None] * starts)
    shifted = np.fft.irfft(np.fft.rfft(delayed, axis=0) * turn, size, axis=0)
    channels = [shifted[: int(size - (s + 0.01) * rate), k] for k, s in enumerate(starts)]
    files = write_files(tmp_path, [c.astype(np.float32) for c in channels], rate)
    write_mics(tmp_path / "mics.csv", MICS)
    rows = "".join(f"{name},{start}\n" for name, start in zip(NAMES, starts, strict=True))
    (tmp_path / "starts.csv").write_text("name,start_s\n" + rows)
    table = locate(tmp_path, "--audio", *files, "--starts", tmp_path / "starts.csv")
    assert "used: 0.300 to 1.190 s" in capsys.readouterr().err
    assert table["time_s"].iloc[0] == pytest.approx(0.364)
    assert errors_m(table, SOURCE).max() < 0.02
    lines = (tmp_path / "mics.csv").read_text().splitlines()
    lines = [lines[0] + ",start_s", *(f"{a},{s}" for a, s in zip(lines[1:], starts, strict=True))]
    (tmp_path / "mics.csv").write_text("\n".join(lines))
    assert locate(tmp_path, "--audio", *files).equals(table)


def test_recordings_at_no_common_time_are_refused(tmp_path) -> None:
    files = write_files(tmp_path, list(heard(dry_sound(0.3), MICS, SOURCE).T))
    starts = np.zeros(len(MICS))
    starts[2] = 100
    with pytest.raises(InputError, match="no time at which all record"):
        sound.open_files([*map(type(tmp_path), files)], NAMES, starts)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_resampling_in_blocks_is_resampling(rate: int) -> None:
    whole = np.random.default_rng(0).standard_normal((2, 20011)).astype(np.float32)
    expected = audio.resample(whole, rate, 16000)
    for edges in ([7, 8, 900, 901, 9000], [], [20000]):
        parts = list(audio.resample_blocks(np.split(whole, edges, axis=1), rate, 16000))
        assert np.abs(np.concatenate(parts, axis=1) - expected).max() < 1e-6


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_blocks_of_a_file_are_the_file(tmp_path, suffix: str) -> None:
    path = tmp_path / f"r.{suffix}"
    soundfile.write(path, 0.5 * heard(dry_sound(0.5), MICS, SOURCE)[:, :2], RATE)
    whole, rate = audio.read_audio(path)
    blocks = list(audio.stream_audio(path, 1000))
    assert max(map(len, blocks)) <= 500
    assert np.array_equal(np.concatenate(blocks), whole)
    assert audio.describe_audio(path) == (len(whole), 2, rate)


def test_a_large_array_is_located(tmp_path) -> None:
    """64 microphones: 2,016 pairs."""
    mics = np.random.default_rng(0).uniform([0, 0, 0], [3, 4, 2], (64, 3))
    write_mics(tmp_path / "mics.csv", mics)
    write_sound(tmp_path / "r.wav", heard(dry_sound(0.15), mics, SOURCE))
    table = locate(tmp_path, "--room", "3", "4", "2")
    assert errors_m(table, SOURCE).max() < 0.01


def test_luvira_microphones_keep_the_usual_frames() -> None:
    from wavloc.recordings import volume

    assert volume.window_s(LUVIRA_MICS, 343.0, fixed=False) == 0.128


def test_a_recording_of_any_length_is_read_in_blocks() -> None:
    """Ten minutes of 8 channels are 314 MB."""
    count = 300

    def opened() -> list:
        return [(np.zeros((8, 2**15), np.float32) for _ in range(count))]

    clocks = sound.Clocks(np.zeros(8), np.zeros(8))
    made = sound.Recording(opened, [8], clocks, np.full(8, count * 2.0**15))
    times = made.hops(2.0, 2048)
    tracemalloc.start()
    read = sum(frame.shape == (8, 2048) for frame in made.sounds(times, 2048))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read == len(times) == 308
    assert peak < 20e6


def test_lengths_that_differ_by_a_sample_are_no_matter(tmp_path, capsys) -> None:
    write_mics(tmp_path / "mics.csv", MICS)
    channels = list(heard(dry_sound(0.3), MICS, SOURCE).T)
    channels[3] = channels[3][:-1]
    table = locate(tmp_path, "--audio", *write_files(tmp_path, channels))
    assert "used:" not in capsys.readouterr().err
    assert errors_m(table, SOURCE).max() < 0.02
