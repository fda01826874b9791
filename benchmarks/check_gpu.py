"""Checks on a GPU: deviation of the fast modes from plain float32, speed and utilization.

    python benchmarks/check_gpu.py [--device cuda] [--json OUT] [--out FOLDER]

First the peak rates of the device are measured: matrix products in each number format, and memory
copies. Then NGCC-PHAT features and a training step of wav2pos (published sizes) are run in each
format, and compiled: largest deviation from plain float32 (features: relative to the largest score;
step: of the loss), milliseconds per frame, FLOP/s of the counted products and bytes/s of the least
memory traffic, as fractions of the peak rates. Exit code 1 if a deviation exceeds its tolerance.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from features import AUDIO_WEIGHT, TAU, ngcc, noise
from measuring import add_output, bars, canvas, finish, input_errors, take_turns
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from wavloc.devices import choose_device
from wavloc.methods.learned import masking
from wavloc.methods.learned.ngcc_phat import NGCC
from wavloc.methods.learned.wav2pos import Wav2Pos, losses
from wavloc.reporting.style import save
from wavloc.simulation import image_source, rooms
from wavloc.training import precision

# Largest deviation from plain float32, relative.
FEATURES = {"float32": 1e-5, "tf32": 0.02, "bf16": 0.02, "bf16_all": 0.08}
STEP = {"float32": 1e-5, "tf32": 0.01, "bf16": 0.03, "bf16_all": 0.03}
CHUNKS, SIMULATION, COMPILED = 1e-4, 1e-3, 1e-3
ROOM, RATE, SPEED = np.array([7.0, 8.0, 2.0]), 16000, 343.0


def peak_rates(device: torch.device, size: int, rounds: int) -> dict[str, float]:
    """FLOP/s of square matrix products by format, and bytes/s of a copy (read and written)."""
    left, right = torch.randn(2, size, size, device=device)
    data = torch.empty(size * size * 4, device=device)
    copy = torch.empty_like(data)

    def product(kind: precision.Format) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with precision.autocast(device, kind.network, kind.tf32):
                return left @ right

        return run

    products = {name: product(kind) for name, kind in precision.FORMATS.items()}
    times = take_turns(products | {"copy": lambda: copy.copy_(data)}, rounds, device)
    rates = {name: 2 * size**3 / times[name].min() for name in products}
    return rates | {"copy": 2 * 4 * data.numel() / times["copy"].min()}


class Step:
    """Loss and gradient of wav2pos for frames (B, M, N), as a function of their features."""

    def __init__(self, audio: Tensor, generator: torch.Generator, compiled: bool = False):
        torch.manual_seed(0)
        self.network = Wav2Pos().to(audio.device).train()
        count, mics, _ = audio.shape
        self.audio = torch.cat([torch.zeros_like(audio[:, :1]), audio], dim=1)
        self.positions = torch.randn(count, mics + 1, 3, generator=generator).to(audio.device)
        self.known = masking.nothing_masked(count, mics, audio.device)
        self.called = torch.compile(self.network) if compiled else self.network

    def __call__(self, gcc: Tensor, kind: precision.Format) -> Tensor:
        has_position, has_audio = self.known
        device = gcc.device
        with precision.autocast(device, kind.network, kind.tf32):
            output = self.called(self.audio, self.positions, has_audio, has_position, gcc)
            audio_loss, position_loss = losses(
                output, self.positions, self.audio, has_audio, has_position
            )
            loss = AUDIO_WEIGHT * audio_loss + position_loss
        with precision.autocast(device, None, kind.tf32):
            loss.backward()
        self.network.zero_grad(set_to_none=True)
        return loss.detach()


def flops(work: Callable[[], object]) -> int:
    """Floating-point operations of matrix products and convolutions, without FFTs."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def least_traffic(batch: int, mics: int, channels: int, samples: int) -> int:
    """Least memory traffic of the features in bytes.

    The spectra of all channels are written once and read for every pair; the correlation functions
    are written and read once.
    """
    spectra = 8 * batch * channels * (samples + 1)
    pairs = mics * (mics - 1) // 2
    return spectra * (mics + 2 * pairs) + 2 * 4 * batch * pairs * channels * (2 * TAU + 1)


def run(args: argparse.Namespace, device: torch.device) -> list[dict]:
    """Rows of the result."""
    generator = torch.Generator().manual_seed(0)
    network = ngcc(None, generator).to(device)
    audio = noise(args.batch, args.mics, generator).to(device)
    peaks = peak_rates(device, args.product, args.rounds)
    rows = [
        {"part": "peak", "mode": name, "achieved": rate, "unit": unit}
        for name, rate in peaks.items()
        for unit in ["B/s" if name == "copy" else "FLOP/s"]
    ]
    feature_rows, gcc = check_features(network, audio, peaks, args.rounds)
    rows += feature_rows + check_step(audio, gcc, generator, peaks, args)
    deviation = rir_deviation(device)
    rows.append({"part": "simulation", "mode": "float32"} | verdict(deviation, SIMULATION))
    return rows


