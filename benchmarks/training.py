"""A training step of wav2pos with live NGCC-PHAT features, against the paper's sequential form.

    python benchmarks/training.py [--device cuda] [--json OUT] [--out FOLDER]

``sequential`` runs NGCC-PHAT pair after pair inside the step and in training mode, as the public
code does; ``live`` all pairs at once in eval mode; ``kept`` takes features from before. Published
sizes; all take turns in one process (one thread on a CPU). The last figure projects the paper's
whole training (2.8 million frame passes) from the measured steps.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy

import numpy as np
import pandas as pd
import torch
from features import TAU, loop_in_training_mode, ngcc, noise, stepper
from measuring import add_output, bars, canvas, finish, slopes, spread, take_turns

from wavloc.devices import choose_device
from wavloc.errors import InputError
from wavloc.reporting.style import save
from wavloc.training import precision

PASSES = 5_600 * 500  # frames of the paper's training
RATIOS = (("sequential", "live"), ("sequential", "kept"), ("live", "kept"))


def run(mics: int, batch: int, args: argparse.Namespace) -> tuple[list[dict], dict]:
    """Rows of one batch of frames, and seconds per frame of each way."""
    device, kind = args.torch_device, precision.format_of(args.precision)
    generator = torch.Generator().manual_seed(mics)
    network, audio = ngcc(None, generator).to(device), noise(batch, mics, generator).to(device)
    step = stepper(audio, generator)
    state = {name: value.clone() for name, value in network.state_dict().items()}

    def features(found: object) -> torch.Tensor:
        with precision.autocast(device, kind.features, kind.tf32):
            return found().float()

    kept = network.all_pairs(audio, TAU)

    def train(rows: torch.Tensor) -> None:
        with precision.autocast(device, kind.network, kind.tf32):
            step(rows)

    def sequential() -> None:
        train(features(lambda: loop_in_training_mode(network, audio, TAU)))
        network.load_state_dict(state)  # training mode moves the statistics

    ways = {
        "kept": lambda: train(kept),
        "live": lambda: train(features(lambda: network.all_pairs(audio, TAU))),
        "sequential": sequential,
    }
    times = {name: found / batch for name, found in take_turns(ways, args.rounds, device).items()}
    case = {"mics": mics, "batch": batch}
    rows = [case | spread(f"ms per frame: {name}", 1000 * found) for name, found in times.items()]
    rows += [
        case | spread(f"{over} / {under}", times[over] / times[under]) for over, under in RATIOS
    ]
    rows += [
        case | spread(f"hours of the paper's training: {name}", found * PASSES / 3600)
        for name, found in times.items()
    ]
    return rows, times


def plot(rows: pd.DataFrame, stem: Path) -> None:
    """Milliseconds per frame over microphones; ratios of the largest case."""
    figure, (axes,) = canvas(2)
    largest = rows[rows["batch"] == rows["batch"].max()]
    for name, colour in (("sequential", "#D55E00"), ("live", "#0072B2"), ("kept", "#009E73")):
        part = largest[largest["figure"] == f"ms per frame: {name}"]
        axes[0].loglog(part["mics"], part["median"], "o-", color=colour, label=name)
    sizes = sorted(largest["mics"].dropna().unique().astype(int))
    axes[0].set(xlabel="microphones", ylabel="ms per frame of a step")
    axes[0].set_xticks(sizes, labels=sizes)
    axes[0].set_xticks([], minor=True)
    axes[0].legend(frameon=False)
    part = largest[(largest["mics"] == max(sizes)) & largest["figure"].str.contains(" / ")]
    bars(axes[1], part, part["figure"].str.replace(" / ", " /\n"), "ratio of times")
    save(figure, stem)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mics", type=int, nargs="+", default=[6, 11])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=list(precision.FORMATS))
    add_output(parser)
    args = parser.parse_args()
    if min(args.mics) < 2 or min(*args.batch, args.rounds) < 1:
        parser.error("expected two microphones, one frame and one round at least")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    try:
        args.torch_device = choose_device(args.device)
    except InputError as error:
        raise SystemExit(f"wavloc: error: {error}") from None
    for batch in args.batch:
        by_mics = {}
        for mics in args.mics:
            found, by_mics[mics] = run(mics, batch, args)
            rows += found
        if len(args.mics) > 1:
            for name in by_mics[args.mics[0]]:
                growth = slopes({mics: np.array(by_mics[mics][name]) for mics in args.mics})
                rows.append({"batch": batch} | spread(f"slope over microphones: {name}", growth))
    finish(rows, args, "training", plot)


if __name__ == "__main__":
    sys.exit(main())
