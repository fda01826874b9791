"""Random rooms, arrays, sounds, noise and broken microphones: one frame at a time, from one stream.

Training data for a localizer that must work in any room with any array: what is drawn is wide
rather than realistic. Early reflections are image sources with walls of different absorption; what
comes later is an exponentially decaying diffuse tail.
"""

import dataclasses
import math

import numpy as np
import scipy.signal
import torch

from wavloc.audio import SAMPLE_RATE
from wavloc.frames import FRAME_SAMPLES
from wavloc.geometry import SPEED_OF_SOUND
from wavloc.simulation import image_source, rooms

RATE, SAMPLES = SAMPLE_RATE, FRAME_SAMPLES
MOST_MICS = 16
WALL_M, MIC_M = 0.25, 0.25  # least distance of a source from walls and microphones
MOST_ORDER = 22  # of image sources; later reflections are the diffuse tail
TAIL_FADE_S = 0.01
SOURCES = ("speech", "music", "percussive", "broadband")
SHARES = (0.62, 0.18, 0.1, 0.1)
NO_SOURCE = 0.06  # share of frames without a source
WRONG_GEOMETRY = 0.015  # share of frames whose stated places are those of another array
LOUD = (0.35, 0.1)  # least level of a frame, as a share of the item's
FAULTY = 0.35  # share of frames with broken microphones
PREROLL = 16_000  # dry samples before the frame, at most


Corpora = dict[str, list[list[np.ndarray]]]
"""Kind of sound -> corpora, each a list of dry items (n,) at 16 kHz; all corpora alike often."""


@dataclasses.dataclass
class Example:
    """One frame: audio (M, N), stated microphones (M, 3) and source (3,) in metres (NaN: none),
    room (3,), which microphones are broken (M,), and what was drawn (for tables).
    """

    audio: np.ndarray
    mics: np.ndarray
    source: np.ndarray
    room: np.ndarray
    faulty: np.ndarray
    note: dict[str, object]


def draw_room(rng: np.random.Generator) -> np.ndarray:
    """Sides (3,) in metres: 3 x 3 x 2 to 12 x 10 x 5, small and low rooms more often."""
    height = rng.uniform(2, 3.2) if rng.random() < 0.65 else rng.uniform(2.5, 5)
    most = (8, 8) if rng.random() < 0.7 else (12, 10)
    return np.array([rng.uniform(3, most[0]), rng.uniform(3, most[1]), height])


def draw_count(rng: np.random.Generator) -> int:
    """Number of microphones, 4 to 16."""
    return int(rng.choice(np.arange(4, MOST_MICS + 1), p=_COUNT_SHARES))


def draw_array(rng: np.random.Generator, room: np.ndarray, count: int) -> tuple[str, np.ndarray]:
    """Kind and places (M, 3) of ``count`` microphones."""
    kind = str(rng.choice(list(ARRAYS)))
    mics = ARRAYS[kind](rng, room, count)
    return kind, np.clip(mics, 0.0, room)


_COUNT_SHARES = np.array([2, 4, 6, 4, 4, 4, 4, 5, 4, 2, 2, 1, 1], float)
_COUNT_SHARES /= _COUNT_SHARES.sum()


def _walls(rng: np.random.Generator, room: np.ndarray, count: int) -> np.ndarray:
    """On faces of the room, floor and ceiling included; random faces in turn."""
    mics = rng.uniform(0, room, (count, 3))
    faces = np.concatenate([rng.permutation(6) for _ in range(3)])[:count]
    mics[np.arange(count), faces % 3] = np.where(faces < 3, 0, room[faces % 3])
    return mics


def _ceiling(rng: np.random.Generator, room: np.ndarray, count: int) -> np.ndarray:
    mics = rng.uniform(0.05 * room, 0.95 * room, (count, 3))
    mics[:, 2] = room[2] - rng.uniform(0, 0.4)
    return mics


