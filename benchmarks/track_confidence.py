"""What the confidence of a followed track is worth, and its fit.

    python benchmarks/track_confidence.py --speech FOLDER --out OUT [--tracks 160] [--hop 0.064]

Tracks of 6 s in random rooms with random arrays of 4 to 12 microphones (T60 0 to 0.8 s, SNR 5 to
30 dB): recorded speech of a folder of WAV and FLAC files, synthesised voices and music, from a
source that walks, stays or is at three places one after the other. Prints the stated and the true
share within 30 cm in ten parts of like confidence, of frames alone, of the track as
`wavloc.methods.tracking` states it, and with weights that are fitted here, each fourth of the
tracks with those of the others; and the weights of all. Writes track_confidence.csv, one row a
frame; tracks that are in it are not made again.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one core

import numpy as np
import pandas as pd
import scipy.optimize
from check import Voices, recording, walk
from classical_confidence import framed
from tqdm import tqdm

from wavloc import files, seeds
from wavloc.datasets.sound import synthetic
from wavloc.methods import registry, tracking
from wavloc.methods.learned import steered
from wavloc.methods.predictions import LOCATED
from wavloc.simulation import random_rooms

SECONDS, STEP_S = 6.0, 0.128  # of a track; of a place, one room response each
SOUNDS = ("recorded", "recorded", "synthesised", "music")
WAYS = ("walks", "stays", "walks", "three places")
WALL_M = np.array([0.5, 0.5, 0.6])
AROUND_M = np.array([3.0, 3.0, 1.5])  # searched around the microphones, where no room is given
QUIET_DB, LOUD_PERCENT = 25.0, 90  # frames so far under the loud ones are left out, as in `locate`
WITHIN_M, FARTHEST_M, PARTS, FOLDS, RIDGE = 0.3, 3.0, 10, 4, 1e-3
GROUNDS = ["posterior", "backing", "expected", "one"]


def places(rng: np.random.Generator, way: str, seed: int, room: np.ndarray) -> np.ndarray:
    """Places (n, 3) of a source, one each `STEP_S`."""
    steps = np.arange(0, SECONDS, STEP_S)
    if way == "walks":
        return walk(seed, tuple(room), steps)
    low, high = np.minimum(WALL_M, room / 2), np.maximum(room - WALL_M, room / 2)
    drawn = rng.uniform(low, high, (1 if way == "stays" else 3, 3))
    return drawn[np.arange(len(steps)) * len(drawn) // len(steps)]


def track(number: int, voices: Voices, hop_s: float, method: steered.Method) -> pd.DataFrame:
    """The frames of one track: what was drawn, and what each says alone and as part of it."""
    rng = seeds.rng(number, "tracks of the confidence")
    room = random_rooms.draw_room(rng)
    kind, mics = random_rooms.draw_array(rng, room, int(rng.integers(4, 13)))
    t60_s, snr_db = rng.uniform(0, 0.8), rng.uniform(5, 30)
    sound, way = SOUNDS[number % 4], WAYS[number // 4 % 4]
    if sound == "music":
        dry = synthetic.band(SECONDS, rng)
    else:
        dry = (voices if sound == "recorded" else Voices(None)).speech(SECONDS, number)
    path = places(rng, way, number, room)
    wet = recording(dry, mics, tuple(room), t60_s, snr_db, STEP_S, seed=number, path=path)
    samples, hop = random_rooms.SAMPLES, round(hop_s * random_rooms.RATE)
    start = np.arange(0, wet.shape[1] - samples + 1, hop)
    cut = np.lib.stride_tricks.sliding_window_view(wet, samples, axis=1)[:, start].swapaxes(0, 1)
    power = np.square(cut).mean(axis=(1, 2))
    box = (np.zeros(3), room)
    if number % 2:
        box = mics.min(axis=0) - AROUND_M, mics.max(axis=0) + AROUND_M
    time_s = (start + samples / 2) / random_rooms.RATE
    source = path[np.minimum((time_s / STEP_S).astype(int), len(path) - 1)]
    found = method.predict(framed(cut, mics, *box))
    alone, located = found.confidence, np.isin(found.status, LOCATED)
    off_alone = np.linalg.norm(found.position - source, axis=1)
    given = steered.put_on_track(found, located, time_s)
    rows = pd.DataFrame(given, columns=GROUNDS).assign(
        track=number, kind=kind, mics=len(mics), t60_s=t60_s, snr_db=snr_db, sound=sound, way=way,
        hop_s=hop_s, time_s=time_s, alone=alone, off_alone=off_alone,
        off=np.linalg.norm(found.position - source, axis=1),
    )  # fmt: skip
    loud = power > np.percentile(power, LOUD_PERCENT) * 10 ** (-QUIET_DB / 10)
    return rows[loud & located]


def fitted(rows: pd.DataFrame) -> np.ndarray:
    """Weights (4,) of most likelihood, as `tracking.CALIBRATION`."""
    values, right = rows[GROUNDS[:-1]].to_numpy(), (rows["off"] < WITHIN_M).to_numpy(float)
    middle, scale = values.mean(axis=0), values.std(axis=0)
    columns = np.column_stack([(values - middle) / scale, np.ones(len(values))])

    def cost(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logit = columns @ weights
        slope = columns.T @ (1 / (1 + np.exp(-logit)) - right) / len(right)
        loss = (np.logaddexp(0, logit) - right * logit).mean()
        shrunk = RIDGE * np.append(weights[:-1], 0)
        return float(loss + shrunk @ weights / 2), slope + shrunk

    found = scipy.optimize.minimize(cost, np.zeros(4), jac=True).x
    return np.append(found[:-1] / scale, found[-1] - found[:-1] @ (middle / scale))


def stated(rows: pd.DataFrame, weights: Sequence[float] | np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-rows[GROUNDS].to_numpy() @ np.asarray(weights)))


def shown(name: str, confidence: np.ndarray, off: pd.Series) -> None:
    """One method's line: error, share that is ok and right, and the ten parts."""
    off = off.to_numpy()
    right, ok = off < WITHIN_M, confidence >= 0.6
    parts = np.array_split(np.argsort(confidence, kind="stable"), PARTS)
    tenths = " ".join(f"{confidence[k].mean():.2f}/{right[k].mean():.2f}" for k in parts)
    error = 100 * np.minimum(off, FARTHEST_M).mean()
    print(
        f"{name}: {len(off)} frames, MAE {error:.1f} cm, {100 * right.mean():.1f} % within 30 cm,"
    )
    print(f"  {100 * ok.mean():.1f} % ok, of these {100 * right[ok].mean():.1f} % within 30 cm")
    print(f"  stated/true {tenths}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True, help="folder of WAV and FLAC files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first track")
    parser.add_argument("--tracks", type=int, default=160)
    parser.add_argument("--hop", type=float, nargs="+", default=[0.064])
    args = parser.parse_args()
    path = args.out / "track_confidence.csv"
    made = [pd.read_csv(path)] if path.is_file() else []
    known = {key for rows in made for key in zip(rows["track"], rows["hop_s"], strict=True)}
    voices, method = Voices(args.speech), registry.create(registry.named("steered"))
    numbers = range(args.first, args.first + args.tracks)
    for number in tqdm(numbers, desc="tracks", disable=None):
        for hop_s in args.hop:
            if (number, hop_s) not in known:
                made.append(track(number, voices, hop_s, method))
        if number % 10 == 9 or number == numbers[-1]:
            files.write_csv(path, pd.concat(made), 5)
    rows = pd.concat(made, ignore_index=True)
    rows = rows[rows["track"].isin(numbers) & rows["hop_s"].isin(args.hop)]
    shown("alone", rows["alone"].to_numpy(), rows["off_alone"])
    shown("on a track", stated(rows, tracking.CALIBRATION), rows["off"])
    crossed = np.empty(len(rows))
    for fold in range(FOLDS):
        test = (rows["track"] % FOLDS == fold).to_numpy()
        crossed[test] = stated(rows[test], fitted(rows[~test]))
    shown("fitted on other tracks", crossed, rows["off"])
    print("weights:", ", ".join(f"{value:.3f}" for value in fitted(rows)))


if __name__ == "__main__":
    main()
