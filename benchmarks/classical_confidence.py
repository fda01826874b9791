"""Fit the confidence of the classical methods, and see what it is worth.

    python benchmarks/classical_confidence.py fit --speech FOLDER [FOLDER ...] --music FOLDER
    python benchmarks/classical_confidence.py noise
    python benchmarks/classical_confidence.py frames FILE.npz [FILE.npz ...]

fit: weights for src/wavloc/methods/classical/confidence.json out of random rooms, arrays and sounds
of corpora as `wavloc prepare` makes them (those of `config/steered.yaml`, whose speakers, songs and
rooms are in no table) and of noise, crosstalk and hum. noise: share of frames without a source that
are `ok`. frames: share of frames with known answers that are `ok`, how many of these are within
30 cm, and the stated and true share in ten parts of like confidence (files as for localization.py).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one core

import numpy as np
import pandas as pd
import scipy.optimize
from localization import read
from tqdm import tqdm

from wavloc import files, provenance, seeds
from wavloc.frames import Frames
from wavloc.methods import registry
from wavloc.methods.base import Method
from wavloc.methods.classical import confidence
from wavloc.methods.learned import steered_training
from wavloc.reporting.figures.confidence import calibration
from wavloc.setups import Setup
from wavloc.simulation import random_rooms

FITTED = ("srp_phat", "multilat")
# Measures the same on the same correlations as the other one.
ALIKE = {"multilat_plus": "srp_phat"}
NO_SOURCE = 0.35  # share of frames of the fit without a source
RIDGE = 1e-3  # of the weights of scaled quantities
MICS = (5, 6, 8, 11)  # of the noise


def drawn(rng: np.random.Generator, sounds: random_rooms.Corpora) -> tuple[Frames, np.ndarray]:
    """A frame in a random room with its search box, and its source (3,), NaN without one."""
    example = random_rooms.draw_example(rng, sounds, max(5, random_rooms.draw_count(rng)))
    if rng.random() < NO_SOURCE:
        audio = random_rooms.no_source(rng, len(example.mics))[1]
        example.audio = (audio / np.abs(audio).max()).astype(np.float32)
        example.source = np.full(3, np.nan)
    return framed(
        example.audio[None], example.mics, *steered_training.search_box(example, rng)
    ), example.source


def framed(audio: np.ndarray, mics: np.ndarray, low: np.ndarray, high: np.ndarray) -> Frames:
    """Frames (F, M, n) of microphones (M, 3) in a box."""
    return Frames(
        audio=audio,
        source_audio=np.full((len(audio), audio.shape[-1]), np.nan, np.float32),
        mic_positions=mics,
        source_position=np.full((len(audio), 3), np.nan),
        table=pd.DataFrame({"frame": np.arange(len(audio))}),
        sample_rate=random_rooms.RATE,
        speed_of_sound=343.0,
        meta={"room": (high - low).tolist(), "origin": (-low).tolist()},
    )


def measured(sounds: random_rooms.Corpora, seed: int, count: int) -> dict[str, pd.DataFrame]:
    """By method the quantities of frames with a position, and their outcome (0, 1, 2)."""
    methods = {name: registry.create(registry.named(name)) for name in FITTED}
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    for number in tqdm(range(count), desc="frames", disable=None):
        frames, source = drawn(seeds.rng(seed, "classical confidence", number), sounds)
        for name, method in methods.items():
            if method.refusal(frames, Setup()):
                continue
            (position, _, _), quantities = method.measure(frames, slice(0, 1))
            if not np.isfinite(position).all() or quantities is None:
                continue
            off = np.linalg.norm(position[0] - source)
            outcome = 2 if np.isnan(off) else int(off >= confidence.WITHIN_M)
            row = {key: float(values[0]) for key, values in quantities.items()}
            rows[name].append(row | {"outcome": outcome})
    return {name: pd.DataFrame(found) for name, found in rows.items()}


def fitted(table: pd.DataFrame) -> dict[str, Any]:
    """Names of the quantities and weights (3, Q + 1) of most likelihood."""
    quantities = [name for name in table if name not in ("outcome", confidence.BLUR)]
    values, outcome = table[quantities].to_numpy(float), table["outcome"].to_numpy(int)
    middle, scale = values.mean(axis=0), values.std(axis=0) + 1e-9
    columns = np.column_stack([(values - middle) / scale, np.ones(len(values))])

    def cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(3, -1)
        share = confidence.softmax(columns, weights)
        told = np.log(share[np.arange(len(outcome)), outcome])
        error = share - np.eye(3)[outcome]
        slope = error.T @ columns / len(error) + RIDGE * weights
        return float(-told.mean() + RIDGE / 2 * (flat @ flat)), slope.ravel()

    start = np.zeros(3 * columns.shape[1])
    found = scipy.optimize.minimize(cost, start, jac=True, method="L-BFGS-B").x.reshape(3, -1)
    weights = np.column_stack(
        [found[:, :-1] / scale, found[:, -1] - found[:, :-1] @ (middle / scale)]
    )
    return {"quantities": quantities, "weights": weights.round(5).tolist(), "frames": len(table)}


def noise(rng: np.random.Generator, mics: int, count: int) -> Frames:
    """Frames of a room of 6 x 5 x 2.7 m without a source: half noise, half crosstalk."""
    room = np.array([6.0, 5.0, 2.7])
    _, places = random_rooms.draw_array(rng, room, mics)
    audio = [rng.standard_normal((mics, random_rooms.SAMPLES)) for _ in range(count)]
    for sound in audio[::2]:
        sound *= rng.uniform(0.02, 0.6)
        sound += rng.standard_normal(random_rooms.SAMPLES) * rng.uniform(0.5, 1, (mics, 1))
    return framed(np.stack(audio).astype(np.float32), places, np.zeros(3), room)


def methods_of(args: argparse.Namespace) -> dict[str, Method]:
    return {name: registry.create(registry.named(name)) for name in args.methods}


def fit(args: argparse.Namespace) -> None:
    folders = {"speech": args.speech, "music": args.music}
    sounds = steered_training.corpora(folders, "train")
    card = steered_training.card(folders, "train", args.count, args.seed)
    models = {name: fitted(rows) for name, rows in measured(sounds, args.seed, args.count).items()}
    models |= {name: models[other] for name, other in ALIKE.items()}
    told = {"sounds": card["sounds"], "seed": args.seed, "provenance": provenance.stamp()}
    files.write_json(args.out, {"methods": models} | told)


def of_noise(args: argparse.Namespace) -> None:
    for name, method in methods_of(args).items():
        for mics in MICS:
            rng = seeds.rng(args.seed, "noise of classical confidence", mics)
            arrays = [noise(rng, mics, 10) for _ in range(args.count // 10)]
            status = np.concatenate([method.predict(frames).status for frames in arrays])
            shown = pd.Series(status).value_counts(normalize=True).round(3).to_dict()
            print(f"{name}, {mics} microphones, {len(status)} frames: {shown}")


def of_frames(args: argparse.Namespace) -> None:
    for name, method in methods_of(args).items():
        for path in args.files:
            frames, *_ = read(path)
            found = method.predict(frames)
            off = np.linalg.norm(found.position - frames.source_position, axis=1)
            right = off < confidence.WITHIN_M
            ok = found.status == "ok"
            print(
                f"{name}, {path.name}: {len(ok)} frames, {100 * right.mean():.1f} % within 30 cm; "
                f"{100 * ok.mean():.1f} % ok, {100 * right[ok].mean():.1f} % of these within 30 cm"
            )
            for stated, true in zip(*calibration(found.confidence, off), strict=True):
                print(f"  stated {stated:.2f}  true {true:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    add = commands.add_parser("fit")
    add.set_defaults(run=fit)
    add.add_argument("--speech", type=Path, nargs="+", required=True)
    add.add_argument("--music", type=Path, nargs="+", default=[])
    add.add_argument("--out", type=Path, default=confidence.WEIGHTS)
    add.add_argument("--count", type=int, default=600)
    known = [*FITTED, *ALIKE]
    for command, run, count in (("noise", of_noise, 250), ("frames", of_frames, 0)):
        add = commands.add_parser(command)
        add.set_defaults(run=run)
        add.add_argument("--methods", nargs="+", default=known)
        if count:
            add.add_argument("--count", type=int, default=count, help="frames per array size")
        else:
            add.add_argument("files", type=Path, nargs="+")
    for add in commands.choices.values():
        add.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
