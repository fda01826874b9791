"""Makes the files of this folder: somebody walks through a simulated room and talks.

    python examples/room/make.py

The voice is synthesised by hibari-tts 0.2.1 (Apache-2.0); T60 0.2 s, SNR 30 dB. Takes 10 seconds.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from wavloc import seeds
from wavloc.audio import SAMPLE_RATE
from wavloc.datasets.base import Scenes
from wavloc.datasets.sound.sentences import sentences
from wavloc.datasets.sound.voices import Speaker, grid
from wavloc.simulation import render

FOLDER = Path(__file__).parent
ROOM = np.array([6.0, 5.0, 2.7])
MICS = {
    "door": [0.3, 0.4, 1.1],
    "window": [5.5, 0.2, 2.1],
    "shelf": [5.8, 4.6, 0.9],
    "lamp": [0.5, 4.7, 2.3],
    "board": [2.7, 0.1, 1.6],
    "desk": [3.4, 4.8, 0.5],
}
# Where the mouth is at equal times, metres: across the room, around, and sitting down.
WAY = np.array(
    [[1.4, 1.4, 1.6], [2.4, 1.6, 1.6], [3.6, 1.8, 1.6], [4.4, 2.8, 1.5], [4.0, 3.4, 1.2]]
)
T60_S, SNR_DB = 0.2, 30.0
HOP = 128  # samples between places; the sound is cross-faded from one to the next


def main() -> None:
    voice = grid(16, 0)[4]
    said = [Speaker().say(text, voice, seeds.rng(0, "example")) for text in sentences("test")[:2]]
    dry = np.concatenate([np.pad(sound, (0, SAMPLE_RATE // 10)) for sound in said])
    count = len(dry) // HOP - 1
    time = (np.arange(count) + 1) * HOP / SAMPLE_RATE
    stops = np.linspace(0, time[-1], len(WAY))
    source = np.stack([np.interp(time, stops, axis) for axis in WAY.T], axis=1)
    scenes = Scenes(
        room=ROOM,
        mics=np.array(list(MICS.values())),
        source=source,
        dry=dry,
        start=np.arange(count) * HOP,
        dry_begin=np.zeros(count, int),
        dry_end=np.full(count, len(dry)),
        t60_s=np.full(count, T60_S),
        snr_db=np.full(count, np.inf),
        table=pd.DataFrame({"track": ["walk"] * count}),
        samples=2 * HOP,
        sample_rate=SAMPLE_RATE,
    )
    faded = render.render_frames(scenes, np.arange(count)) * np.hanning(2 * HOP + 1)[:-1]
    sound = np.zeros((len(MICS), (count + 1) * HOP))
    for number, part in enumerate(faded):
        sound[:, number * HOP : (number + 2) * HOP] += part
    sigma = np.sqrt(np.square(sound).mean() * 10 ** (-SNR_DB / 10))
    sound += sigma * seeds.rng(0, "example noise").standard_normal(sound.shape)
    soundfile.write(
        FOLDER / "walk.flac", 0.5 * sound.T / np.abs(sound).max(), SAMPLE_RATE, "PCM_16"
    )
    mics = pd.DataFrame([[name, *place] for name, place in MICS.items()], columns=["name", *"xyz"])
    mics.to_csv(FOLDER / "mics.csv", index=False)
    truth = pd.DataFrame(source.round(3), columns=[*"xyz"])
    truth.insert(0, "time_s", time.round(3))
    truth.to_csv(FOLDER / "truth.csv", index=False)


if __name__ == "__main__":
    main()
