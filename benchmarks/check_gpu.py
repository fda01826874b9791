"""Whether the fast paths agree with the plain one on this device, and how much of it they use.

    python benchmarks/check_gpu.py [--device cuda] [--json OUT] [--out FOLDER]

First the ceilings: matrix products in each format and copies of memory. Then NGCC-PHAT features and
a training step of wav2pos (published sizes) in each format, compiled too: their largest deviation
from plain float32 (features: of the largest score; a step: of its loss), milliseconds per frame,
FLOP/s of the counted products and bytes/s of what must at least be moved, as shares of the
ceilings. Ends with exit code 1 where a deviation is beyond its tolerance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from features import AUDIO_WEIGHT, TAU, ngcc, noise
from measuring import add_output, bars, canvas, finish, take_turns
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from wavloc.devices import choose_device
from wavloc.errors import InputError
from wavloc.methods.learned import masking
from wavloc.methods.learned.wav2pos import Wav2Pos, losses
from wavloc.reporting.style import save
from wavloc.simulation import image_source, rooms
from wavloc.training import precision

# Largest deviation from plain float32, relative.
FEATURES = {"float32": 1e-5, "tf32": 0.02, "bf16": 0.02, "bf16_all": 0.08}
STEP = {"float32": 1e-5, "tf32": 0.01, "bf16": 0.03, "bf16_all": 0.03}
CHUNKS, SIMULATION, COMPILED = 1e-4, 1e-3, 1e-3
ROOM, RATE, SPEED = np.array([7.0, 8.0, 2.0]), 16000, 343.0


def ceilings(device: torch.device, size: int, rounds: int) -> dict[str, float]:
    """FLOP/s of square products by format, and bytes/s of a copy (read and written)."""
    left, right = torch.randn(2, size, size, device=device)
    data = torch.empty(size * size * 4, device=device)
    other = torch.empty_like(data)

    def product(kind: precision.Format) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with precision.autocast(device, kind.network, kind.tf32):
                return left @ right

        return run

    ways = {name: product(kind) for name, kind in precision.FORMATS.items()}
    times = take_turns(ways | {"copy": lambda: other.copy_(data)}, rounds, device)
    found = {name: 2 * size**3 / times[name].min() for name in ways}
    return found | {"copy": 2 * 4 * data.numel() / times["copy"].min()}


class Step:
    """Loss and gradient of wav2pos on these frames, given their features."""

    def __init__(self, audio: Tensor, generator: torch.Generator, compiled: bool = False):
        torch.manual_seed(0)
        self.network = Wav2Pos().to(audio.device).train()
        count, mics, _ = audio.shape
        self.audio = torch.cat([torch.zeros_like(audio[:, :1]), audio], dim=1)
        self.places = torch.randn(count, mics + 1, 3, generator=generator).to(audio.device)
        self.known = masking.nothing_masked(count, mics, audio.device)
        self.called = torch.compile(self.network) if compiled else self.network

    def __call__(self, rows: Tensor, kind: precision.Format) -> Tensor:
        place_known, sound_known = self.known
        device = rows.device
        with precision.autocast(device, kind.network, kind.tf32):
            output = self.called(self.audio, self.places, sound_known, place_known, rows)
            sound, place = losses(output, self.places, self.audio, sound_known, place_known)
            loss = AUDIO_WEIGHT * sound + place
        with precision.autocast(device, None, kind.tf32):
            loss.backward()
        self.network.zero_grad(set_to_none=True)
        return loss.detach()


def flops(work: Callable[[], object]) -> int:
    """Of products and convolutions; Fourier transforms are not counted."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def moved(batch: int, mics: int, channels: int, samples: int) -> int:
    """Bytes that the features move at least: spectra of all channels written once, read by every
    pair, and the rows of correlation written and read once.
    """
    spectra = 8 * batch * channels * (samples + 1)
    pairs = mics * (mics - 1) // 2
    return spectra * (mics + 2 * pairs) + 2 * 4 * batch * pairs * channels * (2 * TAU + 1)


