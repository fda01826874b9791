"""Music: our compositions, played by a SoundFont synthesiser from pip packages."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

from wavloc import audio
from wavloc.datasets.sound import composer, packages
from wavloc.datasets.sound.corpus import RUMBLE_HZ, Item
from wavloc.errors import InputError

RENDER_RATE = 48_000  # Hz
GAIN_DB = -8.0
LICENCE = (
    "compositions made by wavloc, played by tinysoundfont 0.3.7 (MIT) with the SoundFont "
    "TimGM6mb.sf2 (GPL-2, Tim Brechbill) from pretty_midi 0.2.11.post0"
)


def collect(
    kind: str, options: dict[str, Any], cache: Path, seed: int
) -> tuple[list[Item], dict[str, Any]]:
    """Songs, and metadata with packages, checksums and licence.

    options: songs (2), seconds (60, per song). The first run fetches two small pip packages.
    """
    songs, seconds = int(options.get("songs", 2)), float(options.get("seconds", 60))
    if songs < 1 or seconds < 1:
        raise InputError(
            f"sound.music has songs={songs}, seconds={seconds:g}; expected at least 1 of each"
        )
    soundfont, synthesizer = packages.soundfont(cache), packages.synthesizer(cache)
    items, described = [], {}
    for number in tqdm(range(songs), desc="play music", unit="song", disable=None, leave=False):
        song = composer.compose(number, seconds, seed)
        name = f"song{number}"
        sound = render(song, seconds, synthesizer, soundfont)
        items.append(Item(name, name, "train", sound, title=song.title))
        described[name] = {"title": song.title, "tempo": song.tempo, "notes": len(song.notes)}
    return items, {
        "packages": [packages.SYNTHESIZER_PIN, packages.SOUNDFONT_PIN],
        "soundfont_sha256": packages.SOUNDFONT_SHA256,
        "synthesizer_sha256": packages.native_sha256(cache),
        "licence": LICENCE,
        "songs": described,
    }


def render(
    song: composer.Song, seconds: float, synthesizer: ModuleType, soundfont: Path
) -> np.ndarray:
    """Play a song: (n,) float32 at 16 kHz, high-passed, peak 0.7."""
    synth = synthesizer.Synth(gain=GAIN_DB, samplerate=RENDER_RATE)
    font = synth.sfload(str(soundfont))
    channels = (composer.LEAD, composer.BASS, composer.PAD)
    for channel, program in zip(channels, song.programs, strict=True):
        synth.program_select(channel, font, 0, program, False)
    synth.program_select(composer.DRUMS, font, 128, 0, True)

    count = round(seconds * RENDER_RATE)
    stereo = np.zeros((count, 2), np.float32)
    memory = memoryview(stereo).cast("B")
    done = 0
    for sample, on, note in _switches(song, count):
        if sample > done:
            synth.generate(sample - done, buffer=memory[8 * done : 8 * sample])
            done = sample
        if on:
            synth.noteon(note.channel, note.key, note.velocity)
        else:
            synth.noteoff(note.channel, note.key)
    if done < count:
        synth.generate(count - done, buffer=memory[8 * done :])

    sound = audio.resample(stereo.mean(axis=1), RENDER_RATE, audio.SAMPLE_RATE)
    sound = audio.highpass(sound, RUMBLE_HZ, audio.SAMPLE_RATE)
    return (0.7 * sound / np.abs(sound).max()).astype(np.float32)


def _switches(song: composer.Song, count: int) -> list[tuple[int, bool, composer.Note]]:
    """(sample at 48 kHz, on, note) in time order, before ``count``; off comes before on."""
    switches = []
    for note in song.notes:
        switches.append((round(note.start_s * RENDER_RATE), True, note))
        switches.append((round((note.start_s + note.length_s) * RENDER_RATE), False, note))
    return sorted(switch for switch in switches if switch[0] < count)
