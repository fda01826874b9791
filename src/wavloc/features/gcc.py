"""GCC-PHAT (Knapp and Carter 1976) of all microphone pairs, and its peaks; batched over frames."""

from __future__ import annotations

import numpy as np
import scipy.fft


def gcc_phat(
    audio: np.ndarray,
    pairs: np.ndarray,
    max_lag: int,
    *,
    sample_rate: int,
    exponent: float = 1.0,
    band: tuple[float, float] | None = None,
    oversample: int = 1,
    eps: float = 1e-6,
) -> np.ndarray:
    """Generalised cross-correlation: audio (B, M, N), pairs (P, 2) -> (B, P, 2 K + 1) float32.

    Lags -K .. K in steps of 1 / ``oversample`` sample, K = max_lag * oversample; a peak at a
    positive lag means that the first microphone of the pair hears later. exponent 1 whitens fully
    (PHAT), 0 not at all; band keeps frequencies in Hz between the two. ``eps`` is relative to each
    channel's largest bin, so that scale does not matter. Channels that are silent or NaN give
    rows of NaN.
    """
    samples = audio.shape[-1]
    size = scipy.fft.next_fast_len(2 * samples, real=True)  # linear, not circular, correlation
    centred = audio - audio.mean(axis=-1, keepdims=True)
    unheard = ~(np.square(centred).sum(axis=-1) > 0)  # (B, M), NaN included
    centred = np.where(unheard[..., None], 0, centred).astype(np.float32, copy=False)
    spectrum = scipy.fft.rfft(centred, size)
    # |X_i conj X_j| = |X_i| |X_j|: whitening each channel once serves all of its pairs.
    magnitude = np.abs(spectrum)
    floor = eps * magnitude.max(axis=-1, keepdims=True) + np.finfo(np.float32).tiny
    spectrum /= np.maximum(magnitude, floor) ** exponent
    if band:
        frequency = scipy.fft.rfftfreq(size, 1 / sample_rate)
        spectrum[..., (frequency < band[0]) | (frequency > band[1])] = 0
    first, second = pairs.T
    cross = spectrum[:, first] * spectrum[:, second].conj()
    correlation = scipy.fft.irfft(cross, size * oversample)
    reach = max_lag * oversample
    rows = np.concatenate([correlation[..., -reach:], correlation[..., : reach + 1]], axis=-1)
    rows[unheard[:, first] | unheard[:, second]] = np.nan
    return rows


def find_peaks(
    rows: np.ndarray, limit: np.ndarray, count: int, oversample: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Strongest peaks of correlation rows (B, P, 2 K + 1): delays and heights, both (B, P, count).

    limit: (B, P) or (P,) largest possible delay in samples; lags beyond it are not looked at.
    Peaks are strict local maxima, strongest first, refined by a parabola; where there are fewer,
    NaN. With count 1 the largest value within the limit is taken.
    """
    reach = rows.shape[-1] // 2
    lags = np.arange(-reach, reach + 1) / oversample
    inside = np.abs(lags) <= np.asarray(limit)[..., None]
    values = np.where(inside & np.isfinite(rows), rows, -np.inf)
    inner = values[..., 1:-1]
    if count == 1:
        chosen = inner.argmax(axis=-1)[..., None] + 1
    else:
        crest = (inner > values[..., :-2]) & (inner >= values[..., 2:])
        height = np.where(crest, inner, -np.inf)
        top = np.argpartition(height, -count, axis=-1)[..., -count:]
        order = np.argsort(-np.take_along_axis(height, top, -1), axis=-1, kind="stable")
        chosen = np.take_along_axis(top, order, -1) + 1
        values = np.concatenate([values[..., :1], height, values[..., -1:]], axis=-1)
    height = np.take_along_axis(values, chosen, -1)
    left = np.take_along_axis(rows, chosen - 1, -1)
    right = np.take_along_axis(rows, chosen + 1, -1)
    found = np.isfinite(height)
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = 0.5 * (left - right) / (left - 2 * height + right)
    offset = np.where(np.isfinite(offset) & (np.abs(offset) <= 1), offset, 0)
    delays = np.where(found, (chosen - reach + offset) / oversample, np.nan)
    return delays, np.where(found, height, np.nan)
