"""GCC-PHAT (Knapp and Carter 1976) of all microphone pairs, and its peaks; batched over frames."""

from __future__ import annotations

import numpy as np
import scipy.fft
from scipy.ndimage import maximum_filter1d


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
    rows *= oversample  # a longer inverse transform divides by more
    rows[unheard[:, first] | unheard[:, second]] = np.nan
    return rows


def find_peaks(
    rows: np.ndarray, limit: np.ndarray, count: int, oversample: int = 1, apart: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Strongest peaks of correlation rows (B, P, 2 K + 1): delays and heights, both (B, P, count).

    limit: (B, P) or (P,) largest possible delay in samples; peaks beyond it do not count. A peak
    is the largest value within ``apart`` samples on both sides, so that the side lobes of a band
    are no candidates; strongest first, refined by a parabola; where there are fewer, NaN. With
    count 1 the largest value within the limit is taken.
    """
    reach = rows.shape[-1] // 2
    lags = np.arange(-reach, reach + 1) / oversample
    good = (np.abs(lags) <= np.asarray(limit)[..., None]) & np.isfinite(rows)
    good[..., [0, -1]] = False
    if count == 1:
        height = np.where(good, rows, -np.inf)
        chosen = height.argmax(axis=-1)[..., None]
    else:
        size = 2 * max(1, round(apart * oversample)) + 1
        crest = good & (rows >= maximum_filter1d(rows, size, axis=-1, mode="nearest"))
        crest[..., 1:] &= rows[..., 1:] > rows[..., :-1]  # of a plateau, its beginning
        height = np.where(crest, rows, -np.inf)
        top = np.argpartition(height, -count, axis=-1)[..., -count:]
        order = np.argsort(-np.take_along_axis(height, top, -1), axis=-1, kind="stable")
        chosen = np.take_along_axis(top, order, -1)
    height = np.take_along_axis(height, chosen, -1)
    found = np.isfinite(height)
    delays = (chosen - reach + parabola(rows, chosen)) / oversample
    return np.where(found, delays, np.nan), np.where(found, height, np.nan)


def parabola(rows: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Offset, within half an entry, of the top of the parabola through ``index`` (..., H) and its
    neighbours in rows (..., L).
    """
    inner = np.clip(index, 1, rows.shape[-1] - 2)
    left, middle, right = (np.take_along_axis(rows, inner + k, -1) for k in (-1, 0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = 0.5 * (left - right) / (left - 2 * middle + right)
    return np.where(np.abs(offset) <= 1, offset, 0.0)  # 0 for NaN too
