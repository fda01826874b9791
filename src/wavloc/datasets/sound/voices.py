"""Many voices from the single voice of hibari-tts.

Every 12.5 ms, the network of hibari-tts gives the pitch and a spectrum in three branches: harmonics
on a pulse train, noise, and a part with free phase. A new voice changes these before the waveform
is synthesised: pitch and its range, the length of the vocal tract (all spectra are stretched along
frequency), tempo and spectral tilt.
"""

import dataclasses
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage

from wavloc import audio, files, seeds
from wavloc.errors import InputError

PACKAGE, VERSION = "hibari-tts", "0.2.1"
MODEL_SHA256 = "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8"
# (low, high) of the fields of `Voice`.
LOW_VOICES = ((0.45, 0.80), (0.76, 0.96), (0.75, 1.3), (-3.0, 2.5), (0.5, 1.5))
HIGH_VOICES = ((0.82, 1.35), (0.90, 1.20), (0.75, 1.3), (-3.0, 2.5), (0.5, 1.5))
CANDIDATES = 60
VOICED_HZ = 40.0  # hibari's threshold: a frame with a lower pitch is unvoiced
TILT_UP_TO_KHZ = 4.0  # flat above: a tilt up to 8 kHz would make a bright voice hiss
AUDIBLE = 0.005  # -43 dB of the peak; the pauses that the network adds are softer
_BIN_KHZ = 0.02


@dataclasses.dataclass(frozen=True)
class Voice:
    """Changes of the native voice: factors, and a spectral tilt."""

    pitch: float
    tract: float
    tempo: float
    tilt_db_per_khz: float
    pitch_range: float


