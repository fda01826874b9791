"""Every fault is named, with its number; a clean recording gives no finding."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.ndimage
import soundfile

from helpers.spoken import SIX, recording, speech
from wavloc import cli
from wavloc.audio import SAMPLE_RATE
from wavloc.checking import Finding, alone, check, timing, windows
from wavloc.checking.order import GAIN, best_swap
from wavloc.datasets.sound import synthetic
from wavloc.geometry import LUVIRA_MICS

NAMES = ["north", "east", "south", "west", "desk", "door"]


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """Five seconds of a voice that changes its place twice a second, T60 0.2 s."""
    return recording(speech(5.0, seed=2), seed=2)


def findings(channels: np.ndarray, mics: np.ndarray = SIX) -> list[Finding]:
    return check(channels, SAMPLE_RATE, mics, NAMES[: len(mics)]).findings


def only(channels: np.ndarray, kind: str, *names: str) -> Finding:
    """The finding, which is the only one."""
    found = findings(channels)
    assert [(one.kind, one.channels) for one in found] == [(kind, names)], found
    return found[0]


def changed(
    channels: np.ndarray, row: int, change: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    other = channels.copy()
    other[row] = change(channels[row])
    return other


def test_clean_recording_has_no_finding(clean: np.ndarray) -> None:
    checked = check(clean, SAMPLE_RATE, SIX, NAMES)
    assert checked.findings == []
    assert (checked.table["in_step"] > 0.3).all()
    assert checked.late_ms.shape == (len(checked.time_s), 6)
    assert (np.abs(np.median(checked.late_ms, axis=0)) < 0.8).all()


def test_dead_channel(clean: np.ndarray) -> None:
    only(changed(clean, 3, lambda x: 0 * x), "dead", "west")
    assert only(changed(clean, 3, lambda x: x / 1000), "dead", "west").value < -80


def test_clipped_channel(clean: np.ndarray) -> None:
    limit = 0.3 * np.abs(clean[0]).max()
    found = only(changed(clean, 0, lambda x: np.clip(x, -limit, limit)), "clipped", "north")
    assert found.value == pytest.approx((np.abs(clean[0]) >= limit).mean(), rel=0.01)


def test_coarse_steps_and_tones_are_not_clipping() -> None:
    time = np.arange(48000) / 48000
    tone = np.sin(2 * np.pi * 50 * time)
    coarse = np.round(8 * speech(2.0))
    assert alone.clipped_shares(np.stack([tone, np.round(tone * 32767) / 32768])).max() == 0
    assert alone.clipped_shares(coarse[None]).max() == 0


def test_constant_offset_of_a_channel(clean: np.ndarray) -> None:
    assert only(changed(clean, 2, lambda x: x + 0.02), "dc", "south").value == pytest.approx(
        0.02, 0.1
    )


@pytest.mark.parametrize("mains", [50, 60])
def test_hum(clean: np.ndarray, mains: int) -> None:
    time = np.arange(clean.shape[1]) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * k * mains * time) / k for k in (1, 2, 3))
    hum = 0.1 * clean[5].std() * tones.astype(np.float32)
    found = only(changed(clean, 5, lambda x: x + hum), "hum", "door")
    assert found.value == pytest.approx(10 * np.log10(np.square(hum).mean()), abs=1.0)
    assert f"{mains} Hz" in found.text


def test_notes_that_come_and_go_are_no_hum() -> None:
    """A bass at the mains' frequencies, with rests; the same tone without rests is hum."""
    time = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 60 * time) + 0.5 * np.sin(2 * np.pi * 180 * time)
    floor = 1e-3 * np.random.default_rng(0).standard_normal(len(time))
    played = (time % 4.0 < 3.0) & (time < 8.0)  # the lower quartile of its windows is loud
    mains, _ = alone.hum(np.stack([0.1 * tone * played, 0.1 * tone]) + floor, SAMPLE_RATE)
    assert np.isnan(mains[0])
    assert mains[1] == 60


def test_inverted_channels(clean: np.ndarray) -> None:
    only(changed(clean, 1, np.negative), "inverted", "east")


def test_swapped_channels(clean: np.ndarray) -> None:
    swapped = clean[[0, 4, 2, 3, 1, 5]]
    assert only(swapped, "order", "east", "desk").value > 100 * GAIN


def test_each_swapped_pair_is_named(clean: np.ndarray) -> None:
    heard = windows.correlate(clean, SIX, 343.0)
    search = windows.Search(heard)
    for one, other in itertools.combinations(range(6), 2):
        order = np.arange(6)
        order[[one, other]] = other, one
        wrong = heard.reordered(order)
        swap, gain = best_swap(wrong, search, search.by_lag(wrong), np.arange(6))
        assert swap == [one, other]
        assert gain > GAIN


@pytest.mark.parametrize(("row", "late_ms"), [(2, 5.0), (4, -5.0)])
def test_channel_out_of_step(clean: np.ndarray, row: int, late_ms: float) -> None:
    shift = round(late_ms * SAMPLE_RATE / 1000)
    found = only(changed(clean, row, lambda x: np.roll(x, shift)), "offset", NAMES[row])
    assert found.value == pytest.approx(late_ms, abs=0.2)


