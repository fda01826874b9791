"""Compositions for the embedded music: seeded, in eight styles, always with percussion.

Percussion matters: tonal music alone has little broadband energy and is far harder to localize
than the recorded songs that it replaces.
"""

import dataclasses

import numpy as np

from wavloc import seeds

LEAD, BASS, PAD, DRUMS = 0, 1, 2, 9  # MIDI channels; 9 is the drum kit
# General MIDI programs (counted from 0) of lead, bass and pad.
STYLES = {
    "rock": (29, 33, 18),
    "funk": (27, 36, 7),
    "latin": (73, 33, 24),
    "techno": (81, 38, 50),
    "jazz": (66, 32, 0),
    "fiddle": (110, 32, 105),
    "march": (56, 58, 60),
    "ballad": (65, 33, 4),
}
SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
LOOPS = ((0, 4, 5, 3), (0, 3, 4, 3), (0, 5, 3, 4), (0, 6, 3, 0), (1, 4, 0, 5))  # scale degrees
KICK, SNARE, CLOSED_HAT, OPEN_HAT, CRASH = 36, 38, 42, 46, 49
OFTEN, SELDOM = (42, 44, 54, 69, 70, 82), (37, 38, 39, 40, 61, 62, 63, 64)
BAR = 16  # sixteenth notes, the unit of time below


@dataclasses.dataclass(frozen=True, order=True)
class Note:
    """One note: start and length in seconds, MIDI channel, key and velocity (1-127)."""

    start_s: float
    length_s: float
    channel: int
    key: int
    velocity: int


@dataclasses.dataclass(frozen=True)
class Song:
    """A composition in one of `STYLES`; notes: by start time."""

    style: str
    title: str
    tempo: float
    notes: tuple[Note, ...]


def compose(number: int, seconds: float, seed: int) -> Song:
    """Song ``number``, in whole bars of at least ``seconds`` in all; the styles take turns."""
    rng = seeds.rng(seed, "embedded song", number)
    order = seeds.rng(seed, "embedded styles").permutation(sorted(STYLES)).tolist()
    style = order[number % len(order)]
    tempo = float(rng.uniform(84, 132))
    mode = str(rng.choice(sorted(SCALES)))
    key = int(rng.integers(12))
    loop = LOOPS[rng.integers(len(LOOPS))]
    step = 60 / tempo / 4
    bars = int(np.ceil(seconds / (BAR * step)))

    scale = np.add.outer(12 * np.arange(11), SCALES[mode]).ravel() + key - 12
    chords = [tuple(scale[7 * 5 + loop[bar % 4] + np.array([0, 2, 4])]) for bar in range(bars)]
    notes = [
        *_lead(bars, scale, chords, rng),
        *_bass(chords, rng),
        *_pad(chords, rng),
        *_kit(bars, rng),
        *_extra_percussion(bars, rng),
    ]
    timed = tuple(
        sorted(
            Note(start * step, length * step, channel, int(pitch), int(np.clip(velocity, 1, 127)))
            for start, length, channel, pitch, velocity in notes
        )
    )
    name = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
    title = f"{style.capitalize()} {number + 1} in {name[key]} {mode}"
    return Song(style, title, tempo, timed)


# Start and length in sixteenths, channel, key, velocity.
_Event = tuple[float, float, int, int | np.integer, int | np.integer]


def _lead(
    bars: int, scale: np.ndarray, chords: list[tuple], rng: np.random.Generator
) -> list[_Event]:
    """A random walk on the scale, with rests, on a note of the chord at the strong beats."""
    events: list[_Event] = []
    degree, start = 7 * 6 + int(rng.integers(7)), 0
    while start < bars * BAR:
        length = int(rng.choice([1, 2, 3, 4, 8], p=[0.2, 0.4, 0.1, 0.2, 0.1]))
        degree = int(np.clip(degree + rng.integers(-3, 4), 7 * 5, 7 * 7 + 3))
        if start % 8 == 0:
            classes = {pitch % 12 for pitch in chords[start // BAR]}
            in_chord = [k for k in range(7 * 5, 7 * 7 + 4) if scale[k] % 12 in classes]
            degree = min(in_chord, key=lambda k: abs(k - degree))
        if rng.random() >= 0.15:
            events.append((start, 0.9 * length, LEAD, scale[degree], rng.integers(85, 115)))
        start += length
    return events


def _bass(chords: list[tuple], rng: np.random.Generator) -> list[_Event]:
    """Root and fifth, two octaves below the chord, in one random rhythm for the whole song."""
    starts = [0, *(k for k in range(2, BAR, 2) if rng.random() < 0.5)]
    events: list[_Event] = []
    for bar, chord in enumerate(chords):
        for start, end in zip(starts, [*starts[1:], BAR], strict=True):
            pitch = chord[0] if start == 0 or rng.random() < 0.6 else chord[2]
            length = 0.9 * (end - start)
            events.append((bar * BAR + start, length, BASS, pitch - 24, rng.integers(90, 110)))
    return events


def _pad(chords: list[tuple], rng: np.random.Generator) -> list[_Event]:
    """Chords, held for a bar or strummed, the same way for the whole song."""
    hits = [(0, BAR)] if rng.random() < 0.5 else [(0, 4), (4, 3), (7, 3), (10, 6)]
    return [
        (bar * BAR + start + 0.15 * k, 0.9 * length, PAD, pitch, rng.integers(60, 80))
        for bar, chord in enumerate(chords)
        for start, length in hits
        for k, pitch in enumerate(chord)
    ]


def _kit(bars: int, rng: np.random.Generator) -> list[_Event]:
    """Kick on 1 and 3, snare on 2 and 4, hats on the eighths, a fill and a crash every 4 bars."""
    offbeat = [k for k in (3, 6, 7, 10, 11, 14) if rng.random() < 0.25]
    events: list[_Event] = []
    for bar in range(bars):
        first = bar * BAR
        fill = bar % 4 == 3
        events += [(first + k, 1, DRUMS, KICK, 115) for k in (0, 8, *offbeat)]
        events += [(first + k, 1, DRUMS, SNARE, 110) for k in ((4,) if fill else (4, 12))]
        for k in range(0, BAR, 2):
            pitch = OPEN_HAT if k == 14 and rng.random() < 0.3 else CLOSED_HAT
            events.append((first + k, 1, DRUMS, pitch, rng.integers(70, 100)))
        if fill:
            toms = rng.choice([38, 41, 45, 48, 50], 4)
            events += [(first + 12 + k, 1, DRUMS, toms[k], rng.integers(90, 120)) for k in range(4)]
        if bar % 4 == 0:
            events.append((first, 4, DRUMS, CRASH, 100))
    return events


def _extra_percussion(bars: int, rng: np.random.Generator) -> list[_Event]:
    """Hats and shakers on most sixteenths, sticks, claps and congas on some."""
    events: list[_Event] = []
    often, seldom = int(rng.choice(OFTEN)), rng.choice(SELDOM, 2)
    for start in range(bars * BAR):
        if rng.random() < 0.9:
            events.append((start, 1, DRUMS, often, rng.integers(60, 95)))
        if rng.random() < 0.2:
            events.append((start, 1, DRUMS, rng.choice(seldom), rng.integers(60, 100)))
    return events
