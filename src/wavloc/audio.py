"""Reading, resampling and filtering audio; only this module reads audio files."""

import contextlib
from collections.abc import Iterable, Iterator
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
    with _reading(path) as (sound, handle, stated):
        blocks = list(_decoded(handle))
        rate = handle.samplerate
        samples = np.concatenate(blocks) if blocks else np.empty((0, 1), np.float32)
        _require_whole(path, sound, len(samples), stated, rate)
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: contains NaN or infinite samples")
    return samples, rate


def stream_audio(path: str | Path, size: int = 2**18) -> Iterator[np.ndarray]:
    """As `read_audio`, in blocks (n, channels) of at most ``size`` values."""
    path, count = Path(path), 0
    with _reading(path) as (sound, handle, stated):
        for block in _decoded(handle, max(1, size // handle.channels)):
            if not np.isfinite(block).all():
                raise InputError(f"{path}: contains NaN or infinite samples")
            count += len(block)
            yield block
        _require_whole(path, sound, count, stated, handle.samplerate)


def read_part(path: str | Path, first: int, count: int) -> np.ndarray:
    """``count`` samples from number ``first`` on: (count, channels) float32, checked as far as they
    go. Nothing else is decoded where the file allows it.
    """
    path = Path(path)
    with _reading(path, seeking=True) as (_, handle, _):
        if handle.seekable():
            handle.seek(first)
        else:
            for start in range(0, first, _BLOCK):
                handle.read(min(_BLOCK, first - start), dtype="float32")
        samples: np.ndarray = handle.read(count, dtype="float32", always_2d=True)
    if len(samples) < count:
        raise InputError(f"{path}: truncated, {first + len(samples)} samples could be read")
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: contains NaN or infinite samples")
    return samples


def describe_audio(path: str | Path) -> tuple[int, int, int]:
    """Samples, channels and rate in Hz of a file; of what it states, which is checked as far as
    that is possible without reading it all.
    """
    path = Path(path)
    with _reading(path) as (sound, handle, stated):
        samples = stated or sum(map(len, _decoded(handle)))
        _require_whole(path, sound, samples, stated, handle.samplerate)
        return samples, handle.channels, handle.samplerate


@contextlib.contextmanager
def _reading(
    path: Path, seeking: bool = False
) -> Iterator[tuple[containers.Sound | None, soundfile.SoundFile, int | None]]:
    """Where the sound of a file is, a decoder, and how many samples the header states.

    seeking: the decoder can seek, unless the length of a FLAC file is not known.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such audio file")
    sound = None
    try:
        sound = containers.sound_of(path)
        with path.open("rb") as begin:
            flac = begin.read(4) == b"fLaC"
        if flac and seeking:
            flac = _stated_flac(path) is None
        with _opened_flac(path) if flac else opened(path, sound) as handle:
            yield sound, handle, _stated_flac(path) if flac else handle.frames
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror or error})") from None
    except (soundfile.LibsndfileError, RuntimeError) as error:
        if sound:
            containers.require_whole(path, sound, 0)
        raise InputError(f"{path}: not readable as audio ({error})") from None


def _require_whole(
    path: Path, sound: containers.Sound | None, count: int, stated: int | None, rate: int
) -> None:
    """Raise `InputError` unless ``count`` samples are all that a file states."""
    if sound:
        containers.require_whole(path, sound, count)
    if count == 0 or (stated is not None and count != stated):
        raise InputError(f"{path}: truncated, {count} of {stated or count} samples could be read")
    number(rate, f"{path}: sample rate", *RATES_HZ, "Hz")


def _decoded(handle: soundfile.SoundFile, size: int = _BLOCK) -> Iterator[np.ndarray]:
    while len(block := handle.read(size, dtype="float32", always_2d=True)):
        yield block


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


@contextlib.contextmanager
def _opened_flac(path: Path) -> Iterator[soundfile.SoundFile]:
    """As `opened`: the number of samples in the header is hidden from the decoder."""
    with path.open("rb") as file:
        head = bytearray(file.read(26))
        head[21:26] = bytes([head[21] & 0xF0, 0, 0, 0, 0]) if len(head) == 26 else b""
        with _Stream(containers.Headed(file, bytes(head), len(head))) as handle:
            yield handle


def _stated_flac(path: Path) -> int | None:
    """The number of samples in the header: its last 36 bits; None where it is not known."""
    with path.open("rb") as file:
        return int.from_bytes(file.read(26)[21:], "big") & _FLAC_SAMPLES or None


def resample_blocks(
    blocks: Iterable[np.ndarray], from_rate: int, to_rate: int
) -> Iterator[np.ndarray]:
    """As `resample`, of sound that comes in blocks (channels, n); equal to it in their sum."""
    if from_rate == to_rate:
        yield from blocks
        return
    import scipy.signal  # slow to import

    ratio = Fraction(to_rate, from_rate)
    up, down = ratio.numerator, ratio.denominator
    half = 10 * max(up, down)  # of the filter of `scipy.signal.resample_poly`
    context = -(-half // (up * down)) * down + down  # input samples on each side
    held, before = None, 0  # sound that is still needed, how much of it came out already

    def made(sound: np.ndarray, stop: int) -> np.ndarray:
        part = scipy.signal.resample_poly(sound, up, down, axis=-1)
        return part[:, before * up // down : stop].astype(sound.dtype, copy=False)

    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=1)
        done = (held.shape[1] - context) // down * down  # input samples that can come out now
        if done > before:
            yield made(held, done * up // down)
            drop = max(0, done - context)
            held, before = held[:, drop:], done - drop
    if held is not None and held.shape[1] > before:
        yield made(held, -(-held.shape[1] * up // down))


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
