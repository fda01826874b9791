"""Cost of a training step of wav2pos with NGCC-PHAT features, all pairs at once or one by one.

    python benchmarks/training.py [--device cuda] [--json OUT] [--out FOLDER]

``sequential`` runs NGCC-PHAT pair by pair inside the step and in training mode, as the public code
does; ``live`` runs all pairs at once in eval mode; ``stored`` uses features computed before.
Published sizes; all run in turn in one process (one thread on a CPU). The last metric projects the
paper's whole training (2.8 million frame passes) from the measured steps.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy

import numpy as np
import pandas as pd
import torch
from features import TAU, loop_in_training_mode, ngcc, noise, stepper
from measuring import (
    add_output,
    bars,
    canvas,
    finish,
    input_errors,
    label_sizes,
    slopes,
    summary,
    take_turns,
)

from wavloc.devices import choose_device
from wavloc.reporting.style import save
from wavloc.training import precision

PASSES = 5_600 * 500  # frames of the paper's training
RATIOS = (("sequential", "live"), ("sequential", "stored"), ("live", "stored"))


def run(
    mics: int, batch: int, args: argparse.Namespace
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Rows of one batch of frames, and seconds per frame (rounds,) of each kind of step."""
    device, kind = args.torch_device, precision.format_of(args.precision)
    generator = torch.Generator().manual_seed(mics)
    network, audio = ngcc(None, generator).to(device), noise(batch, mics, generator).to(device)
    step = stepper(audio, generator)

    def train(features: Callable[[], torch.Tensor]) -> None:
        with precision.autocast(device, kind.features, kind.tf32):
            gcc = features().float()
        with precision.autocast(device, kind.network, kind.tf32):
            step(gcc)

    stored = network.all_pairs(audio, TAU)
    functions = {
        "stored": lambda: train(lambda: stored),
        "live": lambda: train(lambda: network.all_pairs(audio, TAU)),
        "sequential": lambda: train(lambda: loop_in_training_mode(network, audio, TAU)),
    }
    times = take_turns(functions, args.rounds, device)
    times = {name: seconds / batch for name, seconds in times.items()}
    case = {"mics": mics, "batch": batch}
    metrics = {f"ms per frame: {name}": 1000 * seconds for name, seconds in times.items()}
    metrics |= {f"{over} / {under}": times[over] / times[under] for over, under in RATIOS}
    metrics |= {
        f"hours of the paper's training: {name}": seconds * PASSES / 3600
        for name, seconds in times.items()
    }
    return [case | summary(metric, values) for metric, values in metrics.items()], times


def plot(rows: pd.DataFrame, stem: Path) -> None:
    """Milliseconds per frame over microphones; ratios of the largest case."""
    figure, (axes,) = canvas(2)
    largest = rows[rows["batch"] == rows["batch"].max()]
    for name, colour in (("sequential", "#D55E00"), ("live", "#0072B2"), ("stored", "#009E73")):
        part = largest[largest["metric"] == f"ms per frame: {name}"]
        axes[0].loglog(part["mics"], part["median"], "o-", color=colour, label=name)
    sizes = sorted(largest["mics"].dropna().unique().astype(int))
    label_sizes(axes[0], sizes, "microphones", "ms per frame of a step")
    axes[0].legend(frameon=False)
    part = largest[(largest["mics"] == max(sizes)) & largest["metric"].str.contains(" / ")]
    bars(axes[1], part, part["metric"].str.replace(" / ", " /\n"), "ratio of times")
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
    with input_errors():
        args.torch_device = choose_device(args.device)
    for batch in args.batch:
        times = {}
        for mics in args.mics:
            part, times[mics] = run(mics, batch, args)
            rows += part
        if len(args.mics) > 1:
            for name in times[args.mics[0]]:
                growth = slopes({mics: times[mics][name] for mics in args.mics})
                rows.append({"batch": batch} | summary(f"slope over microphones: {name}", growth))
    finish(rows, args, "training", plot)


if __name__ == "__main__":
    sys.exit(main())
