"""What `wavloc locate --estimate-offsets` is worth in rooms: recorders that nobody synchronised.

    python benchmarks/offsets.py --out OUT [--t60 0 0.2 0.4] [--mics 6 8] [--seeds 2]
        [--seconds 30] [--speech FOLDER]

Somebody walks about and speaks among recorders that begin up to 0.5 s before or after one another,
in a room of 6 x 5 x 2.7 m. Writes offsets.csv: error of the offsets (against the first recorder),
and the error of `steered` with the estimated offsets, with the true ones, and with none; or why
no offsets were estimated.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one core

import numpy as np
import pandas as pd
import torch
from check import EIGHT, SNR_DB, Voices, walk

from wavloc import files, seeds
from wavloc.audio import SAMPLE_RATE
from wavloc.errors import InputError
from wavloc.methods import registry
from wavloc.recordings import given, locating, offsets, positions, sound
from wavloc.recordings.sound import Clocks

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.spoken import ROOM, recording

APART_S = 0.5
STEP_S = 0.064  # of the walk, one room response each
HOP_S = 0.25  # of the positions


def recorders(
    mics: np.ndarray, t60_s: float, seed: int, seconds: float, voices: Voices
) -> tuple[np.ndarray, np.ndarray]:
    """Channels (M, n) that begin at times (M,) in seconds of the walk."""
    length = seconds + 2 * APART_S
    path = walk(seed, ROOM, np.arange(0, length, STEP_S))
    dry = voices.speech(length, seed)
    wet = recording(dry, mics, ROOM, t60_s, SNR_DB, STEP_S, seed=seed, path=path)
    rng = seeds.rng(seed, "starts of the benchmark of offsets", len(mics))
    first = np.rint(rng.uniform(0, 2 * APART_S, len(mics)) * SAMPLE_RATE).astype(int)
    size = wet.shape[1] - first.max()
    return np.stack([row[k : k + size] for row, k in zip(wet, first, strict=True)]), (
        first / SAMPLE_RATE
    )


def tried(count: int, t60_s: float, seed: int, args: argparse.Namespace) -> dict[str, object]:
    """A row of the table."""
    mics = EIGHT[:count]
    channels, start_s = recorders(mics, t60_s, seed, args.seconds, args.voices)
    array = given.array_of(mics, channels, "m")
    asked = locating.Asked(hop=HOP_S)
    method = registry.create(registry.named("steered"))
    locator = locating.locator(method, array, asked, False, lambda line: None)
    heard = sound.open_array(channels, SAMPLE_RATE, array.names, np.zeros(count))
    true = Clocks(start_s - start_s[0], np.zeros(count))
    row: dict[str, object] = {"mics": count, "t60_s": t60_s, "seed": seed, "refused": ""}
    clocks, begun = {"true": true, "none": heard.clocks}, time.process_time()
    try:
        found = offsets.estimate(locator, heard, array.names, False, seed)
        off = np.abs(found.clocks.start_s - true.start_s)[1:]
        row |= {"offset_ms": 1e3 * np.median(off), "worst_ms": 1e3 * off.max()}
        row |= {"stated_ms": 1e3 * found.offset_deviation_s.max()}
        clocks["estimated"] = found.clocks
    except InputError as error:
        row["refused"] = str(error)
    row["cpu_s"] = time.process_time() - begun
    for name, these in clocks.items():
        clocked = dataclasses.replace(heard, clocks=these)
        table = positions.over_time(locator, clocked, HOP_S, asked.silence_db).table
        # A step of the walk is a place for all of it; the first recorder's clock counts.
        when = table["time_s"].to_numpy(float) + start_s[0] - STEP_S / 2
        place = table[[*"xyz"]].to_numpy(float)
        error = np.linalg.norm(place - walk(seed, ROOM, when), axis=1)
        sounding = table["status"].ne("silent").to_numpy()
        ok = table["status"].eq("ok").to_numpy()
        row |= {
            f"median_cm_{name}": 100 * np.nanmedian(error[sounding]),
            f"within_30_{name}": (error[sounding] < 0.3).mean(),
            f"ok_{name}": ok[sounding].mean(),
            f"ok_within_30_{name}": (error[ok] < 0.3).mean() if ok.any() else np.nan,
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--t60", type=float, nargs="+", default=[0.0, 0.2, 0.4])
    parser.add_argument("--mics", type=int, nargs="+", choices=range(5, 9), default=[6, 8])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--speech", type=Path, help="folder of WAV and FLAC files")
    args = parser.parse_args()
    args.voices = Voices(args.speech)
    torch.set_num_threads(1)
    cells = itertools.product(args.mics, args.t60, range(args.seeds))
    rows = []
    for count, t60_s, seed in cells:
        rows.append(tried(count, t60_s, seed, args))
        print({key: round(v, 3) if isinstance(v, float) else v for key, v in rows[-1].items()})
    files.write_csv(args.out / "offsets.csv", pd.DataFrame(rows), 4)


if __name__ == "__main__":
    main()
