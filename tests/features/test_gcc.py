"""GCC-PHAT and its peaks against known delays."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from wavloc.features import delays
from wavloc.features.gcc import find_peaks, gcc_phat
from wavloc.geometry import pairs, tdoa


@dataclasses.dataclass
class Options:
    """GCC-PHAT of the whole band, and its peaks."""

    peaks: int
    exponent: float = 1.0
    low_hz: float = 0.0
    high_hz: float = 8000.0
    oversample: int = 4
    min_distance: float = 1.0


def delayed(count: int, shift: float, seed: int = 0) -> np.ndarray:
    """White noise (1, 2, count) whose first channel is ``shift`` samples late."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(4 * count))
    phase = np.exp(-2j * np.pi * np.fft.rfftfreq(4 * count) * shift)
    both = np.fft.irfft(np.stack([spectrum * phase, spectrum]))
    return both[None, :, count : 2 * count].astype(np.float32)


@pytest.mark.parametrize("shift", [-100.0, -3.25, 0.0, 7.5, 60.1])
def test_peak_is_positive_where_sound_reaches_the_first_microphone_later(shift: float) -> None:
    gcc = gcc_phat(delayed(2048, shift), pairs(2), 128, sample_rate=16000, oversample=4)
    assert gcc.shape == (1, 1, 2 * 128 * 4 + 1)
    delay, height = find_peaks(gcc, np.array([120.0]), 1, 4)
    assert delay[0, 0, 0] == pytest.approx(shift, abs=0.06)
    assert height[0, 0, 0] > 0.5


def test_delays_of_frames_are_the_true_ones() -> None:
    frames = anechoic_frames(4)
    measured = delays.peaks(frames, slice(None), Options(1))[..., 0]
    truth = tdoa(frames.source_position, frames.mic_positions, 16000, 343.0)
    assert np.median(np.abs(measured - truth)) < 0.1
    assert (np.abs(measured - truth) < 0.6).mean() > 0.98


def test_scale_and_offset_of_a_channel_do_not_matter() -> None:
    sound = delayed(2048, 5.0)
    changed = sound * np.array([[[100.0], [0.01]]], np.float32) + np.float32(0.5)
    before, after = (gcc_phat(s, pairs(2), 20, sample_rate=16000) for s in (sound, changed))
    assert np.abs(before - after).max() < 1e-3


def test_swapping_microphones_reverses_the_lags() -> None:
    sound = delayed(2048, 5.0)
    gcc = gcc_phat(sound, pairs(2), 20, sample_rate=16000)
    swapped = gcc_phat(sound[:, ::-1], pairs(2), 20, sample_rate=16000)
    assert np.abs(gcc - swapped[..., ::-1]).max() < 1e-5


def test_band_keeps_only_its_frequencies() -> None:
    gcc = gcc_phat(delayed(2048, 0.0), pairs(2), 1000, sample_rate=16000, band=(1000, 2000))
    spectrum = np.abs(np.fft.rfft(gcc[0, 0] * np.hanning(2001)))
    frequency = np.fft.rfftfreq(2001, 1 / 16000)
    inside = (frequency > 950) & (frequency < 2050)
    assert (spectrum[~inside] ** 2).sum() < 0.01 * (spectrum**2).sum()


def test_silent_and_missing_channels_give_no_delay_and_no_warning() -> None:
    frames = anechoic_frames(2)
    frames.audio[0, 3] = 0
    frames.audio[1, 5] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = delays.peaks(frames, slice(None), Options(4))
    with_mic = np.array([(3 in pair, 5 in pair) for pair in pairs(11).tolist()])
    assert np.isnan(measured[0, with_mic[:, 0]]).all()
    assert np.isnan(measured[1, with_mic[:, 1]]).all()
    assert np.isfinite(measured[0, ~with_mic[:, 0], 0]).all()


def test_peaks_come_strongest_first_within_the_limit() -> None:
    gcc = np.zeros((1, 1, 41), np.float32)
    gcc[0, 0, [5, 15, 25, 30]] = [9.0, 2.0, 3.0, 1.0]
    delay, height = find_peaks(gcc, np.array([12.0]), 4)
    assert delay[0, 0, :3].tolist() == [5.0, -5.0, 10.0]
    assert np.isnan(delay[0, 0, 3])
    assert height[0, 0, :3].tolist() == [3.0, 2.0, 1.0]
