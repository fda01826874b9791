"""Cost of the pair features, and of a training step of wav2pos with them; published sizes.

    python benchmarks/features.py [--frames FILE.npz] [--checkpoint FILE] [--json OUT]
        [--out FOLDER]

NGCC-PHAT features of all pairs at once (`NGCC.all_pairs`) are compared with the loop over pairs of
the wav2pos paper, with plain GCC-PHAT and with stored features. Each of them feeds the same
training step (setup 1a). All run in turn on one thread; times are CPU seconds, and a ratio is of
the times of one round. Without files, audio is noise and weights are random; then the logits are
small, and the difference between the two forms of NGCC-PHAT means little.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy

import pandas as pd
import torch
from localization import read
from measuring import add_output, bars, canvas, finish, input_errors, summary, take_turns
from torch import Tensor
from torch.nn import functional

from wavloc import weights
from wavloc.checkpoints import authors
from wavloc.features import gcc_torch
from wavloc.methods.learned import masking
from wavloc.methods.learned.layers import standardise
from wavloc.methods.learned.ngcc_phat import NGCC, SLOPE
from wavloc.methods.learned.wav2pos import Wav2Pos, losses
from wavloc.reporting.style import save

SAMPLES, TAU = 2048, 314
AUDIO_WEIGHT = 0.1
# Metric: features alone or the whole step, numerator, denominator.
RATIOS = {
    "features: loop / NGCC-PHAT": ("features", "loop", "ngcc"),
    "features: GCC-PHAT / NGCC-PHAT": ("features", "gcc", "ngcc"),
    "step: NGCC-PHAT / stored": ("step", "ngcc", "stored"),
    "step: loop / stored": ("step", "loop", "stored"),
    "step: loop in training mode / stored": ("step", "training", "stored"),
    "step: GCC-PHAT / stored": ("step", "gcc", "stored"),
    "step: loop / NGCC-PHAT": ("step", "loop", "ngcc"),
    "step: loop in training mode / NGCC-PHAT": ("step", "training", "ngcc"),
}


@torch.no_grad()
def loop(network: NGCC, audio: Tensor, tau: int) -> Tensor:
    """NGCC-PHAT features, one pair after the other: audio (B, M, N) -> (B, M (M - 1), lags).

    Batch normalization and dropout follow the mode of the network.
    """
    batch, count, samples = audio.shape
    hidden = audio.reshape(batch * count, 1, samples)
    convs = [(network.bank.filters()[:, None], None)]
    convs += [(conv.weight, conv.bias) for conv in network.backbone]
    for layer, (weight, bias) in enumerate(convs):
        reach = weight.shape[-1] // 2
        hidden = functional.pad(hidden, (reach, reach), mode="circular")
        hidden = network.backbone_norms[layer](functional.conv1d(hidden, weight, bias))
        if layer < len(convs) - 1:
            hidden = functional.leaky_relu(hidden, SLOPE)
    hidden = hidden.reshape(batch, count, -1, samples)

    size, correlations = 2 * samples, []
    for i in range(count):
        for j in range(i + 1, count):
            first = torch.fft.rfft(hidden[:, i], n=size)
            second = torch.fft.rfft(hidden[:, j], n=size)
            cross = first * second.conj()
            gcc = torch.fft.irfft(cross / (cross.abs() + gcc_torch.PHAT_EPS), n=size)
            gcc = torch.cat([gcc[..., -tau:], gcc[..., : tau + 1]], dim=-1)
            correlations += [gcc, gcc.flip(-1)]
    hidden = torch.stack(correlations, dim=1).flatten(0, 1)  # (B M (M - 1), channels, lags)

    for conv, norm in zip(network.head, network.head_norms, strict=True):
        hidden = network.dropout(functional.leaky_relu(norm(conv(hidden)), SLOPE))
    return network.final(hidden).reshape(batch, len(correlations), -1)


def loop_in_training_mode(network: NGCC, audio: Tensor, tau: int) -> Tensor:
    """`loop` with batch statistics and dropout, as the public code does in a training step."""
    state = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    try:
        return loop(network, audio, tau)
    finally:
        network.eval()
        network.load_state_dict(state)  # training mode changes the running statistics


def noise(count: int, mics: int, generator: torch.Generator) -> Tensor:
    """Standardised frames (count, mics, N): one delayed noise signal, plus noise per channel."""
    source = torch.randn(count, SAMPLES + TAU, generator=generator)
    delay = torch.randint(TAU, (count, mics), generator=generator)
    index = delay[..., None] + torch.arange(SAMPLES)
    delayed = source[:, None].expand(-1, mics, -1).gather(2, index)
    return standardise(delayed + 0.3 * torch.randn(delayed.shape, generator=generator))


def sound(path: Path | None, count: int, mics: int, generator: torch.Generator) -> Tensor:
    """Standardised frames (count, mics, N) from a file, or noise."""
    if path is None:
        return noise(count, mics, generator)
    audio = torch.from_numpy(read(path)[0].audio)
    if len(audio) < count or audio.shape[1] < mics or audio.shape[2] < SAMPLES:
        raise SystemExit(f"wavloc: error: {path}: frames {tuple(audio.shape)} are too few or small")
    return standardise(audio[torch.linspace(0, len(audio) - 1, count).long(), :mics, :SAMPLES])


def ngcc(checkpoint: Path | None, generator: torch.Generator) -> NGCC:
    """The network in eval mode; without a checkpoint all weights and statistics are random."""
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
    """A training step of wav2pos for frames (B, M, N), as a function of their features."""
    count, mics, _ = audio.shape
    network = Wav2Pos().train().to(audio.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=0.1)
    positions = torch.randn(count, mics + 1, 3, generator=generator).to(audio.device)
    signals = torch.cat([torch.zeros_like(audio[:, :1]), audio], dim=1)
    has_position, has_audio = masking.nothing_masked(count, mics, audio.device)

    def step(gcc: Tensor) -> None:
        output = network(signals, positions, has_audio, has_position, gcc)
        audio_loss, position_loss = losses(output, positions, signals, has_audio, has_position)
        optimizer.zero_grad(set_to_none=True)
        (AUDIO_WEIGHT * audio_loss + position_loss).backward()
        optimizer.step()

    return step


def run(network: NGCC, audio: Tensor, rounds: int, generator: torch.Generator) -> list[dict]:
    """Rows of the result for one batch of frames (B, M, N)."""
    step = stepper(audio, generator)
    stored, looped = network.all_pairs(audio, TAU), loop(network, audio, TAU)
    features = {
        "stored": lambda: stored,
        "gcc": lambda: gcc_torch.gcc_features(audio, TAU),
        "ngcc": lambda: network.all_pairs(audio, TAU),
        "loop": lambda: loop(network, audio, TAU),
        "training": lambda: loop_in_training_mode(network, audio, TAU),
    }
    functions = {("features", name): function for name, function in features.items()}
    functions |= {
        ("step", name): lambda function=function: step(function())
        for name, function in features.items()
    }
    times = take_turns(functions, rounds)
    case = {"mics": audio.shape[1], "batch": audio.shape[0]}
    rows = []
    for metric, (part, over, under) in RATIOS.items():
        numerator, denominator = times[part, over], times[part, under]
        least = {"seconds": numerator.min(), "of_seconds": denominator.min()}
        rows.append(case | summary(metric, numerator / denominator) | least)
    difference = (stored - looped).abs().max().reshape(1).numpy()
    rows.append(case | summary("features: largest difference, loop and NGCC-PHAT", difference))
    largest = looped.abs().max().reshape(1).numpy()
    return [*rows, case | summary("features: largest magnitude", largest)]


def plot(rows: pd.DataFrame, stem: Path) -> None:
    """Ratios of the largest case."""
    figure, axes = canvas(1, 9)
    part = rows[(rows["mics"] == rows["mics"].max()) & (rows["batch"] == rows["batch"].max())]
    part = part[part["metric"].str.contains(" / ")]
    labels = part["metric"].str.replace(": ", "\n").str.replace(" / ", " /\n")
    bars(axes[0, 0], part, labels, "ratio of CPU times")
    save(figure, stem)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=Path, help="recordings, as localization.py reads them")
    parser.add_argument("--checkpoint", type=Path, help="the authors' weights of NGCC-PHAT")
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
    with input_errors():
        network = ngcc(args.checkpoint, generator)
        for mics in args.mics:
            for batch in args.batch:
                audio = sound(args.frames, batch, mics, generator)
                rows += run(network, audio, args.rounds, generator)
    finish(rows, args, "features", plot)


if __name__ == "__main__":
    sys.exit(main())
