"""GCC-PHAT (Knapp and Carter 1976) of all microphone pairs, and its peaks; batched over frames."""

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
    positive lag means that the sound reaches the first microphone of the pair later. ``exponent``
    is that of the whitening: 1 = PHAT, 0 = plain correlation; ``band`` keeps the frequencies
    between two (Hz). ``eps`` is relative to the largest bin of each channel, so that scale does
    not matter. Pairs with a silent or missing (NaN) channel are NaN.
    """
    samples = audio.shape[-1]
    size = scipy.fft.next_fast_len(2 * samples, real=True)  # linear, not circular, correlation
    centred = audio - audio.mean(axis=-1, keepdims=True)
    silent = ~(np.square(centred).sum(axis=-1) > 0)  # (B, M), NaN included
    centred = np.where(silent[..., None], 0, centred).astype(np.float32, copy=False)
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
    gcc = np.concatenate([correlation[..., -reach:], correlation[..., : reach + 1]], axis=-1)
    gcc *= oversample  # a longer inverse transform divides by more
    gcc[silent[:, first] | silent[:, second]] = np.nan
    return gcc


def find_peaks(
    gcc: np.ndarray, limit: np.ndarray, count: int, oversample: int = 1, min_distance: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Strongest peaks of gcc (B, P, 2 K + 1): delays in samples and heights, both (B, P, count).

    limit: (B, P) or (P,) largest possible delay in samples; peaks beyond it do not count. A peak
    is the largest value within ``min_distance`` samples on both sides, which leaves out the side
    lobes of a band. Strongest first, refined by a parabola, NaN where there are fewer. With
    ``count`` 1 the largest value within the limit is taken.
    """
    reach = gcc.shape[-1] // 2
    lags = np.arange(-reach, reach + 1) / oversample
    valid = (np.abs(lags) <= np.asarray(limit)[..., None]) & np.isfinite(gcc)
    valid[..., [0, -1]] = False
    if count == 1:
        height = np.where(valid, gcc, -np.inf)
        index = height.argmax(axis=-1)[..., None]
    else:
        size = 2 * max(1, round(min_distance * oversample)) + 1
        is_peak = valid & (gcc >= maximum_filter1d(gcc, size, axis=-1, mode="nearest"))
        is_peak[..., 1:] &= gcc[..., 1:] > gcc[..., :-1]  # of a plateau, its beginning
        height = np.where(is_peak, gcc, -np.inf)
        top = np.argpartition(height, -count, axis=-1)[..., -count:]
        order = np.argsort(-np.take_along_axis(height, top, -1), axis=-1, kind="stable")
        index = np.take_along_axis(top, order, -1)
    height = np.take_along_axis(height, index, -1)
    exists = np.isfinite(height)
    delays = (index - reach + parabolic_offset(gcc, index)) / oversample
    return np.where(exists, delays, np.nan), np.where(exists, height, np.nan)


def parabolic_offset(gcc: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Offset in lags, at most 1, of the top of the parabola through ``index`` (..., H) and its two
    neighbours in gcc (..., L); 0 where there is none.
    """
    inner = np.clip(index, 1, gcc.shape[-1] - 2)
    left, middle, right = (np.take_along_axis(gcc, inner + k, -1) for k in (-1, 0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = 0.5 * (left - right) / (left - 2 * middle + right)
    return np.where(np.abs(offset) <= 1, offset, 0.0)
