"""Speech-like and music-like sound, synthesised quickly for tests and the smoke profile.

The sound has the properties that localization depends on. Speech: voiced harmonics with formants,
noise bursts, pauses, syllables at 4 Hz. Music: plucked tones and percussion with a beat.
"""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal

from wavloc import seeds
from wavloc.audio import SAMPLE_RATE
from wavloc.datasets.sound.corpus import Collected, Item, finished


def collect(kind: str, options: dict[str, Any], cache: Path, seed: int) -> Collected:
    """Utterances of some voices, or songs, and their licence.

    options for speech: voices (6), utterances_per_voice (4); for music: songs (2), seconds (20).
    """
    make = _speech if kind == "speech" else _music
    return make(options, seed), {"licence": "made by wavloc"}


def _speech(options: dict[str, Any], seed: int) -> list[Item]:
    voices = int(options.get("voices", 6))
    held_out = max(1, voices // 4)
    splits = ["test"] * held_out + ["valid"] * held_out + ["train"] * max(1, voices - 2 * held_out)
    items = []
    for voice in range(voices):
        rng = seeds.rng(seed, "synthetic voice", voice)
        pitch = rng.uniform(90, 250)
        formants = rng.uniform([300, 900, 2000, 3200], [800, 1800, 3000, 4500])
        for number in range(int(options.get("utterances_per_voice", 4))):
            rng = seeds.rng(seed, "synthetic utterance", voice, number)
            sound = utterance(rng.uniform(2.2, 3.5), pitch, formants, rng)
            items.append(Item(f"{voice}-{number}", f"voice{voice}", splits[voice], sound))
    return items


def utterance(
    seconds: float, pitch_hz: float, formants_hz: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Speech-like sound (n,): pulses through resonators and noise, about 4 syllables a second."""
    count = int(seconds * SAMPLE_RATE)
    time = np.arange(count) / SAMPLE_RATE
    glide = 0.15 * np.sin(2 * np.pi * rng.uniform(0.3, 1) * time + rng.uniform(0, 6))
    phase = np.cumsum(pitch_hz * (1 + glide)) / SAMPLE_RATE
    pulses = np.diff(np.floor(phase), prepend=0.0)
    excitation = pulses * np.sqrt(SAMPLE_RATE / pitch_hz) + 0.1 * rng.standard_normal(count)
    voiced = np.zeros(count)
    for centre in formants_hz * rng.uniform(0.9, 1.1, 4):
        radius = np.exp(-np.pi * 0.1 * centre / SAMPLE_RATE)
        poles = [1, -2 * radius * np.cos(2 * np.pi * centre / SAMPLE_RATE), radius**2]
        voiced += scipy.signal.lfilter([1 - radius], poles, excitation)
    fricative = np.diff(rng.standard_normal(count + 1))
    beat = 2 * np.pi * rng.uniform(3.5, 4.5) * time + rng.uniform(0, 6)
    vowels, hisses = np.clip(np.sin(beat) + 0.4, 0, 1), np.clip(-np.sin(beat), 0, 1)
    return finished(voiced * vowels + 0.15 * fricative * hisses)


def _music(options: dict[str, Any], seed: int) -> list[Item]:
    seconds = float(options.get("seconds", 20))
    items = []
    for number in range(int(options.get("songs", 2))):
        rng = seeds.rng(seed, "synthetic song", number)
        items.append(Item(f"song{number}", f"song{number}", "train", band(seconds, rng)))
    return items


def band(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Music-like sound (n,): plucked strings, a bass and drums on a common beat."""
    count = int(seconds * SAMPLE_RATE)
    step = int(SAMPLE_RATE * 60 / rng.uniform(84, 132) / 4)  # sixteenth notes
    scale = 220 * 2 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16]) / 12)
    sound = np.zeros(count + SAMPLE_RATE)
    for k, start in enumerate(range(0, count, step)):
        if rng.random() < 0.6:
            _add(sound, start, 0.5 * pluck(rng.choice(scale), rng))
        if k % 8 == 0:
            _add(sound, start, 0.5 * pluck(rng.choice(scale) / 4, rng))
            _add(sound, start, _kick())
        if k % 8 == 4:
            _add(sound, start, 0.6 * rng.standard_normal(2400) * np.exp(-np.arange(2400) / 500))
        if rng.random() < 0.9:
            hat = np.diff(rng.standard_normal(1201)) * np.exp(-np.arange(1200) / 200)
            _add(sound, start, 0.25 * hat)
    return finished(sound[:count])


def pluck(hz: float, rng: np.random.Generator) -> np.ndarray:
    """One second (n,) of a plucked string (Karplus and Strong 1983)."""
    period = max(2, round(SAMPLE_RATE / hz))
    burst = np.zeros(SAMPLE_RATE)
    burst[:period] = rng.uniform(-1, 1, period)
    feedback = np.zeros(period + 2)
    feedback[0], feedback[period], feedback[period + 1] = 1, -0.498, -0.498
    return scipy.signal.lfilter([1.0], feedback, burst)


def _kick() -> np.ndarray:
    time = np.arange(3200) / SAMPLE_RATE
    return np.sin(2 * np.pi * (60 * time + 10 * (1 - np.exp(-30 * time)))) * np.exp(-time * 15)


def _add(sound: np.ndarray, start: int, note: np.ndarray) -> None:
    end = min(start + len(note), len(sound))
    sound[start:end] += note[: end - start]
