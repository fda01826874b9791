"""How often `wavloc check` names a fault, and how often it finds one in clean recordings.

    python benchmarks/check.py --out OUT [--parts order faults clean long] [--seeds 2]
        [--t60 0.2 0.4] [--seconds 5] [--rooms 30] [--speech FOLDER]

order: each swap of two of six microphones in a room of 6 x 5 x 2.7 m and of the eleven of LuViRA.
faults: a channel of these that is dead, clipped, humming, inverted, 5 ms late, or that leaks into
another. clean: random rooms and arrays of 5 to 11 microphones, T60 0 to 0.6 s, SNR 5 to 30 dB,
speech and music with silence in between, from a source that walks, stays, or is at three places.
long: five minutes of eight channels, with CPU seconds, and with a channel whose clock is 50 ppm
fast or slow.

Speech is the project's own, or that of the WAV and FLAC files of a folder. Writes check.csv: part,
what was recorded, the fault, whether it was named, other findings, CPU seconds; prints shares.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one core

import numpy as np
import pandas as pd
import scipy.ndimage
import soundfile

from wavloc import audio, files, seeds
from wavloc.audio import SAMPLE_RATE
from wavloc.checking import check
from wavloc.datasets.sound import synthetic
from wavloc.datasets.sound.corpus import RUMBLE_HZ
from wavloc.geometry import LUVIRA_MICS
from wavloc.simulation import random_rooms

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.spoken import ROOM, SIX, recording, speech

ARRAYS = {"six": (SIX, ROOM), "luvira": (LUVIRA_MICS + np.array([3.6, 4.2, 0]), (7.0, 8.0, 2.0))}
EIGHT = np.concatenate([SIX, [[0.2, 2.6, 0.4], [5.8, 2.4, 1.7]]])
SNR_DB = 20.0
LATE_S, LEAK, PPM = 0.005, 0.1, 50.0
LONG_S, STEP_S = 300.0, 0.25  # of a walk, one room response each
WAYS = ("walks", "stays", "three places")


@dataclasses.dataclass
class Case:
    """A recording (M, n) with what is wrong with it: a kind of finding and its channels."""

    part: str
    about: str
    t60_s: float
    seed: int
    fault: str
    channels: tuple[int, ...]
    sound: np.ndarray
    mics: np.ndarray

    def tried(self) -> dict[str, object]:
        """A row of the table."""
        names = [str(k) for k in range(len(self.mics))]
        begun = time.process_time()
        found = check(self.sound, SAMPLE_RATE, self.mics, names).findings
        seconds = time.process_time() - begun
        right = (self.fault, tuple(map(str, self.channels)))
        others = [one for one in found if (one.kind, one.channels) != right]
        return {
            "part": self.part, "about": self.about, "t60_s": self.t60_s, "seed": self.seed,
            "fault": self.fault or "none", "channels": " ".join(right[1]),
            "named": len(found) - len(others) if self.fault else np.nan, "others": len(others),
            "found": "; ".join(f"{one.kind} {' '.join(one.channels)}" for one in others),
            "value": next((one.value for one in found if one not in others), np.nan),
            "cpu_s": seconds,
        }  # fmt: skip


class Voices:
    """Speech of a folder of sound files, or the project's own."""

    def __init__(self, folder: Path | None):
        found = folder.rglob("*") if folder else ()
        self.paths = sorted(path for path in found if path.suffix in (".wav", ".flac"))

    def speech(self, seconds: float, seed: int) -> np.ndarray:
        """Sound (n,) of one voice, or of some files one after the other."""
        if not self.paths:
            return speech(seconds, seed)
        parts, left = [], round(seconds * SAMPLE_RATE)
        for k in seeds.rng(seed, "files of the benchmark of check").permutation(len(self.paths)):
            sound, rate = soundfile.read(self.paths[k], dtype="float32", always_2d=True)
            sound = audio.resample(sound.T[:1], rate, SAMPLE_RATE)[0]
            # Simulated rooms amplify an offset, which no real one carries.
            parts.append(audio.highpass(sound, RUMBLE_HZ, SAMPLE_RATE))
            left -= len(parts[-1])
            if left <= 0:
                break
        return np.concatenate(parts)[: round(seconds * SAMPLE_RATE)]


def recorded(args: argparse.Namespace) -> Iterator[tuple[str, float, int, np.ndarray]]:
    """Clean recordings in both rooms: array, T60, seed and sound (M, n); a new place each 0.5 s."""
    for name, t60_s, seed in itertools.product(ARRAYS, args.t60, range(args.seeds)):
        mics, room = ARRAYS[name]
        dry = args.voices.speech(args.seconds, seed)
        yield name, t60_s, seed, recording(dry, mics, room, t60_s, SNR_DB, seed=seed)


def order(args: argparse.Namespace) -> Iterator[Case]:
    for name, t60_s, seed, clean in recorded(args):
        for pair in itertools.combinations(range(len(clean)), 2):
            swapped = clean.copy()
            swapped[list(pair)] = clean[list(pair[::-1])]
            yield Case("order", name, t60_s, seed, "order", pair, swapped, ARRAYS[name][0])


