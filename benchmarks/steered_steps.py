"""What each step of `steered` adds, on frames with known answers.

    python benchmarks/steered_steps.py --frames FILE.npz [FILE.npz ...] [--weights FILE]

Files as for localization.py. Steps: the best top of the first row; the best candidate of the sieve;
of the network; the point of least expected distance; refined on the peaks; and, for the limit, the
candidate nearest the source, among those that the network is given and among all.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from localization import read

from wavloc.features import steering
from wavloc.frames import Frames, blocks
from wavloc.methods.learned import steered


def steps_of(network: steered.SteeredNetwork, frames: Frames, name: str) -> pd.DataFrame:
    """Error (m) of every frame after each step, but for the refinement."""
    options = steered.Options()
    corner = torch.tensor(frames.room_bounds[0]), torch.tensor(frames.room_bounds[1])
    box = tuple(value.float() for value in corner)
    per_m = frames.sample_rate / frames.speed_of_sound
    errors = []
    for block in blocks(len(frames), options.block, name):
        audio = torch.from_numpy(np.array(frames.window(block), np.float32))
        mics = torch.from_numpy(np.array(frames.mics(block), np.float32))
        source = torch.from_numpy(np.array(frames.source_position[block], np.float32))
        present = torch.ones(mics.shape[:2], dtype=torch.bool)
        rest = options, frames.sample_rate, frames.speed_of_sound
        found = steered.posterior(network, audio, mics, present, box, *rest)
        points, shares = found["points"], found["posterior"]
        reach = int(np.ceil(float(torch.cdist(mics, mics).max()) * per_m)) + 8
        gcc = steering.correlate(audio, present, frames.sample_rate, reach)
        lags = per_m * steering.OVERSAMPLE
        everything, powers = steering.candidates(gcc, mics, present, *box, lags, options.tops)
        real = torch.isfinite(powers[..., 0])
        place, *_ = steered.decide(points, shares)
        best = steered.select(shares.argmax(1)[:, None], points)[0][:, 0]
        given = (points - source[:, None]).norm(dim=-1).amin(1)
        away = (everything - source[:, None]).norm(dim=-1).masked_fill(~real, 9.0).amin(1)
        errors.append(
            pd.DataFrame({
                "top of the first row": (everything[:, 0] - source).norm(dim=-1),
                "best of the sieve": (points[:, 0] - source).norm(dim=-1),
                "best of the network": (best - source).norm(dim=-1),
                "least expected distance": (place - source).norm(dim=-1),
                "limit: nearest that the network is given": given,
                "limit: nearest candidate": away,
            })
        )  # fmt: skip
    return pd.concat(errors, ignore_index=True)


def summary(error: pd.DataFrame) -> pd.DataFrame:
    """Metrics of errors (m), a row for each column."""
    return pd.DataFrame({
        "MAE (cm)": 100 * error.clip(upper=3).mean(),
        "median (cm)": 100 * error.median(),
        "within 30 cm (%)": 100 * (error < 0.3).mean(),
    })  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=Path, nargs="+", required=True)
    parser.add_argument("--weights", default="")
    args = parser.parse_args()
    method = steered.Method({"weights": args.weights})
    network = steered.trained(Path(args.weights or steered.WEIGHTS))
    for path in args.frames:
        frames, *_ = read(path)
        error = steps_of(network, frames, path.stem)
        apart = method.predict(frames).position - frames.source_position
        error.insert(4, "refined on the peaks", np.linalg.norm(apart, axis=1))
        table = summary(error).round(2).to_string()
        print(f"{path.stem}, {len(error)} frames\n{table}\n")


if __name__ == "__main__":
    sys.exit(main())
