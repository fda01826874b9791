"""How often `wavloc check` names a fault, and how often it finds one in clean recordings.

    python benchmarks/check.py --out OUT [--seeds 4] [--t60 0.2 0.4] [--snr 20] [--seconds 5]

Voices at places that change twice a second, among six microphones in a room of 6 x 5 x 2.7 m and
the eleven of LuViRA. Writes check.csv: array, T60, SNR, seed, fault, whether it was named, and the
number of other findings; prints their means.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one core

import numpy as np
import pandas as pd

from wavloc import files
from wavloc.audio import SAMPLE_RATE
from wavloc.checking import check
from wavloc.geometry import LUVIRA_MICS

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.spoken import ROOM, SIX, recording, speech

LUVIRA_ROOM = (7.0, 8.0, 2.0)
ARRAYS = {"six": (SIX, ROOM), "luvira": (LUVIRA_MICS + np.array([3.6, 4.2, 0]), LUVIRA_ROOM)}


def faults(clean: np.ndarray) -> Iterator[tuple[str, np.ndarray, tuple[int, ...]]]:
    """Kind of finding, recording with that fault, and the channels that it concerns."""
    yield "", clean, ()
    time = np.arange(clean.shape[1]) / SAMPLE_RATE
    for row in range(len(clean)):
        hum = 0.14 * clean[row].std() * np.sin(2 * np.pi * 50 * time)
        limit = 0.4 * np.abs(clean[row]).max()
        for kind, sound in {
            "dead": 0 * clean[row],
            "clipped": np.clip(clean[row], -limit, limit),
            "hum": clean[row] + hum,
            "inverted": -clean[row],
            "offset": np.roll(clean[row], round(0.005 * SAMPLE_RATE)),
        }.items():
            faulty = clean.copy()
            faulty[row] = sound
            yield kind, faulty, (row,)
        neighbour = (row + 1) % len(clean)
        leaked = clean.copy()
        leaked[row] += 0.1 * clean[neighbour]
        yield "crosstalk", leaked, tuple(sorted((row, neighbour)))
    for pair in itertools.combinations(range(len(clean)), 2):
        swapped = clean.copy()
        swapped[list(pair)] = clean[list(pair[::-1])]
        yield "order", swapped, pair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--t60", type=float, nargs="+", default=[0.2, 0.4])
    parser.add_argument("--snr", type=float, nargs="+", default=[20.0])
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    rows = []
    for name, t60, snr, seed in itertools.product(ARRAYS, args.t60, args.snr, range(args.seeds)):
        mics, room = ARRAYS[name]
        clean = recording(speech(args.seconds, seed), mics, room, t60, snr, seed=seed)
        for kind, channels, concerned in faults(clean):
            found = check(channels, SAMPLE_RATE, mics, [str(k) for k in range(len(mics))]).findings
            right = (kind, tuple(map(str, concerned)))
            named = sum((one.kind, one.channels) == right for one in found)
            rows.append((name, t60, snr, seed, kind or "clean", named, len(found) - named))
    columns = ["array", "t60_s", "snr_db", "seed", "fault", "named", "others"]
    table = pd.DataFrame(rows, columns=columns)
    files.write_csv(args.out / "check.csv", table, 3)
    print(table.groupby(["array", "t60_s", "snr_db", "fault"])[["named", "others"]].mean())


if __name__ == "__main__":
    main()