def faults(args: argparse.Namespace) -> Iterator[Case]:
    for name, t60_s, seed, clean in recorded(args):
        rng = seeds.rng(seed, "faults of the benchmark of check", name)
        seconds = np.arange(clean.shape[1]) / SAMPLE_RATE
        row, other = rng.permutation(len(clean))[:2].tolist()
        limit = 0.4 * np.abs(clean[row]).max()
        hum = 0.14 * clean[row].std() * np.sin(2 * np.pi * 50 * seconds)
        for kind, sound in {
            "dead": 0 * clean[row],
            "clipped": np.clip(clean[row], -limit, limit),
            "hum": clean[row] + hum,
            "inverted": -clean[row],
            "offset": np.roll(clean[row], round(LATE_S * SAMPLE_RATE)),
            "crosstalk": clean[row] + LEAK * clean[other],
        }.items():
            faulty = clean.copy()
            faulty[row] = sound
            concerned = tuple(sorted((row, other))) if kind == "crosstalk" else (row,)
            yield Case("faults", name, t60_s, seed, kind, concerned, faulty, ARRAYS[name][0])


def clean(args: argparse.Namespace) -> Iterator[Case]:
    for number in range(args.rooms):
        rng = seeds.rng(number, "clean recording of the benchmark of check")
        room = random_rooms.draw_room(rng)
        kind, mics = random_rooms.draw_array(rng, room, int(rng.integers(5, 12)))
        t60_s, snr_db = rng.uniform(0, 0.6), rng.uniform(5, 30)
        sound, way = ("speech", "music")[number % 2], WAYS[number // 2 % 3]
        dry = args.voices.speech(8.0, number) if sound == "speech" else synthetic.band(8.0, rng)
        pause = np.zeros(round(rng.uniform(1, 4) * SAMPLE_RATE), np.float32)
        dry = np.concatenate([dry[: len(dry) // 2], pause, dry[len(dry) // 2 :], pause[::2]])
        steps = np.arange(0, len(dry) / SAMPLE_RATE, STEP_S)
        path = walk(number, room, steps) if way == "walks" else None
        about = f"{len(mics)} {kind}, {sound}, {way}, {snr_db:.0f} dB"
        wet = recording(
            dry, mics, tuple(room), t60_s, snr_db, STEP_S, 1 if way == "stays" else 3, number, path
        )
        yield Case("clean", about, t60_s, number, "", (), wet, mics)


def walk(seed: int, room: Sequence[float], time_s: np.ndarray) -> np.ndarray:
    """Places (n, 3) at times (n,) of somebody who walks about in a room, at 0.5 m/s or so."""
    middle = np.array(room) / 2
    reach = np.maximum(middle - [0.6, 0.6, 0.8], 0.1)
    phase = seeds.rng(seed, "walk of a benchmark").uniform(0, 2 * np.pi, 3)
    turn = 0.5 * time_s[:, None] / np.maximum(reach, 0.3) * [1, 1.2, 0.3]
    return middle + reach * np.sin(turn + phase)


def long(args: argparse.Namespace) -> Iterator[Case]:
    for t60_s, seed in itertools.product(args.t60, range(args.seeds)):
        rng = seeds.rng(seed, "long recording of the benchmark of check")
        path = walk(seed, ROOM, np.arange(0, LONG_S, STEP_S))
        dry = args.voices.speech(LONG_S, seed)
        wet = recording(dry, EIGHT, ROOM, t60_s, SNR_DB, STEP_S, seed=seed, path=path)
        yield Case("long", "eight", t60_s, seed, "", (), wet, EIGHT)
        row, sign = int(rng.integers(len(EIGHT))), (-1) ** seed
        when = np.arange(wet.shape[1]) * (1 - sign * 1e-6 * PPM)
        drifting = wet.copy()
        drifting[row] = scipy.ndimage.map_coordinates(wet[row], [when], order=3, mode="nearest")
        yield Case("long", "eight", t60_s, seed, "drift", (row,), drifting, EIGHT)


PARTS = {part.__name__: part for part in (order, faults, clean, long)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--t60", type=float, nargs="+", default=[0.2, 0.4])
    parser.add_argument("--seconds", type=float, default=5.0, help="of recordings with faults")
    parser.add_argument("--rooms", type=int, default=30, help="clean recordings")
    parser.add_argument("--speech", type=Path, help="folder of WAV and FLAC files")
    args = parser.parse_args()
    args.voices = Voices(args.speech)
    tried = []
    for case in itertools.chain.from_iterable(PARTS[part](args) for part in args.parts):
        tried.append(case.tried())
        print(*tried[-1].values(), sep=", ", file=sys.stderr, flush=True)
    table = pd.DataFrame(tried)
    files.write_csv(args.out / "check.csv", table, 3)
    table["without others"] = table["others"] == 0
    rows = table.assign(about=table["about"].where(table["part"] != "clean", "random"))
    rows["t60_s"] = rows["t60_s"].where(rows["part"] != "clean", np.nan)
    keys = ["part", "about", "t60_s", "fault"]
    columns = {"named": "mean", "without others": "mean", "cpu_s": "mean", "seed": "size"}
    shown = rows.groupby(keys, dropna=False).agg(columns).rename(columns={"seed": "recordings"})
    print(shown.round(3).to_string())


if __name__ == "__main__":
    main()