def grid(count: int, seed: int) -> list[Voice]:
    """``count`` voices that differ as much as possible, low and high ones in turn.

    Random candidates of each register are chosen one by one, by `farthest_points`.
    """
    registers = []
    for name, limits in (("low", LOW_VOICES), ("high", HIGH_VOICES)):
        rng = seeds.rng(seed, "embedded voices", name)
        unit = rng.random((max(CANDIDATES // 2, count), len(limits)))
        low, high = np.array(limits).T
        values = low + unit[farthest_points(unit, (count + 1) // 2)] * (high - low)
        registers.append([Voice(*(round(float(v), 4) for v in row)) for row in values])
    return [voice for pair in zip(*registers, strict=True) for voice in pair][:count]


def farthest_points(points: np.ndarray, count: int) -> list[int]:
    """Indices into points (n, d): the farthest from the mean, then the farthest from the chosen."""
    distance = np.linalg.norm(points - points.mean(axis=0), axis=1)
    chosen = [int(distance.argmax())]
    distance = np.full(len(points), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return chosen


def check_model() -> Path:
    """Path of the acoustic model in the installed package; `InputError` for another version."""
    cure = f"install the pinned package: pip install {PACKAGE}=={VERSION}"
    try:
        version = importlib.metadata.version(PACKAGE)
        spec = importlib.util.find_spec("hibari")
    except importlib.metadata.PackageNotFoundError:
        version, spec = None, None
    if spec is None or spec.origin is None:
        raise InputError(f"speech=embedded needs the package {PACKAGE}; {cure}")
    path = Path(spec.origin).parent / "assets" / "hibari.onnx"
    if version != VERSION:
        raise InputError(f"{PACKAGE} is {version}, expected {VERSION}; {cure}")
    if not path.is_file():
        raise InputError(f"{path}: no such file; {cure}")
    digest = files.sha256(path)
    if digest != MODEL_SHA256:
        raise InputError(f"{path}: sha256 {digest}, expected {MODEL_SHA256}; {cure}")
    return path


def exact_model() -> bytes:
    """The acoustic model as ONNX, its 8-bit weights unsigned instead of signed: the same products.

    onnxruntime's products of unsigned by signed numbers overflow on x86 processors without VNNI
    (its documentation of quantization); one utterance in six was longer or shorter there.
    """
    import onnx

    model = onnx.load(check_model())
    stored = {weight.name: weight for weight in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "MatMulInteger"]
    for name in {name for node in nodes for name in (node.input[1], node.input[3])}:
        signed = onnx.numpy_helper.to_array(stored[name])  # int8: weights, or their zero point
        unsigned = (signed.astype(np.int16) + 128).astype(np.uint8)
        stored[name].CopyFrom(onnx.numpy_helper.from_array(unsigned, name))
    return model.SerializeToString()


class Speaker:
    """Synthesiser of any `Voice`; loading the model takes 0.5 s, and nothing is downloaded."""

    def __init__(self) -> None:
        import hibari  # only needed for embedded speech

        # With an explicit model, hibari neither looks for one nor downloads it.
        self._tts: Any = hibari.Hibari(voice="heart", model=exact_model(), threads=1)

    def say(self, text: str, voice: Voice, rng: np.random.Generator) -> np.ndarray:
        """One sentence (n,) float32 at 16 kHz, peak 0.7, without pauses at both ends."""
        from hibari import dsp

        (phonemes,) = self._tts.phonemize(text)
        feed = {
            "ids": np.array([self._tts.ids(phonemes)], np.int64),
            "speed": np.array([voice.tempo], np.float32),
        }
        *branches, _, pitch = (part[0] for part in self._tts.sess.run(None, feed))
        spectrum = change(dsp, voice, branches, pitch, rng)
        sound = audio.resample(dsp.ola(spectrum), dsp.SR, audio.SAMPLE_RATE)
        sound = 0.7 * sound / np.abs(sound).max()
        audible = np.flatnonzero(np.abs(sound) > AUDIBLE)
        return sound[audible[0] : audible[-1] + 1].astype(np.float32)


def change(
    dsp: Any,
    voice: Voice,
    branches: Sequence[np.ndarray],
    pitch_hz: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Complex spectrum (601, frames) of a voice.

    branches: log magnitude and phase argument of the harmonics, log magnitude of the noise, log
    magnitude of the free-phase part, each (601, frames). pitch_hz: (frames,). The phase of the
    free-phase part follows the old pitch and is dropped; its power, smoothed over the harmonics,
    is added to the pulses (where voiced, below about 4 kHz) and to the noise (elsewhere).
    """
    bins = np.arange(len(branches[0]))
    harmonic, free, noise = (
        np.exp(np.minimum(stretch(branches[k], voice.tract), 7.0)) for k in (0, 3, 2)
    )
    phase = np.pi * np.tanh(stretch(branches[1], voice.tract, nearest=True))
    pitch = change_pitch(pitch_hz, voice)

    pulses = dsp.stft(dsp.pulses(pitch), len(pitch))
    free_power = _smooth(np.square(free))
    voiced = (1 / (1 + np.exp((bins - 200) / 25)))[:, None] * (pitch > VOICED_HZ)
    pulse_power = np.maximum(_smooth(np.abs(pulses) ** 2), 1e-3)
    to_pulses = np.sqrt(np.square(harmonic) + voiced * free_power / pulse_power)
    to_noise = np.sqrt(np.square(noise) + (1 - voiced) * free_power / 2)
    white = rng.standard_normal((2, *noise.shape), dtype=np.float32)

    tilt = 10 ** (voice.tilt_db_per_khz * np.minimum(bins * _BIN_KHZ, TILT_UP_TO_KHZ) / 20)
    spectrum = pulses * to_pulses * np.exp(1j * phase) + to_noise * (white[0] + 1j * white[1])
    return (tilt[:, None] * spectrum).astype(np.complex64)


def change_pitch(pitch_hz: np.ndarray, voice: Voice) -> np.ndarray:
    """Scale the pitch (frames,) of voiced frames and its deviations from the mean logarithm."""
    voiced = pitch_hz > VOICED_HZ
    if not voiced.any():
        return pitch_hz
    log = np.log(np.where(voiced, pitch_hz, 1.0))
    mean = log[voiced].mean()
    changed = voice.pitch * np.exp(mean + voice.pitch_range * (log - mean))
    return np.where(voiced, np.clip(changed, VOICED_HZ + 5, 500.0), 0.0).astype(np.float32)


def stretch(spectrum: np.ndarray, factor: float, nearest: bool = False) -> np.ndarray:
    """Stretch (bins, frames) along frequency, bin b to b * factor; the last bin is repeated.

    Interpolates linearly, or takes the ``nearest`` bin.
    """
    last = len(spectrum) - 1
    source = np.minimum(np.arange(len(spectrum)) / factor, last)
    if nearest:
        return spectrum[np.rint(source).astype(int)]
    low = np.minimum(source.astype(int), last - 1)
    weight = (source - low).astype(np.float32)[:, None]
    return (1 - weight) * spectrum[low] + weight * spectrum[low + 1]


def _smooth(power: np.ndarray) -> np.ndarray:
    """Mean over 11 bins (220 Hz) of (bins, frames)."""
    return scipy.ndimage.uniform_filter1d(power, 11, axis=0, mode="nearest")
