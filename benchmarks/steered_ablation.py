"""What the parts of `steered` add, each trained alike: the ablation.

    python benchmarks/steered_ablation.py --frames FILE.npz [FILE.npz ...] \
        --speech FOLDER [FOLDER ...] --music FOLDER --steps 3000 --out results/steered_ablation

Networks without a part learn from the same batches in the same order; frames files as for
localization.py, corpora as for `wavloc train-steered`. Parts: attention over what the rows of
correlations say; maps of time and frequency without attention; and with it.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd
import torch
from localization import read
from steered_steps import steps_of, summary
from torch import Tensor, nn
from tqdm import tqdm

from wavloc import files
from wavloc.methods.learned import steered, steered_training


class NoMaps(nn.Module):
    """In the place of the reader of the maps: says nothing."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, maps: Tensor) -> Tensor:
        return maps.new_zeros(len(maps), self.width)


class NoMics(nn.Module):
    """In the place of the reader of the microphones, whose agreement comes from the maps."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, features: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        zeros = features.new_zeros(*features.shape[:2], self.width)
        return zeros, features.new_zeros(features.shape[:3])


def rows_and_attention() -> steered.SteeredNetwork:
    """Without what the aligned spectra say."""
    network = steered.SteeredNetwork()
    network.maps, network.mics = NoMaps(128), NoMics(96)
    return network


VARIANTS = {
    "rows and attention": rows_and_attention,
    "time and frequency": lambda: steered.SteeredNetwork(depth=0),
    "time, frequency and attention": steered.SteeredNetwork,
}


def rows(networks: dict[str, steered.SteeredNetwork], paths: list[Path]) -> pd.DataFrame:
    """A row for each frames file, variant and answer."""
    table = []
    for path in paths:
        frames, *_ = read(path)
        for name, network in networks.items():
            with torch.inference_mode():
                metrics = summary(steps_of(network.eval(), frames, path.stem))
            if name != "rows and attention":
                metrics = metrics.loc[["best of the network", "least expected distance"]]
            metrics = metrics.rename_axis("answer").reset_index()
            table.append(metrics.assign(parts=name, frames=path.stem))
    return pd.concat(table, ignore_index=True)[["frames", "parts", *table[0].columns[:-2]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=Path, nargs="+", required=True)
    parser.add_argument("--speech", type=Path, nargs="+", required=True)
    parser.add_argument("--music", type=Path, nargs="+", default=[])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/steered_ablation"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    folders = {"speech": args.speech, "music": args.music}
    sounds = steered_training.corpora({k: v for k, v in folders.items() if v}, "train")
    learners = {}
    for name, build in VARIANTS.items():
        torch.manual_seed(args.seed)
        learners[name] = steered_training.Learner(build())
    stream = steered_training.stream(sounds, args.seed, 0, args.steps)
    for step, (batch, draw) in enumerate(tqdm(stream, total=args.steps, disable=None)):
        for learner in learners.values():
            own = torch.Generator()
            own.set_state(draw.get_state())
            learner.learn(batch, own, step, args.steps)
        if (step + 1) % 500 == 0:
            for name, learner in learners.items():
                print(f"step {step + 1}, {name}: {learner.means()}", flush=True)
    table = rows({name: learner.network for name, learner in learners.items()}, args.frames)
    table["steps"] = args.steps
    files.write_csv(args.out / "ablation.csv", table, 4)
    print(table.round(2).to_string(index=False))


if __name__ == "__main__":
    sys.exit(main())