def check_features(
    network: NGCC, audio: Tensor, peaks: dict[str, float], rounds: int
) -> tuple[list[dict], Tensor]:
    """Rows of NGCC-PHAT in each format, and its float32 features (B, P, lags) of (B, M, N)."""
    batch, mics, samples = audio.shape

    def features(name: str) -> Tensor:
        kind = precision.FORMATS[name]
        with precision.autocast(audio.device, kind.features, kind.tf32):
            return network.all_pairs(audio, TAU).float()

    plain = features("float32")
    scale = float(plain.abs().max())
    counted = flops(lambda: features("float32"))
    traffic = least_traffic(batch, mics, network.sizes["channels"], samples)
    functions = {name: functools.partial(features, name) for name in FEATURES}
    times = take_turns(functions, rounds, audio.device)
    rows = []
    for name, tolerance in FEATURES.items():
        kind = precision.FORMATS[name]
        peak = peaks["bf16" if kind.features else "tf32" if kind.tf32 else "float32"]
        row = speed("features", name, times[name], batch, counted, peak)
        deviation = float((features(name) - plain).abs().max()) / scale
        rate = traffic / times[name].min()
        rows.append(row | verdict(deviation, tolerance) | {"of_bandwidth": rate / peaks["copy"]})
    in_chunks = network.all_pairs(audio, TAU, chunk=3)
    deviation = float((in_chunks - plain).abs().max()) / scale
    rows.append({"part": "features", "mode": "small chunks"} | verdict(deviation, CHUNKS))
    return rows, plain


def check_step(
    audio: Tensor,
    gcc: Tensor,
    generator: torch.Generator,
    peaks: dict[str, float],
    args: argparse.Namespace,
) -> list[dict]:
    """Rows of the training step in each format, and compiled."""
    step = Step(audio, generator)
    expected = float(step(gcc, precision.FORMATS["float32"]))
    counted = flops(lambda: step(gcc, precision.FORMATS["float32"]))
    functions = {name: functools.partial(step, gcc, precision.FORMATS[name]) for name in STEP}
    tolerances = dict(STEP)
    if args.compile:
        compiled = Step(audio, torch.Generator().manual_seed(1), compiled=True)
        compiled.positions = step.positions
        functions["compiled"] = functools.partial(compiled, gcc, precision.FORMATS["float32"])
        tolerances["compiled"] = COMPILED
    times = take_turns(functions, args.rounds, audio.device)
    rows = []
    for name, tolerance in tolerances.items():
        kind = precision.FORMATS.get(name, precision.FORMATS["float32"])
        peak = peaks["bf16" if kind.network else "tf32" if kind.tf32 else "float32"]
        row = speed("step", name, times[name], len(audio), counted, peak)
        deviation = abs(float(functions[name]()) - expected) / abs(expected)
        rows.append(row | verdict(deviation, tolerance))
    return rows


def rir_deviation(device: torch.device) -> float:
    """Relative difference between RIRs of this device and of the processor.

    Runs after the other checks, whose number formats must not affect the simulation.
    """
    rng = np.random.default_rng(0)
    mics, source = rng.uniform(0.3, ROOM - 0.3, (1, 6, 3)), rng.uniform(0.3, ROOM - 0.3, (1, 3))
    absorption, order = rooms.sabine(ROOM, np.array([0.2]), SPEED)

    def responses(target: torch.device) -> Tensor:
        geometry = (torch.as_tensor(value).to(target) for value in (mics, source, absorption))
        orders = torch.as_tensor(np.minimum(order, 12)).to(target)
        return image_source.impulse_responses(ROOM, *geometry, orders, RATE, SPEED).cpu()

    actual, expected = responses(device), responses(torch.device("cpu"))
    return float((actual - expected).norm() / expected.norm())


def speed(part: str, mode: str, times: np.ndarray, batch: int, counted: int, peak: float) -> dict:
    """Row of one mode: least time (times: seconds, (rounds,)), and FLOP/s against the peak rate."""
    achieved = counted / times.min()
    return {
        "part": part,
        "mode": mode,
        "ms_per_frame": 1000 * times.min() / batch,
        "gflop_per_frame": counted / batch / 1e9,
        "achieved": achieved,
        "unit": "FLOP/s",
        "of_peak": achieved / peak,
    }


def verdict(deviation: float, tolerance: float) -> dict:
    """Columns of a comparison with its tolerance."""
    return {"deviation": deviation, "tolerance": tolerance, "passed": deviation <= tolerance}


def plot(rows: pd.DataFrame, stem: Path) -> None:
    """Milliseconds per frame of features and step."""
    figure, (axes,) = canvas(2, 4)
    for axis, name in zip(axes, ("features", "step"), strict=True):
        part = rows[(rows["part"] == name) & rows["ms_per_frame"].notna()]
        part = part.assign(**dict.fromkeys(("min", "median", "max"), part["ms_per_frame"]))
        bars(axis, part, part["mode"], f"ms per frame: {name}")
    save(figure, stem)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--mics", type=int, default=11)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--product", type=int, default=8192, help="size of the matrix product")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    add_output(parser)
    args = parser.parse_args()
    with input_errors():
        rows = run(args, choose_device(args.device))
    finish(rows, args, "gpu", plot)
    failed = [f"{row['part']} {row['mode']}" for row in rows if row.get("passed") is False]
    if failed:
        print(f"beyond tolerance: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
