"""What training `steered` further on the frames of one array and room brings.

    python benchmarks/steered_tuning.py --train FRAMES [FRAMES ...] --test FRAMES [FRAMES ...] \
        --out results/steered_tuning

Frames folders of the project, such as the training and the validation tracks of a split; half of
the training frames have all microphones, the others a random number from five.
"""

import argparse
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from tqdm import tqdm

from wavloc import files, seeds
from wavloc.frames import Frames, load
from wavloc.methods.learned import steered, steered_training
from wavloc.setups import Setup, draw_subsets
from wavloc.simulation.random_rooms import Example
from wavloc.weights import load_into, read_weights


def example(frames: Frames, frame: int, mics: np.ndarray) -> Example:
    """A frame with some microphones of its own."""
    one = slice(frame, frame + 1)
    low, high = frames.room_bounds
    return Example(
        audio=np.array(frames.window(one)[0, mics], np.float32),
        mics=np.array(frames.mics(one)[0, mics]) - low,
        source=np.array(frames.source_position[frame]) - low,
        room=high - low,
        faulty=np.zeros(len(mics), bool),
        note={},
    )


def tune(train: list[Frames], passes: float, peak: float, seed: int) -> steered.SteeredNetwork:
    """The network of the package, trained further."""
    network = steered.SteeredNetwork()
    load_into(network, read_weights(steered.WEIGHTS), str(steered.WEIGHTS))
    learner = steered_training.Learner(network, peak)
    index = [(frames, k) for frames in train for k in range(len(frames))]
    rng = seeds.rng(seed, "steered tuning")
    turns = [rng.permutation(len(index)) for _ in range(math.ceil(passes))]
    order = np.concatenate(turns)
    steps = int(passes * len(index) / steered_training.BATCH)
    for step in (bar := tqdm(range(steps), disable=None)):
        most = train[0].n_mics
        count = most if rng.random() < 0.5 else int(rng.integers(5, most))
        chosen = order[step * steered_training.BATCH :][: steered_training.BATCH]
        with torch.inference_mode():
            made = [
                steered_training.with_candidates(
                    example(*index[k], np.sort(rng.permutation(most)[:count])), rng
                )
                for k in chosen
            ]
        batch = {key: torch.stack([one[key].clone() for one in made]) for key in made[0]}
        draw = torch.Generator().manual_seed(step)
        batch["audio"] = steered_training.varied(batch["audio"], draw)
        learner.learn(batch, draw, step, steps)
        if (step + 1) % 50 == 0:
            bar.write(f"step {step + 1} of {steps}: {learner.means()}")
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, nargs="+", required=True)
    parser.add_argument("--test", type=Path, nargs="+", required=True)
    parser.add_argument("--passes", type=float, default=2)
    parser.add_argument("--peak", type=float, default=3e-4, help="largest learning rate")
    parser.add_argument("--mics", type=int, nargs="+", default=[11, 7, 5])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/steered_tuning"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    network = tune([load(path) for path in args.train], args.passes, args.peak, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    weights = args.out / "tuned.safetensors"
    with files.replacing(weights) as temporary:
        save_file(dict(network.state_dict()), temporary)
    shutil.copyfile(steered.WEIGHTS.with_suffix(".json"), weights.with_suffix(".json"))
    rows = []
    for path in args.test:
        frames = load(path)
        for count in args.mics:
            chosen = draw_subsets(len(frames), frames.n_mics, count, path.name, args.seed)
            for name, options in (("package", {}), ("tuned", {"weights": str(weights)})):
                place = steered.Method(options).predict(frames, Setup(subset=chosen)).position
                error = np.linalg.norm(place - frames.source_position, axis=1)
                error = np.minimum(np.nan_to_num(error, nan=3.0), 3.0)
                rows.append({
                    "frames": path.name, "mics": count, "weights": name,
                    "mae_cm": 100 * error.mean(), "within_30_cm": (error < 0.3).mean(),
                })  # fmt: skip
    table = pd.DataFrame(rows)
    files.write_csv(args.out / "tuning.csv", table, 4)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    sys.exit(main())
