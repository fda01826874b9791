"""The offset between audio and motion capture, and whether audio and positions agree."""

import numpy as np

from wavloc.audio import SAMPLE_RATE
from wavloc.datasets.takes import trajectory
from wavloc.geometry import SPEED_OF_SOUND, distances

STEP_S = 0.05
BAND_HZ = (300.0, 4000.0)
MOMENTS, WINDOW = 80, 2048
CLEARLY = 1.1  # a better offset is at least this many times as coherent


def pulse(sync: np.ndarray, rate: int) -> float | None:
    """Time in seconds of the start signal in a sync channel (n,); None if there is none.

    The signal begins where the deviation from the median first exceeds half of its maximum.
    """
    deviation = np.abs(sync - np.median(sync))
    if not deviation.max() > 0:
        return None
    return int(np.argmax(deviation > deviation.max() / 2)) / rate


def coherence(
    audio: np.ndarray,
    mics: np.ndarray,
    time_s: np.ndarray,
    track: np.ndarray,
    offsets_s: np.ndarray,
) -> np.ndarray:
    """How well the audio (M, n) fits the track (T, 3) for each offset of the capture: (K,).

    The GCC-PHAT of all pairs at the delays that the track predicts, averaged over pairs,
    frequencies and the loudest moments: 1 = perfectly coherent, 0 = unrelated. NaN where too few
    moments have a position.
    """
    located = np.isfinite(mics).all(axis=1)
    mics, audio = mics[located], audio[located]
    start = np.arange(0, audio.shape[1] - WINDOW + 1, WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(audio, WINDOW, axis=1)[:, start]
    power = np.square(windows).mean(axis=(0, 2))
    loud = np.sort(np.argsort(power)[::-1][:MOMENTS])
    hz = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)
    band = (hz >= BAND_HZ[0]) & (hz <= BAND_HZ[1])
    spectra = np.fft.rfft(windows[:, loud] * np.hanning(WINDOW))[..., band]  # (M, F, B)
    spectra /= np.maximum(np.abs(spectra), 1e-12)
    middle_s = (start[loud] + WINDOW / 2) / SAMPLE_RATE
    turn = 2j * np.pi * hz[band] / SPEED_OF_SOUND
    fit = np.full(len(offsets_s), np.nan)
    for k, offset in enumerate(offsets_s):
        source = trajectory.at(middle_s - offset, time_s, track, max_gap_s=0.5)
        known = np.isfinite(source).all(axis=1)
        if known.sum() < max(3, len(loud) // 4):
            continue
        phase = np.exp(turn * distances(source[known], mics).T[..., None])
        beam = np.square(np.abs((spectra[:, known] * phase).sum(axis=0))).mean()
        count = len(mics)
        fit[k] = (beam - count) / (count * (count - 1))
    return fit


def better_offset(
    audio: np.ndarray,
    mics: np.ndarray,
    time_s: np.ndarray,
    track: np.ndarray,
    offset_s: float,
    reach_s: float,
) -> float | None:
    """An offset within ``reach_s`` that fits clearly better than ``offset_s``, or None.

    Clearly better: more than `STEP_S` away and `CLEARLY` times as coherent, because a loudspeaker
    at rest fits any offset.
    """
    steps = round(reach_s / STEP_S)
    offsets = offset_s + STEP_S * np.arange(-steps, steps + 1)
    fit = coherence(audio, mics, time_s, track, offsets)
    if not np.isfinite(fit[steps]):
        return None
    best = int(np.nanargmax(fit))
    if abs(best - steps) <= 1 or fit[best] <= CLEARLY * max(fit[steps - 1 : steps + 2].max(), 0):
        return None
    nearby = offsets[best] + STEP_S / 10 * np.arange(-10, 11)
    fit = coherence(audio, mics, time_s, track, nearby)
    return float(nearby[np.nanargmax(fit)])