def _table(rng: np.random.Generator, room: np.ndarray, count: int) -> np.ndarray:
    size = rng.uniform([0.8, 0.6], [3.0, 1.6])
    size = np.minimum(size, 0.6 * room[:2])
    corner = rng.uniform(0.1 * room[:2], 0.9 * room[:2] - size)
    mics = np.empty((count, 3))
    mics[:, :2] = corner + rng.uniform(0, size, (count, 2))
    mics[:, 2] = rng.uniform(0.7, 0.9) + rng.uniform(0, 0.1, count)
    return mics


def _tripods(rng: np.random.Generator, room: np.ndarray, count: int) -> np.ndarray:
    mics = rng.uniform(0.05 * room, 0.95 * room, (count, 3))
    mics[:, 2] = rng.uniform(0.3, min(2.2, 0.95 * room[2]), count)
    return mics


def _anywhere(rng: np.random.Generator, room: np.ndarray, count: int) -> np.ndarray:
    return rng.uniform(0.02 * room, 0.98 * room, (count, 3))


def _clusters(rng: np.random.Generator, room: np.ndarray, count: int) -> np.ndarray:
    """Two to four compact groups, as of devices with several microphones."""
    groups = int(rng.integers(2, 5))
    centres = rng.uniform(0.08 * room, 0.92 * room, (groups, 3))
    member = np.arange(count) % groups
    return centres[member] + rng.normal(0, rng.uniform(0.04, 0.3), (count, 3))


ARRAYS = {
    "walls": _walls,
    "walls and ceiling": _walls,
    "ceiling": _ceiling,
    "table": _table,
    "tripods": _tripods,
    "anywhere": _anywhere,
    "clusters": _clusters,
}


def draw_source(rng: np.random.Generator, room: np.ndarray, mics: np.ndarray) -> np.ndarray:
    """A place (3,) away from walls and microphones."""
    for _ in range(50):
        place = rng.uniform(WALL_M, room - WALL_M)
        if np.linalg.norm(mics - place, axis=1).min() > MIC_M:
            break
    return place


def walls_of(rng: np.random.Generator, room: np.ndarray, t60_s: float) -> tuple[np.ndarray, int]:
    """Absorption (3, 2) of the walls, whose mean gives the nominal T60, and the image order."""
    absorption, order = rooms.sabine(room, np.array([t60_s]), SPEED_OF_SOUND)
    if order[0] == 0:
        return np.ones((3, 2)), 0
    walls = absorption[0] * np.exp(rng.normal(0, rng.uniform(0, 0.7), (3, 2)))
    area = np.array([room[1] * room[2], room[0] * room[2], room[0] * room[1]])[:, None]
    walls *= absorption[0] * 2 * area.sum() / (walls * area).sum()
    return np.clip(walls, 0.01, 0.98), int(min(order[0], MOST_ORDER))


