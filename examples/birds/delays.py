"""Measure when each song reached each recorder: delays.py FRAMES.npz."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from wavloc.audio import read_audio
from wavloc.features.gcc import find_peaks, gcc_phat
from wavloc.recordings import microphones

LOUDEST = "Ex-8"  # the recorder next to the bird; delays are measured against it
BEFORE_S, AFTER_S = 0.1, 0.35  # a song reaches the farthest recorder a third of a second later
SPEED = 331.3 * np.sqrt(1 + 15 / 273.15)  # of sound in air of 15 degrees Celsius, m/s

folder = Path(__file__).parent
array = microphones.read(folder / "mics.csv")
names, mics = array.names, array.positions
read = [read_audio(folder / f"{name}.mp3") for name in names]
sound, rate = np.stack([samples[:, 0] for samples, _ in read]), read[0][1]

loudest = names.index(LOUDEST)
others = [mic for mic in range(len(names)) if mic != loudest]
limit = np.linalg.norm(mics[others] - mics[loudest], axis=1) / SPEED * rate  # samples
arrivals = []
for song in pd.read_csv(folder / "songs.csv").itertuples():
    begin, end = round((song.from_s - BEFORE_S) * rate), round((song.to_s + AFTER_S) * rate)
    gcc = gcc_phat(
        sound[None, :, begin:end],
        np.array([(mic, loudest) for mic in others]),
        int(limit.max()) + 2,
        sample_rate=rate,
        exponent=0.8,
        band=(song.low_hz, song.high_hz),
    )
    later = find_peaks(gcc, limit, 1)[0][0, :, 0]  # samples
    arrivals.append(np.insert(later / rate, loudest, 0.0))

np.savez(
    sys.argv[1],
    arrivals=np.array(arrivals),
    mic_positions=mics,
    speed_of_sound=SPEED,
    room=[120.0, 120.0, 30.0],  # the space to search: 20 m around the plot, up to the tree tops
    origin=[20.0, 20.0, 2.0],
)
