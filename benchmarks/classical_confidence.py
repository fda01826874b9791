"""Fit the confidence of the classical methods, and see what it is worth.

    python benchmarks/classical_confidence.py fit --speech FOLDER [FOLDER ...] --music FOLDER
    python benchmarks/classical_confidence.py rooms --speech FOLDER [FOLDER ...]
    python benchmarks/classical_confidence.py noise
    python benchmarks/classical_confidence.py frames FILE.npz [FILE.npz ...]

fit: weights for src/wavloc/methods/classical/confidence.json out of random rooms, arrays and sounds
of corpora as `wavloc prepare` makes them (those of `config/steered.yaml`, whose speakers, songs and
rooms are in no table) and of noise, crosstalk and hum. noise: share of frames without a source that
are `ok`. frames: of frames with known answers (files as for localization.py) the share that is
`ok`, how many of these are within 30 cm, how many coordinates are within two stated deviations, and
the stated and true share within 30 cm in ten parts of like confidence. rooms: the same of rooms as
those of the fit, with speakers that the fit has not heard.
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
from wavloc.methods.predictions import Predictions
from wavloc.reporting.figures.confidence import calibration
from wavloc.setups import Setup
from wavloc.simulation import random_rooms

FITTED = ("srp_phat", "multilat", "tdoa_grid", "nlls", "linear_ls")
# Measures the same on the same correlations as the other one.
ALIKE = {"multilat_plus": "srp_phat"}
NO_SOURCE = 0.35  # share of frames of the fit without a source
RIDGE = 1e-3  # of the weights of scaled quantities
MICS = (5, 6, 8, 11)  # of the noise
AXES = ["off x", "off y", "off z"]  # columns: how far off a position is

Found = tuple[Predictions, np.ndarray]  # and sources (F, 3)


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
    """By method the quantities of frames with a position, their outcome (0, 1, 2), and by how much
    the position is off along each axis in metres.
    """
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
            off = position[0] - source
            distance = np.linalg.norm(off)
            outcome = 2 if np.isnan(distance) else int(distance >= confidence.WITHIN_M)
            row = {
                key: float(values[0])
                for key, values in quantities.items()
                if key != confidence.OPEN
            }
            rows[name].append(row | {"outcome": outcome} | dict(zip(AXES, off, strict=True)))
    return {name: pd.DataFrame(found) for name, found in rows.items()}


def fitted(table: pd.DataFrame) -> dict[str, Any]:
    """Names of the quantities, weights (3, Q + 1) of most likelihood, and the deviation of what is
    elsewhere: two of it hold 95 % of the coordinates.
    """
    quantities = [name for name in table if name not in ("outcome", *AXES)]
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
    elsewhere = np.abs(table.loc[outcome == 1, AXES].to_numpy(float))
    return {
        "quantities": quantities,
        "weights": weights.round(5).tolist(),
        "wrong_m": round(float(np.quantile(elsewhere, 0.95)) / 2, 3),
        "frames": len(table),
    }


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
            tell(f"{name}, {path.name}", [(method.predict(frames), frames.source_position)])


def of_rooms(args: argparse.Namespace) -> None:
    sounds = steered_training.corpora({"speech": args.speech}, "valid")
    methods = methods_of(args)
    found: dict[str, list[Found]] = {name: [] for name in methods}
    for number in tqdm(range(args.count), desc="frames", disable=None):
        frames, source = drawn(
            seeds.rng(args.seed, "rooms of classical confidence", number), sounds
        )
        for name, method in methods.items():
            if not method.refusal(frames, Setup()):
                found[name].append((method.predict(frames), source[None]))
    for name, told in found.items():
        tell(name, told)


def tell(title: str, found: list[Found]) -> None:
    """Print what statuses, confidence and deviations of positions are worth."""
    status = np.concatenate([predictions.status for predictions, _ in found])
    off = np.concatenate([predictions.position - source for predictions, source in found])
    distance = np.linalg.norm(off, axis=1)
    right = distance < confidence.WITHIN_M
    ok = status == "ok"
    print(
        f"{title}: {len(ok)} frames, {100 * right.mean():.1f} % within 30 cm; "
        f"{100 * ok.mean():.1f} % ok, {100 * right[ok].mean():.1f} % of these within 30 cm"
    )
    covariance = np.concatenate([predictions.covariance for predictions, _ in found])
    within = np.abs(off) < 2 * np.sqrt(np.einsum("fii->fi", covariance))
    for name in ("ok", "uncertain"):
        chosen = (status == name) & np.isfinite(distance)
        print(f"  {name}: {100 * within[chosen].mean():.1f} % of coordinates within two deviations")
    sure = np.concatenate([predictions.confidence for predictions, _ in found])
    for stated, true in zip(*calibration(sure, distance), strict=True):
        print(f"  stated {stated:.2f}  true {true:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    add = commands.add_parser("fit")
    add.set_defaults(run=fit)
    add.add_argument("--music", type=Path, nargs="+", default=[])
    add.add_argument("--out", type=Path, default=confidence.WEIGHTS)
    add.add_argument("--count", type=int, default=3000)
    for command, run in (("noise", of_noise), ("frames", of_frames), ("rooms", of_rooms)):
        add = commands.add_parser(command)
        add.set_defaults(run=run)
        add.add_argument("--methods", nargs="+", default=[*FITTED, *ALIKE])
    commands.choices["noise"].add_argument(
        "--count", type=int, default=250, help="frames per array size"
    )
    commands.choices["frames"].add_argument("files", type=Path, nargs="+")
    commands.choices["rooms"].add_argument("--count", type=int, default=400)
    for add in (commands.choices["fit"], commands.choices["rooms"]):
        add.add_argument("--speech", type=Path, nargs="+", required=True)
    for add in commands.choices.values():
        add.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