def run(args: argparse.Namespace, device: torch.device) -> list[dict]:
    """Rows of the result."""
    generator = torch.Generator().manual_seed(0)
    network = ngcc(None, generator).to(device)
    audio = noise(args.batch, args.mics, generator).to(device)
    top = ceilings(device, args.product, args.rounds)
    rows = [
        {"what": "ceiling", "way": name, "achieved": value, "unit": unit}
        for name, value in top.items()
        for unit in ["B/s" if name == "copy" else "FLOP/s"]
    ]

    def features(name: str) -> Tensor:
        kind = precision.FORMATS[name]
        with precision.autocast(device, kind.features, kind.tf32):
            return network.all_pairs(audio, TAU).float()

    plain = features("float32")
    scale = float(plain.abs().max())
    counted = flops(lambda: features("float32"))
    bytes_moved = moved(args.batch, args.mics, network.sizes["channels"], audio.shape[-1])
    times = take_turns({n: lambda n=n: features(n) for n in FEATURES}, args.rounds, device)
    for name, tolerance in FEATURES.items():
        kind = precision.FORMATS[name]
        best = top["bf16" if kind.features else "tf32" if kind.tf32 else "float32"]
        row = figures("features", name, times[name], args.batch, counted, best)
        deviation = float((features(name) - plain).abs().max()) / scale
        rate = bytes_moved / times[name].min()
        rows.append(row | judged(deviation, tolerance) | {"of_bandwidth": rate / top["copy"]})
    whole = network.all_pairs(audio, TAU, chunk=3)
    deviation = float((whole - plain).abs().max()) / scale
    rows.append({"what": "features", "way": "small chunks"} | judged(deviation, CHUNKS))

    step = Step(audio, generator)
    expected = float(step(plain, precision.FORMATS["float32"]))
    counted = flops(lambda: step(plain, precision.FORMATS["float32"]))
    ways = {n: lambda n=n: step(plain, precision.FORMATS[n]) for n in STEP}
    tolerances = dict(STEP)
    if args.compile:
        compiled = Step(audio, torch.Generator().manual_seed(1), compiled=True)
        compiled.places = step.places
        ways["compiled"] = lambda: compiled(plain, precision.FORMATS["float32"])
        tolerances["compiled"] = COMPILED
    times = take_turns(ways, args.rounds, device)
    for name, tolerance in tolerances.items():
        kind = precision.FORMATS.get(name, precision.FORMATS["float32"])
        best = top["bf16" if kind.network else "tf32" if kind.tf32 else "float32"]
        row = figures("step", name, times[name], args.batch, counted, best)
        deviation = abs(float(ways[name]()) - expected) / abs(expected)
        rows.append(row | judged(deviation, tolerance))
    rows.append(
        {"what": "simulation", "way": "full precision"} | judged(simulated(device), SIMULATION)
    )
    return rows


def simulated(device: torch.device) -> float:
    """Relative difference of room responses of this device, as a training makes them after steps in
    every format, and of the processor.
    """
    rng = np.random.default_rng(0)
    mics, source = rng.uniform(0.3, ROOM - 0.3, (1, 6, 3)), rng.uniform(0.3, ROOM - 0.3, (1, 3))
    absorption, order = rooms.sabine(ROOM, np.array([0.2]), SPEED)

    def responses(place: torch.device) -> Tensor:
        given = (torch.as_tensor(value).to(place) for value in (mics, source, absorption))
        orders = torch.as_tensor(np.minimum(order, 12)).to(place)
        return image_source.impulse_responses(ROOM, *given, orders, RATE, SPEED).cpu()

    there, here = responses(device), responses(torch.device("cpu"))
    return float((there - here).norm() / here.norm())


def figures(what: str, way: str, times: np.ndarray, batch: int, counted: int, best: float) -> dict:
    """Row of one way: the least time, and FLOP/s beside the ceiling of its format."""
    achieved = counted / times.min()
    return {
        "what": what,
        "way": way,
        "ms_per_frame": 1000 * times.min() / batch,
        "gflop_per_frame": counted / batch / 1e9,
        "achieved": achieved,
        "unit": "FLOP/s",
        "of_ceiling": achieved / best,
    }


def judged(deviation: float, tolerance: float) -> dict:
    return {"deviation": deviation, "tolerance": tolerance, "good": deviation <= tolerance}


def plot(rows: pd.DataFrame, stem: Path) -> None:
    """Milliseconds per frame of features and step."""
    figure, (axes,) = canvas(2, 4)
    for axis, what in zip(axes, ("features", "step"), strict=True):
        part = rows[(rows["what"] == what) & rows["ms_per_frame"].notna()]
        part = part.assign(**{name: part["ms_per_frame"] for name in ("min", "median", "max")})
        bars(axis, part, part["way"], f"ms per frame: {what}")
    save(figure, stem)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--mics", type=int, default=11)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--product", type=int, default=8192, help="size of the ceiling's product")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    add_output(parser)
    args = parser.parse_args()
    try:
        rows = run(args, choose_device(args.device))
    except InputError as error:
        raise SystemExit(f"wavloc: error: {error}") from None
    finish(rows, args, "gpu", plot)
    beyond = [f"{row['what']} {row['way']}" for row in rows if row.get("good") is False]
    if beyond:
        print(f"beyond tolerance: {', '.join(beyond)}", file=sys.stderr)
    return int(bool(beyond))


if __name__ == "__main__":
    sys.exit(main())
