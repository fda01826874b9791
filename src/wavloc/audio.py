"""Reading, resampling and filtering audio; only this module reads audio files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile

from wavloc.errors import InputError

SAMPLE_RATE = 16_000  # Hz, both papers


def read_audio(path: str | Path) -> tuple[np.ndarray, int]:
    """Read a whole audio file: samples (n, channels) float32 and the rate in Hz.

    Raises `InputError` if the file is missing, unreadable, empty or truncated (fewer samples than
    its header states), or has samples that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such audio file")
    try:
        with soundfile.SoundFile(path) as handle:
            expected, rate = handle.frames, handle.samplerate
            samples = handle.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise InputError(f"{path}: not readable as audio ({error})") from None
    if path.suffix.lower() == ".wav":
        expected = max(expected, _wav_declared_samples(path))
    if len(samples) == 0 or len(samples) < expected:
        raise InputError(f"{path}: truncated, {len(samples)} of {expected} samples could be read")
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: contains NaN or infinite samples")
    return samples, rate


def _wav_declared_samples(path: Path) -> int:
    """Samples per channel that a RIFF/WAVE header declares; 0 if unknown.

    libsndfile silently reduces the count to what the file holds, so a truncated recording would
    look like a short one.
    """
    data = path.read_bytes()[:65536]
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return 0
    position, block = 12, 0
    while position + 8 <= len(data):
        name = data[position : position + 4]
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if name == b"fmt ":
            block = int.from_bytes(data[position + 20 : position + 22], "little")
        if name == b"data":
            # Streams written to a pipe declare 0xFFFFFFFF or 0: the length is unknown.
            return size // block if block and 0 < size < 0xFFFFFFF0 else 0
        position += 8 + size + size % 2
    return 0


def resample(samples: np.ndarray, from_rate: int, to_rate: int, axis: int = -1) -> np.ndarray:
    """Resample with a linear-phase polyphase filter, of equal delay for all channels."""
    if from_rate == to_rate:
        return samples
    import scipy.signal  # slow to import

    ratio = Fraction(to_rate, from_rate)
    return scipy.signal.resample_poly(
        samples, ratio.numerator, ratio.denominator, axis=axis
    ).astype(samples.dtype, copy=False)


def highpass(samples: np.ndarray, hz: float, rate: int, axis: int = -1) -> np.ndarray:
    """Zero-phase 4th-order Butterworth high-pass at ``hz``.

    Removes rumble, which a simulated room amplifies: low frequencies of all images add up in phase.
    """
    import scipy.signal

    sos = scipy.signal.butter(4, hz, "highpass", fs=rate, output="sos")
    pad = min(3 * rate // 10, samples.shape[axis] - 1)
    return scipy.signal.sosfiltfilt(sos, samples, axis=axis, padlen=pad).astype(samples.dtype)


def silent(power: np.ndarray, below_db: float) -> np.ndarray:
    """Which powers (F,) are ``below_db`` or more under the 95th percentile."""
    return power <= np.percentile(power, 95) * 10 ** (-below_db / 10)
