"""Music: our compositions, played by a SoundFont synthesiser.

SoundFont and synthesiser come from wheels that are not installed: only the SoundFont inside that of
pretty_midi is needed, and tinysoundfont requires pyaudio, which cannot be built everywhere.
"""

import importlib
import platform
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

from wavloc import audio, files
from wavloc.datasets.fetch import archives, wheels
from wavloc.datasets.sound import composer
from wavloc.datasets.sound.corpus import Collected, Item, finished
from wavloc.errors import InputError, WorkError

RENDER_RATE = 48_000  # Hz
GAIN_DB = -8.0
SOUNDFONT_PIN = "pretty_midi==0.2.11.post0"
SOUNDFONT_MEMBER = "pretty_midi/TimGM6mb.sf2"
SOUNDFONT_SHA256 = "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1"
SYNTHESIZER_PIN = "tinysoundfont==0.3.7"
_SILENT_CURE = "use --config music=synthetic (or music=folder)"
LICENCE = (
    "compositions made by wavloc, played by tinysoundfont 0.3.7 (MIT) with the SoundFont "
    "TimGM6mb.sf2 (GPL-2, Tim Brechbill) from pretty_midi 0.2.11.post0"
)


def collect(kind: str, options: dict[str, Any], cache: Path, seed: int) -> Collected:
    """Songs, and metadata with packages, checksums and licence.

    options: songs (2), seconds (60, per song). The first run fetches two small pip packages.
    """
    songs, seconds = int(options.get("songs", 2)), float(options.get("seconds", 60))
    if songs < 1 or seconds < 1:
        raise InputError(
            f"sound.music has songs={songs}, seconds={seconds:g}; expected at least 1 of each"
        )
    font, player = soundfont(cache), synthesizer(cache)
    items, described = [], {}
    for number in tqdm(range(songs), desc="play music", unit="song", disable=None, leave=False):
        song = composer.compose(number, seconds, seed)
        name = f"song{number}"
        sound = render(song, seconds, player, font)
        items.append(Item(name, name, "train", sound, title=song.title))
        described[name] = {"title": song.title, "tempo": song.tempo, "notes": len(song.notes)}
    return items, {
        "packages": [SYNTHESIZER_PIN, SOUNDFONT_PIN],
        "soundfont_sha256": SOUNDFONT_SHA256,
        "synthesizer_sha256": native_sha256(cache),
        "licence": LICENCE,
        "songs": described,
    }


def render(song: composer.Song, seconds: float, player: ModuleType, soundfont: Path) -> np.ndarray:
    """Play a song: (n,) float32 at 16 kHz, high-passed, peak 0.7."""
    synth = player.Synth(gain=GAIN_DB, samplerate=RENDER_RATE)
    font = synth.sfload(str(soundfont))
    channels = (composer.LEAD, composer.BASS, composer.PAD)
    for channel, program in zip(channels, composer.STYLES[song.style], strict=True):
        synth.program_select(channel, font, 0, program, False)
    synth.program_select(composer.DRUMS, font, 128, 0, True)

    count = round(seconds * RENDER_RATE)
    stereo = np.zeros((count, 2), np.float32)
    memory = stereo.data.cast("B")
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
    return finished(sound)


def _switches(song: composer.Song, count: int) -> list[tuple[int, bool, composer.Note]]:
    """(sample at 48 kHz, on, note) in time order, before ``count``; off comes before on."""
    switches = []
    for note in song.notes:
        switches.append((round(note.start_s * RENDER_RATE), True, note))
        switches.append((round((note.start_s + note.length_s) * RENDER_RATE), False, note))
    return sorted(switch for switch in switches if switch[0] < count)


def soundfont(cache: Path) -> Path:
    """Path of the General MIDI SoundFont TimGM6mb.sf2, fetched if it is not in the cache.

    A wrong checksum is an `InputError`, a failed download a `WorkError`.
    """
    path = cache / "packages" / "TimGM6mb.sf2"
    return wheels.member(SOUNDFONT_PIN, SOUNDFONT_MEMBER, SOUNDFONT_SHA256, path, _SILENT_CURE)


def synthesizer(cache: Path) -> ModuleType:
    """The module tinysoundfont; its wheel is fetched if it is not in the cache."""
    folder = synthesizer_folder(cache)
    with files.lock(cache / "packages" / ".lock"):
        if not folder.is_dir():
            cure = f"{_SILENT_CURE}, or unpack its wheel into {folder}"
            with (
                tempfile.TemporaryDirectory() as holder,
                files.replacing_folder(folder, {"tinysoundfont"}, None) as temporary,
            ):
                archives.unpack(wheels.fetch(SYNTHESIZER_PIN, Path(holder), cure), temporary)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("tinysoundfont")
    except ImportError as error:
        raise WorkError(
            f"{folder}: {SYNTHESIZER_PIN} cannot be imported ({error}); delete the folder to fetch "
            "it again, or use --config music=synthetic"
        ) from None
    finally:
        sys.path.remove(str(folder))


def synthesizer_folder(cache: Path) -> Path:
    """Folder of the unpacked wheel for this Python and processor."""
    name, version = SYNTHESIZER_PIN.split("==")
    tag = f"{sys.implementation.cache_tag}-{platform.machine()}"
    return (cache / "packages" / f"{name}-{version}-{tag}").resolve()


def native_sha256(cache: Path) -> str:
    """Checksum of the synthesiser's native library, for the record."""
    paths = sorted((synthesizer_folder(cache) / "tinysoundfont").glob("_tinysoundfont.*"))
    return files.sha256(paths[0]) if paths else "unknown"
