"""When motion capture began in the time of the audio, and whether sound and positions agree."""

from __future__ import annotations

import numpy as np

from wavloc.audio import SAMPLE_RATE
from wavloc.datasets.takes import trajectory
from wavloc.geometry import distances

STEP_S = 0.05
BAND_HZ = (300.0, 4000.0)
MOMENTS, WINDOW = 80, 2048
CLEARLY = 1.1  # times as coherent: when another offset is taken to be better


def pulse(sync: np.ndarray, rate: int) -> float | None:
    """Seconds from the start of a sync channel (n,) to its start signal; None if it has none.

    The signal begins where the channel first leaves its median by half of the most it ever does.
    """
    away = np.abs(sync - np.median(sync))
    if not away.max() > 0:
        return None
    return int(np.argmax(away > away.max() / 2)) / rate


def coherence(
    audio: np.ndarray,
    mics: np.ndarray,
    time_s: np.ndarray,
    track: np.ndarray,
    offsets_s: np.ndarray,
    speed_of_sound: float,
) -> np.ndarray:
    """How well the sound (M, n) fits the track (T, 3) if it began at each of the offsets (K,).

    The phase transform of all pairs at the delays that the track predicts, averaged over pairs,
    frequencies and the loudest moments: 1 = one perfect wave, 0 = no relation.
    """
    mics, audio = mics[known := np.isfinite(mics).all(axis=1)], audio[known]
    start = np.arange(0, audio.shape[1] - WINDOW + 1, WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(audio, WINDOW, axis=1)[:, start]
    power = np.square(windows).mean(axis=(0, 2))
    loud = np.sort(np.argsort(power)[::-1][: max(MOMENTS, 1)])
    hz = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)
    band = (hz >= BAND_HZ[0]) & (hz <= BAND_HZ[1])
    spectra = np.fft.rfft(windows[:, loud] * np.hanning(WINDOW))[..., band]  # (M, F, B)
    spectra /= np.maximum(np.abs(spectra), 1e-12)
    middle_s = (start[loud] + WINDOW / 2) / SAMPLE_RATE
    turn = 2j * np.pi * hz[band] / speed_of_sound
    found = np.full(len(offsets_s), np.nan)
    for k, offset in enumerate(offsets_s):
        source = trajectory.at(middle_s - offset, time_s, track, max_gap_s=0.5)
        here = np.isfinite(source).all(axis=1)
        if here.sum() < max(3, len(loud) // 4):
            continue
        phase = np.exp(turn * distances(source[here], mics).T[..., None])
        beam = np.square(np.abs((spectra[:, here] * phase).sum(axis=0))).mean()
        count = len(mics)
        found[k] = (beam - count) / (count * (count - 1))
    return found


def better_offset(
    audio: np.ndarray,
    mics: np.ndarray,
    time_s: np.ndarray,
    track: np.ndarray,
    offset_s: float,
    reach_s: float,
    speed_of_sound: float,
) -> float | None:
    """An offset within ``reach_s`` that fits clearly better than ``offset_s``, or None.

    "Clearly" means more than `STEP_S` away and a tenth more coherent: a loudspeaker that stands
    still fits any offset.
    """
    steps = round(reach_s / STEP_S)
    offsets = offset_s + STEP_S * np.arange(-steps, steps + 1)
    fit = coherence(audio, mics, time_s, track, offsets, speed_of_sound)
    if not np.isfinite(fit[steps]):
        return None
    best = int(np.nanargmax(fit))
    if abs(best - steps) <= 1 or fit[best] <= CLEARLY * max(fit[steps - 1 : steps + 2].max(), 0):
        return None
    nearby = offsets[best] + STEP_S / 10 * np.arange(-10, 11)
    fit = coherence(audio, mics, time_s, track, nearby, speed_of_sound)
    return float(nearby[np.nanargmax(fit)])