def responses(
    room: np.ndarray,
    mics: np.ndarray,
    source: np.ndarray,
    walls: np.ndarray,
    order: int,
    t60_s: float,
    direct_gain: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Impulse responses (M, T) with the engine's delay; direct_gain (M,) of the direct paths."""
    far = np.linalg.norm(mics - source, axis=-1).max() * RATE / SPEED_OF_SOUND
    length = int(far + 1.0 * t60_s * RATE) + 2 * rooms.TAPS
    tensors = torch.from_numpy(mics[None]), torch.from_numpy(source[None])
    constants = RATE, SPEED_OF_SOUND
    wet = image_source.impulse_responses(
        room, *tensors, torch.from_numpy(walls[None]), torch.tensor([order]), *constants, length
    )[0].numpy()
    if (direct_gain < 1).any():
        hard = torch.ones(1)
        direct = image_source.impulse_responses(
            room, *tensors, hard, torch.tensor([0]), *constants, length
        )[0].numpy()
        pole = math.exp(-2 * math.pi * 1000 / RATE)
        dull = scipy.signal.lfilter([1 - pole], [1, -pole], direct, axis=-1)
        share = np.clip(2 * direct_gain, 0, 1)[:, None]  # what is left of the highs
        wet = wet + direct_gain[:, None] * (share * direct + (1 - share) * dull) - direct
    if order >= MOST_ORDER:
        wet = _with_tail(wet.astype(np.float32), room, order, t60_s, rng)
    return wet.astype(np.float32)


def _with_tail(
    wet: np.ndarray, room: np.ndarray, order: int, t60_s: float, rng: np.random.Generator
) -> np.ndarray:
    """Replace what image sources of a limited order no longer fill by decaying noise."""
    begin = int(order * room.min() * RATE / SPEED_OF_SOUND)
    if begin + 400 >= wet.shape[1]:
        return wet
    level = np.sqrt(np.square(wet[:, begin - 400 : begin]).mean(axis=1, keepdims=True))
    time = np.arange(wet.shape[1] - begin) / RATE
    decay = np.exp(-6.9 * time / t60_s).astype(np.float32)
    tail = level * decay * rng.standard_normal((len(wet), len(time)), dtype=np.float32)
    fade = np.minimum(time / TAIL_FADE_S, 1).astype(np.float32)
    wet[:, begin:] = wet[:, begin:] * (1 - fade) + tail * np.sqrt(fade)
    return wet


def draw_dry(rng: np.random.Generator, kind: str, corpora: Corpora, count: int) -> np.ndarray:
    """Dry sound (count,) of a kind, whose last `SAMPLES` are loud enough to be located."""
    if kind in ("percussive", "broadband") or not corpora.get(kind):
        sound = SYNTHETIC.get(kind, _broadband)(rng, count)
    else:
        items = corpora[kind][int(rng.integers(len(corpora[kind])))]
        item = items[int(rng.integers(len(items)))]
        speed = rng.uniform(0.85, 1.2) if rng.random() < 0.6 else 1.0
        need = int(count * speed) + 2
        least = rng.choice(LOUD) * np.sqrt(np.square(item).mean())
        for _ in range(20):
            end = int(rng.integers(min(need, len(item)) // 2, len(item) + 1))
            piece = item[max(0, end - need) : end]
            if np.sqrt(np.square(piece[-SAMPLES:]).mean()) > least:
                break
        piece = np.pad(piece, (need - len(piece), 0))
        at = np.arange(count) * speed
        sound = np.interp(at, np.arange(need), piece).astype(np.float32)
    if rng.random() < 0.5:  # another colour of voice, loudspeaker or instrument
        pole = rng.uniform(-0.5, 0.7)
        sound = scipy.signal.lfilter([1.0], [1, -pole], sound).astype(np.float32)
    return sound


def _percussive(rng: np.random.Generator, count: int) -> np.ndarray:
    """Claps, knocks and clicks: short bursts of band-passed noise with sharp onsets."""
    sound = np.zeros(count, np.float32)
    for _ in range(int(rng.integers(1, 6))):
        begin = max(0, count - 1 - int(rng.integers(0, 3 * SAMPLES // 2)))
        decay = rng.uniform(0.0005, 0.03) * RATE
        size = min(count - begin, int(8 * decay) + 16)
        burst = rng.standard_normal(size) * np.exp(-np.arange(size) / decay)
        sound[begin : begin + size] += rng.uniform(0.3, 1) * _band(rng, burst).astype(np.float32)
    return sound


def _broadband(rng: np.random.Generator, count: int) -> np.ndarray:
    """Noise with slow modulation, or a chirp."""
    time = np.arange(count) / RATE
    if rng.random() < 0.3:
        low, high = np.sort(rng.uniform(200, 7000, 2))
        sweep = rng.uniform(0.05, 0.5)
        phase = 2 * np.pi * (low * time + (high - low) * (time % sweep) ** 2 / (2 * sweep))
        return np.sin(phase).astype(np.float32)
    sound = _band(rng, rng.standard_normal(count))
    depth, rate = rng.uniform(0, 1), rng.uniform(1, 20)
    return (sound * (1 + depth * np.sin(2 * np.pi * rate * time))).astype(np.float32)


def _band(rng: np.random.Generator, sound: np.ndarray) -> np.ndarray:
    low, high = rng.uniform(50, 1500), rng.uniform(2000, 7800)
    sections = scipy.signal.butter(2, [low, high], "bandpass", fs=RATE, output="sos")
    return scipy.signal.sosfilt(sections, sound)


SYNTHETIC = {"percussive": _percussive, "broadband": _broadband}


def draw_noise(rng: np.random.Generator, mics: int) -> np.ndarray:
    """Noise (M, N) of unit power: white, coloured alike or by microphone, or diffuse (partly
    common below a few hundred hertz).
    """
    noise = rng.standard_normal((mics, SAMPLES), dtype=np.float32)
    kind = rng.random()
    if kind < 0.45:
        return noise
    spectrum = np.fft.rfft(noise)
    ramp = np.maximum(np.arange(spectrum.shape[1]), 1) / spectrum.shape[1]
    slope = rng.uniform(-1.2, 0.4, (mics, 1)) if kind < 0.6 else rng.uniform(-1.2, 0.4)
    if kind > 0.85:
        shared = np.fft.rfft(rng.standard_normal(SAMPLES))
        share = 1 / (1 + (np.arange(spectrum.shape[1]) * RATE / SAMPLES / 150) ** 2)
        spectrum = np.sqrt(1 - share) * spectrum + np.sqrt(share) * shared
    noise = np.fft.irfft(spectrum * ramp**slope, SAMPLES).astype(np.float32)
    return noise / np.sqrt(np.square(noise).mean(axis=1, keepdims=True))


def draw_example(rng: np.random.Generator, corpora: Corpora, count: int) -> Example:
    """One frame of ``count`` microphones."""
    room = draw_room(rng)
    array, mics = draw_array(rng, room, count)
    source = draw_source(rng, room, mics)
    t60_s = 0.0 if rng.random() < 0.08 else rng.uniform(0.08, 0.8)
    snr_db = math.inf if rng.random() < 0.08 else rng.uniform(-5, 40)
    kind = str(rng.choice(SOURCES, p=SHARES))
    if rng.random() < NO_SOURCE:
        kind, audio = no_source(rng, count)
        source = np.full(3, np.nan)
    else:
        walls, order = walls_of(rng, room, t60_s)
        gain = _direct_gain(rng, mics, source)
        response = responses(room, mics, source, walls, order, t60_s, gain, rng)
        history = min(response.shape[1] - 1, PREROLL)
        response = response[:, : history + 1]
        dry = draw_dry(rng, kind, corpora, history + SAMPLES)
        wet = image_source.convolve(torch.from_numpy(response[None]), torch.from_numpy(dry[None]))
        audio = wet[0].numpy()
        audio = _recorded(rng, audio, snr_db)
    stated = mics + rng.normal(0, rng.uniform(0, 0.006), mics.shape)
    faulty = np.zeros(count, bool)
    if rng.random() < WRONG_GEOMETRY:
        array, stated = draw_array(rng, room, count)
        source = np.full(3, np.nan)
    elif rng.random() < FAULTY:
        audio, stated, faulty = _broken(rng, audio, stated)
    audio = audio / max(float(np.abs(audio).max()), 1e-12)
    note = {"array": array, "kind": kind, "t60_nominal_s": t60_s, "snr_db": snr_db}
    return Example(audio.astype(np.float32), stated, source, room, faulty, note)


def _direct_gain(rng: np.random.Generator, mics: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Gain (M,) of direct paths: a talker's directivity, and obstacles."""
    gain = np.ones(len(mics))
    if rng.random() < 0.45:
        facing = rng.normal(size=3) * [1, 1, 0.3]
        facing /= np.linalg.norm(facing)
        towards = (mics - source) / np.linalg.norm(mics - source, axis=1, keepdims=True)
        depth = rng.uniform(0.2, 0.8)
        gain *= 1 - depth * (1 - towards @ facing) / 2
    if rng.random() < 0.25:
        hidden = rng.random(len(mics)) < rng.uniform(0.1, 0.4)
        gain[hidden] *= rng.uniform(0.05, 0.5, hidden.sum())
    return gain


def _recorded(rng: np.random.Generator, audio: np.ndarray, snr_db: float) -> np.ndarray:
    """Sound (M, N) with noise, gains of the microphones and clocks a fraction of a sample off."""
    count = len(audio)
    power = np.square(audio).mean(axis=1, keepdims=True)
    if rng.random() < 0.6:  # one level of noise for all, else one SNR for all
        power = np.full_like(power, power.mean()) * 10 ** rng.normal(0, 0.1, (count, 1))
    if math.isfinite(snr_db):
        audio = audio + np.sqrt(power) * 10 ** (-snr_db / 20) * draw_noise(rng, count)
    if rng.random() < 0.3:
        offset = rng.normal(0, rng.uniform(0, 0.4), (count, 1))
        turn = np.exp(-2j * np.pi * np.fft.rfftfreq(SAMPLES) * offset)
        audio = np.fft.irfft(np.fft.rfft(audio) * turn, SAMPLES)
    if rng.random() < 0.6:
        audio = audio * 10 ** (np.clip(rng.normal(0, 2.5, (count, 1)), -6, 6) / 20)
    return audio


def no_source(rng: np.random.Generator, count: int) -> tuple[str, np.ndarray]:
    """Frames without a source: independent noise, crosstalk (one signal in all channels), hum."""
    kind = str(rng.choice(["noise", "crosstalk", "hum"], p=[0.6, 0.25, 0.15]))
    audio = draw_noise(rng, count)
    if kind == "crosstalk":
        common = _broadband(rng, SAMPLES)
        audio = audio * rng.uniform(0.02, 0.6) + common * rng.uniform(0.5, 1, (count, 1))
    elif kind == "hum":
        time = np.arange(SAMPLES) / RATE
        base, phase = rng.choice([50.0, 60.0]), rng.uniform(0, 2 * np.pi, 6)
        strength = rng.uniform(0, 1, 6) / np.arange(1, 7)
        waves = [s * np.sin(2 * np.pi * base * k * time + p)
                 for k, (s, p) in enumerate(zip(strength, phase, strict=True), 1)]  # fmt: skip
        audio = audio * rng.uniform(0.02, 1) + np.sum(waves, axis=0)
    return kind, audio


def _broken(
    rng: np.random.Generator, audio: np.ndarray, mics: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Break up to a third of the microphones: audio (M, N), stated places (M, 3), broken (M,)."""
    count = len(mics)
    number = int(rng.integers(1, max(2, count // 3 + 1)))
    chosen = rng.permutation(count)[:number]
    audio, mics, faulty = audio.copy(), mics.copy(), np.zeros(count, bool)
    level = np.sqrt(np.square(audio).mean())
    same = str(rng.choice(FAULTS)) if rng.random() < 0.6 else ""
    for mic in chosen:
        kind = same or str(rng.choice(FAULTS))
        if kind == "moved":
            step = rng.normal(size=3)
            mics[mic] += rng.uniform(0.15, 1.0) * step / np.linalg.norm(step)
        elif kind == "dead":
            audio[mic] = rng.uniform(0, 0.01) * level * rng.standard_normal(SAMPLES)
        elif kind == "noisy":
            ratio = rng.uniform(1, 12) * np.sqrt(np.square(audio[mic]).mean())
            audio[mic] = audio[mic] + ratio * rng.standard_normal(SAMPLES)
        elif kind == "clipped":
            most = np.abs(audio[mic]).max() * 10 ** (-rng.uniform(10, 40) / 20)
            audio[mic] = np.clip(audio[mic], -most, most)
        elif kind == "late":
            late = int(rng.uniform(0.4, 6) * RATE / 1000) * (1 if rng.random() < 0.5 else -1)
            moved = np.roll(audio[mic], late)
            moved[:late] = 0 if late > 0 else moved[:late]
            if late < 0:
                moved[late:] = 0
            audio[mic] = moved
        else:
            other = int(rng.integers(count))
            mics[[mic, other]] = mics[[other, mic]]
            faulty[other] |= other != mic
            if other == mic:
                continue
        faulty[mic] = True
    return audio, mics, faulty


FAULTS = ("moved", "dead", "noisy", "clipped", "late", "swapped")
