"""Reading, resampling and filtering audio; only this module reads audio files."""

import contextlib
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile

from wavloc import containers
from wavloc.checks import number
from wavloc.errors import InputError

SAMPLE_RATE = 16_000  # Hz, both papers
RATES_HZ = (1000, 1_000_000)  # of any recording
_FLAC_SAMPLES = 2**36 - 1
_BLOCK = 2**18  # samples decoded at once


def read_audio(path: str | Path) -> tuple[np.ndarray, int]:
    """Read a whole audio file: samples (n, channels) float32 and the rate in Hz.

    Raises `InputError` if the file is missing, unreadable or empty, if it holds less or more sound
    than its header states (see `containers`), or has samples that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such audio file")
    sound = None
    try:
        sound = containers.sound_of(path)
        samples, expected, rate = _decode(path, sound)
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror or error})") from None
    except (soundfile.LibsndfileError, RuntimeError) as error:
        if sound:
            containers.require_whole(path, sound, 0)
        raise InputError(f"{path}: not readable as audio ({error})") from None
    if sound:
        containers.require_whole(path, sound, len(samples))
    if len(samples) == 0 or len(samples) != expected:
        raise InputError(f"{path}: truncated, {len(samples)} of {expected} samples could be read")
    number(rate, f"{path}: sample rate", *RATES_HZ, "Hz")
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: contains NaN or infinite samples")
    return samples, rate


def _decode(path: Path, sound: containers.Sound | None) -> tuple[np.ndarray, int, int]:
    """Samples (n, channels), the number that the header states, and the rate in Hz."""
    with path.open("rb") as begin:
        if begin.read(4) == b"fLaC":
            return _decode_flac(path)
    with opened(path, sound) as handle:
        return handle.read(dtype="float32", always_2d=True), handle.frames, handle.samplerate


@contextlib.contextmanager
def opened(path: Path, sound: containers.Sound | None) -> Iterator[soundfile.SoundFile]:
    """A decoder of a file, to its end where its header has a placeholder for the size."""
    with (
        containers.with_size(path, sound)
        if sound and sound.stated is None
        else contextlib.nullcontext(path) as file,
        soundfile.SoundFile(file) as handle,
    ):
        yield handle


class _Stream(soundfile.SoundFile):
    """A file that is read once from begin to end, so that its length need not be known."""

    def seekable(self) -> bool:
        return False


def _decode_flac(path: Path) -> tuple[np.ndarray, int, int]:
    """As `_decode`: the number of samples in the header is hidden from the decoder."""
    content = bytearray(path.read_bytes())
    stated = int.from_bytes(content[21:26], "big") & _FLAC_SAMPLES  # the last 36 bits
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    blocks = []
    with _Stream(io.BytesIO(content)) as handle:
        rate = handle.samplerate
        while len(block := handle.read(_BLOCK, dtype="float32", always_2d=True)):
            blocks.append(block)
    samples = np.concatenate(blocks) if blocks else np.empty((0, 1), np.float32)
    return samples, stated or len(samples), rate


def resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample with a linear-phase polyphase filter, of equal delay for all channels."""
    if from_rate == to_rate:
        return samples
    import scipy.signal  # slow to import

    ratio = Fraction(to_rate, from_rate)
    sound = scipy.signal.resample_poly(samples, ratio.numerator, ratio.denominator, axis=-1)
    return sound.astype(samples.dtype, copy=False)


def highpass(samples: np.ndarray, hz: float, rate: int) -> np.ndarray:
    """Zero-phase 4th-order Butterworth high-pass at ``hz``.

    Removes rumble, which a simulated room amplifies: low frequencies of all images add up in phase.
    """
    import scipy.signal

    sos = scipy.signal.butter(4, hz, "highpass", fs=rate, output="sos")
    pad = min(3 * rate // 10, samples.shape[-1] - 1)
    return scipy.signal.sosfiltfilt(sos, samples, padlen=pad).astype(samples.dtype)


def silent(power: np.ndarray, below_db: float) -> np.ndarray:
    """Which powers (F,) are ``below_db`` or more under the 95th percentile."""
    return power <= np.percentile(power, 95) * 10 ** (-below_db / 10)
