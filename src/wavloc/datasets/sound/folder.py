"""Any WAV or FLAC files as dry sound: one folder per speaker for speech, any layout for music."""

from pathlib import Path
from typing import Any

from wavloc import audio
from wavloc.datasets.sound.corpus import RUMBLE_HZ, Collected, Item
from wavloc.datasets.sound.librispeech import split_speakers
from wavloc.errors import InputError


def collect(kind: str, options: dict[str, Any], cache: Path, seed: int) -> Collected:
    """Items of all audio files below ``options['root']``, mixed to mono, resampled to 16 kHz."""
    root = Path(options["root"])
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in (".wav", ".flac"))
    if not paths:
        raise InputError(f"{root}: no .wav or .flac files found for {kind}")
    speakers = {
        path: path.relative_to(root).parts[0] if kind == "speech" else path.stem for path in paths
    }
    split_of = split_speakers(sorted(set(speakers.values())), 0.2, 0.1)
    items = []
    for path in paths:
        samples, rate = audio.read_audio(path)
        sound = audio.resample(samples.mean(axis=1), rate, audio.SAMPLE_RATE)
        sound = audio.highpass(sound, RUMBLE_HZ, audio.SAMPLE_RATE)
        name = str(path.relative_to(root))
        items.append(Item(name, speakers[path], split_of[speakers[path]], sound, title=path.stem))
    return items, {"counts": {"files": len(paths)}, "licence": "your own files"}
