"""What pair features cost, and what that costs a training step of wav2pos; published sizes.

    python benchmarks/features.py [--frames FILE.npz] [--checkpoint FILE] [--json OUT]
        [--out FOLDER]

NGCC-PHAT features of all pairs (`NGCC.all_pairs`) stand against the loop over pairs as the wav2pos
paper describes it, against plain GCC-PHAT and against features kept from before. Each of them
feeds the same training step (setup 1a). One thread; all take turns in rounds, order reversed in
every second one. Times are CPU seconds; ratios are of the two times of one round.
Without files: noise, and random weights, whose small logits say little about the difference.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy

import numpy as np
import pandas as pd
import torch
from localization import read
from measuring import add_output, bars, canvas, finish, spread
from torch import Tensor
from torch.nn import functional

from wavloc import weights
from wavloc.checkpoints import authors
from wavloc.errors import InputError
from wavloc.features import gcc_torch as correlation
from wavloc.methods.learned import masking
from wavloc.methods.learned.layers import standardise
from wavloc.methods.learned.ngcc_phat import NGCC, SLOPE
from wavloc.methods.learned.wav2pos import Wav2Pos, losses
from wavloc.reporting.style import save

SAMPLES, TAU = 2048, 314
AUDIO_WEIGHT = 0.1
# Result: over, under; of: "features" or the whole "step".
RATIOS = {
    "features: loop / NGCC-PHAT": ("features", "loop", "ngcc"),
    "features: GCC-PHAT / NGCC-PHAT": ("features", "gcc", "ngcc"),
    "step: NGCC-PHAT / kept": ("step", "ngcc", "kept"),
    "step: loop / kept": ("step", "loop", "kept"),
    "step: loop in training mode / kept": ("step", "training", "kept"),
    "step: GCC-PHAT / kept": ("step", "gcc", "kept"),
    "step: loop / NGCC-PHAT": ("step", "loop", "ngcc"),
    "step: loop in training mode / NGCC-PHAT": ("step", "training", "ngcc"),
}


@torch.no_grad()
def loop(network: NGCC, audio: Tensor, tau: int) -> Tensor:
    """Features of ordered pairs, one pair after the other: audio (B, K, N) -> (B, K (K - 1), lags).

    Batch statistics and dropout are as the network's mode says; its weights are used as they are.
    """
    batch, count, samples = audio.shape
    hidden = audio.reshape(batch * count, 1, samples)
    convs = [(network.bank.filters()[:, None], None)]
    convs += [(conv.weight, conv.bias) for conv in network.backbone]
    for place, (weight, bias) in enumerate(convs):
        reach = weight.shape[-1] // 2
        hidden = functional.pad(hidden, (reach, reach), mode="circular")
        hidden = network.backbone_norms[place](functional.conv1d(hidden, weight, bias))
        if place < len(convs) - 1:
            hidden = functional.leaky_relu(hidden, SLOPE)
    hidden = hidden.reshape(batch, count, -1, samples)

    size, rows = 2 * samples, []
    for i in range(count):
        for j in range(i + 1, count):
            first = torch.fft.rfft(hidden[:, i], n=size)
            second = torch.fft.rfft(hidden[:, j], n=size)
            cross = first * second.conj()
            row = torch.fft.irfft(cross / (cross.abs() + correlation.PHAT_EPS), n=size)
            row = torch.cat([row[..., -tau:], row[..., : tau + 1]], dim=-1)
            rows += [row, row.flip(-1)]
    hidden = torch.stack(rows, dim=1).flatten(0, 1)  # (B K (K - 1), channels, lags)

    for conv, norm in zip(network.head, network.head_norms, strict=True):
        hidden = network.dropout(functional.leaky_relu(norm(conv(hidden)), SLOPE))
    return network.final(hidden).reshape(batch, len(rows), -1)


def loop_in_training_mode(network: NGCC, audio: Tensor, tau: int) -> Tensor:
    """As the public code does inside a training step: batch statistics and dropout, not frozen."""
    network.train()
    try:
        return loop(network, audio, tau)
    finally:
        network.eval()


def noise(count: int, mics: int, generator: torch.Generator) -> Tensor:
    """Standardised frames (count, mics, N): delayed common noise, and noise of each channel."""
    common = torch.randn(count, SAMPLES + TAU, generator=generator)
    delay = torch.randint(TAU, (count, mics), generator=generator)
    at = delay[..., None] + torch.arange(SAMPLES)
    heard = common[:, None].expand(-1, mics, -1).gather(2, at)
    return standardise(heard + 0.3 * torch.randn(heard.shape, generator=generator))


def sound(path: Path | None, count: int, mics: int, generator: torch.Generator) -> Tensor:
    """Standardised frames (count, mics, N) out of a file, or noise."""
    if path is None:
        return noise(count, mics, generator)
    audio = torch.from_numpy(read(path)[0].audio)
    if len(audio) < count or audio.shape[1] < mics or audio.shape[2] < SAMPLES:
        raise SystemExit(f"wavloc: error: {path}: frames {tuple(audio.shape)} are too few or small")
    return standardise(audio[torch.linspace(0, len(audio) - 1, count).long(), :mics, :SAMPLES])


def ngcc(checkpoint: Path | None, generator: torch.Generator) -> NGCC:
    """The network in eval mode; without a checkpoint every number in it is random."""
    if checkpoint:
        return authors.build_ngcc(weights.read(checkpoint), str(checkpoint))
    network = NGCC().eval().requires_grad_(False)
    for norm in [*network.backbone_norms, *network.head_norms]:
        for value in (norm.weight, norm.running_var):
            value.uniform_(0.5, 2.0, generator=generator)
        for value in (norm.bias, norm.running_mean):
            value.normal_(0.0, 0.2, generator=generator)
    return network


def stepper(audio: Tensor, generator: torch.Generator) -> Callable[[Tensor], None]:
    """A training step of wav2pos on these frames as a function of their features."""
    count, mics, _ = audio.shape
    network = Wav2Pos().train().to(audio.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=0.1)
    positions = torch.randn(count, mics + 1, 3, generator=generator).to(audio.device)
    signals = torch.cat([torch.zeros_like(audio[:, :1]), audio], dim=1)
    position_known, audio_known = masking.nothing_masked(count, mics, audio.device)

    def step(rows: Tensor) -> None:
        output = network(signals, positions, audio_known, position_known, rows)
        of_audio, of_place = losses(output, positions, signals, audio_known, position_known)
        optimizer.zero_grad(set_to_none=True)
        (AUDIO_WEIGHT * of_audio + of_place).backward()
        optimizer.step()

    return step


def run(network: NGCC, audio: Tensor, rounds: int, generator: torch.Generator) -> list[dict]:
    """Rows of the result for one batch of frames (B, M, N)."""
    step = stepper(audio, generator)
    kept, plain = network.all_pairs(audio, TAU), loop(network, audio, TAU)
    ways = {
        "kept": lambda: kept,
        "gcc": lambda: correlation.gcc_features(audio, TAU),
        "ngcc": lambda: network.all_pairs(audio, TAU),
        "loop": lambda: loop(network, audio, TAU),
        "training": lambda: loop_in_training_mode(network, audio, TAU),
    }
    for way in ("kept", "gcc"):  # what is allocated once
        step(ways[way]())
    state = {name: value.clone() for name, value in network.state_dict().items()}
    times = {name: {"features": [], "step": []} for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            started = time.process_time()
            rows = ways[name]()
            between = time.process_time()
            step(rows)
            times[name]["features"].append(between - started)
            times[name]["step"].append(time.process_time() - started)
            network.load_state_dict(state)  # training mode moves the statistics
    case = {"mics": audio.shape[1], "batch": audio.shape[0]}
    least = {name: {k: min(v) for k, v in of.items()} for name, of in times.items()}
    result = [
        case
        | spread(label, np.divide(times[over][part], times[under][part]))
        | {"seconds": least[over][part], "of_seconds": least[under][part]}
        for label, (part, over, under) in RATIOS.items()
    ]
    difference = float((kept - plain).abs().max())
    label = "features: largest difference, loop and NGCC-PHAT"
    result.append(case | spread(label, np.full(1, difference)))
    result.append(
        case | spread("features: largest magnitude", np.full(1, float(plain.abs().max())))
    )
    return result


def plot(rows: pd.DataFrame, stem: Path) -> None:
    """Ratios of the largest case."""
    figure, axes = canvas(1, 9)
    part = rows[(rows["mics"] == rows["mics"].max()) & (rows["batch"] == rows["batch"].max())]
    part = part[part["figure"].str.contains(" / ")]
    labels = part["figure"].str.replace(": ", "\n").str.replace(" / ", " /\n")
    bars(axes[0, 0], part, labels, "ratio of CPU times")
    save(figure, stem)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=Path, help="recordings, as localization.py reads them")
    parser.add_argument("--checkpoint", type=Path, help="published weights of NGCC-PHAT")
    parser.add_argument("--mics", type=int, nargs="+", default=[11])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2, 8])
    parser.add_argument("--rounds", type=int, default=5)
    add_output(parser)
    args = parser.parse_args()
    if min(args.mics) < 2 or min(args.batch) < 1 or args.rounds < 1:
        parser.error("expected two microphones, one frame and one round at least")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    rows = []
    try:
        network = ngcc(args.checkpoint, generator)
        for mics in args.mics:
            for batch in args.batch:
                audio = sound(args.frames, batch, mics, generator)
                rows += run(network, audio, args.rounds, generator)
    except InputError as error:
        raise SystemExit(f"wavloc: error: {error}") from None
    finish(rows, args, "features", plot)


if __name__ == "__main__":
    sys.exit(main())