def test_channel_far_out_of_step(clean: np.ndarray) -> None:
    found = only(
        changed(clean, 2, lambda x: np.roll(x, round(0.044 * SAMPLE_RATE))), "offset", "south"
    )
    assert found.value == pytest.approx(44, abs=0.5)


def test_a_channel_out_of_step_among_many() -> None:
    """With ten others the source is known without it: that it is put right moves none of them."""
    mics, room = LUVIRA_MICS + np.array([3.6, 4.2, 0]), (7.0, 8.0, 2.0)
    late = recording(speech(3.0, seed=1), mics, room, snr_db=20.0, seed=1)
    late[2] = np.roll(late[2], round(0.005 * SAMPLE_RATE))
    names = [f"m{k}" for k in range(len(mics))]
    (found,) = check(late, SAMPLE_RATE, mics, names).findings
    assert (found.kind, found.channels) == ("offset", ("m2",))
    assert found.value == pytest.approx(5, abs=0.2)


def test_a_source_far_outside_of_the_array_is_no_fault() -> None:
    """It stays there, 1.7 m beyond the outermost microphone, and is as far from two of them: one
    signal without delay, but no crosstalk; nor does another order or polarity fit better.
    """
    mics = np.array(
        [[5.22, 2.27, 1.76], [2.64, 3.29, 1.31], [6.33, 1.3, 0.92], [4.29, 4.06, 0.73],
         [6.03, 0.58, 2.05]]
    )  # fmt: skip
    place = np.array([[0.99, 1.41, 1.64]])
    sound = synthetic.band(5.0, np.random.default_rng(3))
    channels = recording(sound, mics, (6.66, 4.86, 2.94), 0.06, 22.0, path=place)
    assert findings(channels, mics) == []
    heard = windows.correlate(channels, mics, 343.0)
    found = windows.searched(heard).positions(heard)
    assert np.linalg.norm(np.median(found, axis=0) - place[0]) < 0.3


def test_crosstalk(clean: np.ndarray) -> None:
    leaked = changed(clean, 1, lambda x: x + 0.2 * clean[2])
    only(leaked, "crosstalk", "east", "south")


def test_one_signal_in_all_channels(clean: np.ndarray) -> None:
    noise = np.random.default_rng(0).standard_normal(clean.shape[1]) * clean.std()
    only((clean + noise).astype(np.float32), "crosstalk", *NAMES)
    only(np.repeat(clean[:1], 6, axis=0), "crosstalk", *NAMES)
    only(changed(clean, 1, lambda x: clean[0]), "crosstalk", "north", "east")


def test_drift_is_the_slope_of_the_delays() -> None:
    rng = np.random.default_rng(0)
    time_s = np.linspace(0, 300, 96)
    late_s = np.where(rng.random(96) < 0.4, rng.uniform(-0.1, 0.1, 96), 50e-6 * time_s)
    start, slope, share = timing._line(time_s, late_s)
    assert slope == pytest.approx(50e-6, rel=0.01)
    assert start == pytest.approx(0, abs=1e-4)
    assert share == pytest.approx(0.6, abs=0.15)


@pytest.mark.slow
def test_drift_of_50_ppm_in_five_minutes() -> None:
    clean = recording(speech(300.0), step_s=3.0)
    time = np.arange(clean.shape[1]) * (1 - 50e-6)
    slow = changed(clean, 4, lambda x: scipy.ndimage.map_coordinates(x, [time], order=3))
    assert only(slow, "drift", "desk").value == pytest.approx(50, abs=3)


def test_few_microphones_and_short_recordings_are_no_error(clean: np.ndarray) -> None:
    for number in range(1, 5):
        assert findings(clean[:number], SIX[:number]) == []
    assert findings(clean[:, :1000]) == []
    silence = check(np.zeros((6, 16000), np.float32), SAMPLE_RATE, SIX, NAMES)
    assert [one.kind for one in silence.findings] == ["dead"] * 6


def write(folder: Path, channels: np.ndarray) -> list[str]:
    rows = pd.DataFrame(SIX, columns=list("xyz"))
    rows.insert(0, "name", NAMES)
    rows.to_csv(folder / "mics.csv", index=False)
    soundfile.write(folder / "sound.wav", channels.T, SAMPLE_RATE, subtype="FLOAT")
    return ["check", "--mics", str(folder / "mics.csv"), "--audio", str(folder / "sound.wav")]


def test_command(clean: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = write(tmp_path, changed(clean, 1, np.negative))
    out, plot = tmp_path / "check.csv", tmp_path / "check.png"
    assert cli.main([*command, "--out", str(out), "--plot", str(plot)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "! 'east' is inverted" in shown
    assert "1 finding\n" in shown
    table = pd.read_csv(out)
    assert table["name"].tolist() == NAMES
    assert table["polarity"].tolist() == [1, -1, 1, 1, 1, 1]
    assert plot.stat().st_size > 10_000
    assert cli.main([*command, "--strict"]) == 1
    assert "1 finding" in capsys.readouterr().err


def test_command_without_findings(
    clean: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*write(tmp_path, clean), "--strict", "--out", "-"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("name,level_db,")
    assert "no findings" in captured.err
