"""What the confidence of a followed track is worth, and its fit.

    python benchmarks/track_confidence.py --speech FOLDER --out OUT --tracks 140 --hop 0.064 0.128
    python benchmarks/track_confidence.py --speech FOLDER --first 200 --tracks 32 --locate

Tracks of 6 s in random rooms with random arrays of 4 to 12 microphones (T60 0 to 0.8 s, SNR 5 to
30 dB): recorded speech of a folder of WAV and FLAC files, synthesised voices and music, from a
source that walks, stays or is at three places one after the other.

The first command prints for each hop the stated and the true share within 30 cm in ten parts of
like confidence: of frames alone, of the track as `wavloc.methods.tracking` states it, by its
posterior alone, and with weights that are fitted here, each fourth of the tracks with those of the
others; and the weights of all, which are `tracking.CALIBRATION`. It writes track_confidence.csv,
one row a frame; tracks that are in it are not made again. The second is `wavloc locate --track` in
rooms that it knows: the same, and how many coordinates are within one and two deviations.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one core

import numpy as np
import pandas as pd
import scipy.optimize
from check import Voices, recording, walk
from classical_confidence import framed
from tqdm import tqdm

import wavloc
from wavloc import files, seeds
from wavloc.datasets.sound import synthetic
from wavloc.evaluation.metrics import CAP_M
from wavloc.methods import registry, tracking
from wavloc.methods.learned import steered
from wavloc.methods.learned.steered import WITHIN_M, calibrated
from wavloc.methods.predictions import LOCATED
from wavloc.reporting.figures.confidence import calibration
from wavloc.simulation import random_rooms

SECONDS, STEP_S = 6.0, 0.128  # of a track; of a place, one room response each
SOUNDS = ("recorded", "recorded", "synthesised", "music")
WAYS = ("walks", "stays", "walks", "three places")
WALL_M = np.array([0.5, 0.5, 0.6])
AROUND_M = np.array([3.0, 3.0, 1.5])  # searched around the microphones, where no room is given
QUIET_DB, LOUD_PERCENT = 25.0, 90  # frames so far under the loud ones are left out, as in `locate`
FOLDS, RIDGE = 4, 1e-3
GROUNDS = ["posterior", "backing", "expected", "one"]


def places(rng: np.random.Generator, way: str, seed: int, room: np.ndarray) -> np.ndarray:
    """Places (n, 3) of a source, one each `STEP_S`."""
    steps = np.arange(0, SECONDS, STEP_S)
    if way == "walks":
        return walk(seed, tuple(room), steps)
    low, high = np.minimum(WALL_M, room / 2), np.maximum(room - WALL_M, room / 2)
    drawn = rng.uniform(low, high, (1 if way == "stays" else 3, 3))
    return drawn[np.arange(len(steps)) * len(drawn) // len(steps)]


class Track(NamedTuple):
    """Channels (M, n) of a source at places (P, 3), one each `STEP_S`, with what was drawn."""

    number: int
    wet: np.ndarray
    mics: np.ndarray
    room: np.ndarray
    path: np.ndarray
    about: dict[str, object]

    def source(self, time_s: np.ndarray) -> np.ndarray:
        """Where it is (F, 3) at times (F,)."""
        return self.path[np.minimum((time_s / STEP_S).astype(int), len(self.path) - 1)]


def drawn(number: int, voices: Voices) -> Track:
    """One track."""
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
    about = {"kind": kind, "mics": len(mics), "t60_s": t60_s, "snr_db": snr_db, "sound": sound}
    return Track(number, wet, mics, room, path, about | {"way": way})


def followed(track: Track, hop_s: float, method: steered.Method) -> pd.DataFrame:
    """The frames of one track: what was drawn, and what each says alone and as part of it."""
    samples, hop = random_rooms.SAMPLES, round(hop_s * random_rooms.RATE)
    start = np.arange(0, track.wet.shape[1] - samples + 1, hop)
    cut = np.lib.stride_tricks.sliding_window_view(track.wet, samples, axis=1)[:, start]
    cut = cut.swapaxes(0, 1)
    power = np.square(cut).mean(axis=(1, 2))
    mics, box = track.mics, (np.zeros(3), track.room)
    if track.number % 2:
        box = mics.min(axis=0) - AROUND_M, mics.max(axis=0) + AROUND_M
    time_s = (start + samples / 2) / random_rooms.RATE
    source = track.source(time_s)
    found = method.predict(framed(cut, mics, *box))
    alone, located = found.confidence, np.isin(found.status, LOCATED)
    off_alone = np.linalg.norm(found.position - source, axis=1)
    given = steered.put_on_track(found, located, time_s)
    off = np.linalg.norm(found.position - source, axis=1)
    rows = pd.DataFrame(given, columns=GROUNDS).assign(
        track=track.number, **track.about, hop_s=hop_s, time_s=time_s, alone=alone,
        off_alone=off_alone, off=off,
    )  # fmt: skip
    loud = power > np.percentile(power, LOUD_PERCENT) * 10 ** (-QUIET_DB / 10)
    return rows[loud & located]


def located(track: Track) -> pd.DataFrame:
    """Rows of `wavloc.locate` with the errors of their coordinates, and how far off they are."""
    names = [f"m{k}" for k in range(len(track.mics))]
    mics = pd.DataFrame(track.mics, columns=[*"xyz"]).assign(name=names)
    room = track.room.tolist()
    table = wavloc.locate(track.wet, mics, random_rooms.RATE, track=True, check=False, room=room)
    rows = table.table[lambda rows: rows["status"].isin([*LOCATED, "edge", "ambiguous"])]
    error = rows[[*"xyz"]].to_numpy() - track.source(rows["time_s"].to_numpy())
    errors = pd.DataFrame(error, rows.index, ["error_x", "error_y", "error_z"])
    return rows.join(errors).assign(off=np.linalg.norm(error, axis=1))


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


def shown(name: str, confidence: np.ndarray, off: np.ndarray, ok: np.ndarray | None = None) -> None:
    """Error, share that is ok (by default by its confidence) and right, and the ten parts of like
    confidence.
    """
    right = off < WITHIN_M
    ok = confidence >= steered.Options.min_confidence if ok is None else ok
    tenths = zip(*calibration(confidence, off), strict=True)
    error = 100 * np.minimum(off, CAP_M).mean()
    print(
        f"{name}: {len(off)} frames, MAE {error:.1f} cm, {100 * right.mean():.1f} % within 30 cm,"
    )
    print(f"  {100 * ok.mean():.1f} % ok, of these {100 * right[ok].mean():.1f} % within 30 cm")
    print("  stated/true", " ".join(f"{told:.2f}/{true:.2f}" for told, true in tenths))


def locate(args: argparse.Namespace, numbers: range) -> None:
    voices = Voices(args.speech)
    parts = [located(drawn(number, voices)) for number in tqdm(numbers, disable=None)]
    rows = pd.concat(parts, ignore_index=True)
    confidence, off = rows["confidence"].to_numpy(), rows["off"].to_numpy()
    shown("wavloc locate --track", confidence, off, (rows["status"] == "ok").to_numpy())
    for status, of in rows.groupby("status"):
        error, sigma = (
            of[[f"{what}_{axis}" for axis in "xyz"]].to_numpy() for what in ("error", "sigma")
        )
        near = [100 * (np.abs(error) < times * sigma).mean() for times in (1, 2)]
        middle = 100 * np.median(sigma), 100 * np.median(np.abs(error))
        print(f"  {status}: within one and two sigma {near[0]:.0f} and {near[1]:.0f} %")
        print(f"    medians: sigma {middle[0]:.1f}, error {middle[1]:.1f} cm")


def fit(args: argparse.Namespace, numbers: range) -> None:
    path = args.out / "track_confidence.csv"
    made = [pd.read_csv(path)] if path.is_file() else []
    known = {key for rows in made for key in zip(rows["track"], rows["hop_s"], strict=True)}
    voices, method = Voices(args.speech), registry.create(registry.named("steered"))
    for number in tqdm(numbers, desc="tracks", disable=None):
        missing = [hop_s for hop_s in args.hop if (number, hop_s) not in known]
        if missing:
            track = drawn(number, voices)
            made += [followed(track, hop_s, method) for hop_s in missing]
        if number % 10 == 9 or number == numbers[-1]:
            files.write_csv(path, pd.concat(made), 5)
    rows = pd.concat(made, ignore_index=True)
    rows = rows[rows["track"].isin(numbers) & rows["hop_s"].isin(args.hop)]
    for fold in range(FOLDS):
        test = rows["track"] % FOLDS == fold
        given = rows.loc[test, GROUNDS].to_numpy()
        rows.loc[test, "crossed"] = calibrated(given, fitted(rows[~test]))
    for hop_s, of in rows.groupby("hop_s"):
        given, off = of[GROUNDS].to_numpy(), of["off"].to_numpy()
        print(f"frames {hop_s:g} s apart")
        shown("alone", of["alone"].to_numpy(), of["off_alone"].to_numpy())
        shown("on a track", calibrated(given, tracking.CALIBRATION), off)
        shown("by its posterior alone", calibrated(given, [1, 0, 0, 0]), off)
        shown("fitted on other tracks", of["crossed"].to_numpy(), off)
    print("weights:", ", ".join(f"{value:.3f}" for value in fitted(rows)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True, help="folder of WAV and FLAC files")
    parser.add_argument("--out", type=Path, default=Path("results/tracks"), help="of the csv")
    parser.add_argument("--first", type=int, default=0, help="number of the first track")
    parser.add_argument("--tracks", type=int, default=140)
    parser.add_argument("--hop", type=float, nargs="+", default=[0.064])
    parser.add_argument("--locate", action="store_true", help="tracks of `wavloc locate` instead")
    args = parser.parse_args()
    numbers = range(args.first, args.first + args.tracks)
    (locate if args.locate else fit)(args, numbers)


if __name__ == "__main__":
    main()
