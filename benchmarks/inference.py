"""Cost of a prediction: milliseconds per frame of every method, its growth and peak memory.

    python benchmarks/inference.py [--mics 5 8 16 32 64] [--device cuda] [--json OUT] [--out FOLDER]

White noise is delayed exactly to microphones at random positions in a room of 7 x 8 x 2.5 m.
Networks have the published sizes and random weights. All sizes of a method run in turn; growth is
the slope of log time over log size: microphones, frames, and samples for methods that take shorter
frames. Peak memory is that of a new process. CPU seconds of one thread, or wall time on a GPU.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy

import numpy as np
import pandas as pd
import torch
from measuring import (
    add_output,
    canvas,
    finish,
    input_errors,
    label_sizes,
    peak_mb,
    slopes,
    summary,
    take_turns,
)

from wavloc.devices import choose_device
from wavloc.frames import FRAME_SAMPLES, Frames
from wavloc.methods import batching, registry
from wavloc.methods.base import Method
from wavloc.methods.learned import multilat_ngcc
from wavloc.methods.learned.base import LearnedMethod
from wavloc.methods.learned.ngcc_phat import NGCC
from wavloc.reporting.style import save
from wavloc.setups import Setup

RATE, SPEED = 16000, 343.0
ROOM = np.array([7.0, 8.0, 2.5])
# Method: options that differ from its entry. DI-NN has a network per number of microphones.
# Variants with the network of another method are left out.
METHODS: dict[str, dict[str, Any]] = {
    "steered": {},
    "steered_track": {},
    "multilat": {},
    "multilat_plus": {},
    "linear_ls": {},
    "nlls": {},
    "tdoa_grid": {},
    "srp_phat": {},
    "srp_multi_source": {},
    "dinn": {},
    "gnn": {},
    "multilat_ngcc": {},
    "multilat_plus_ngcc": {},
    "wav2pos": {},
    "fault_tolerant": {"encoder": "logmel"},  # the other encoders need downloaded weights
    "multi_source": {"encoder": "logmel"},
    "center": {},
    "oracle": {},
}


def scene(count: int, mics: int, samples: int = FRAME_SAMPLES) -> Frames:
    """Anechoic frames of white noise, delayed and attenuated by distance at every microphone."""
    rng = np.random.default_rng(mics)
    array, source = rng.uniform(0, ROOM, (mics, 3)), rng.uniform(0, ROOM, (count, 3))
    distance = np.linalg.norm(source[:, None] - array, axis=-1)
    size = 2 * samples
    dry = rng.standard_normal((count, size))
    phase = np.exp(-2j * np.pi * np.fft.rfftfreq(size) * (distance * RATE / SPEED)[..., None])
    at_mics = np.fft.irfft(np.fft.rfft(dry)[:, None] * phase, size) / distance[..., None]
    kept = slice(samples // 2, samples // 2 + samples)
    return Frames(
        audio=at_mics[..., kept].astype(np.float32),
        source_audio=dry[:, kept].astype(np.float32),
        mic_positions=array,
        source_position=source,
        table=pd.DataFrame({"frame": np.arange(count), "time_s": 0.064 * np.arange(count)}),
        sample_rate=RATE,
    )


def create(name: str, frames: Frames, device: str, batch: str) -> Method:
    """The method; a learned one has random weights."""
    method = registry.create(registry.named(name).changed({"options": METHODS[name]}))
    if not isinstance(method, LearnedMethod | multilat_ngcc.Method):
        return method
    model = method.model if isinstance(method, multilat_ngcc.Method) else method
    if model.pretrained:
        model.correlations.ngcc = NGCC().eval().requires_grad_(False)
    model.prepare(frames)
    method.to(choose_device(device))
    batching.choose(method, frames, Setup(), batch)
    return method


def predict(name: str, count: int, mics: int, device: str, batch: str) -> None:
    """The work of a process whose memory is measured."""
    frames = scene(count, mics)
    create(name, frames, device, batch).predict(frames)


def cost(name: str, cases: dict[int, Frames], args: argparse.Namespace) -> dict[int, np.ndarray]:
    """Seconds (rounds,) of a method for each size; cases: size -> frames."""
    functions = {}
    for size, frames in cases.items():
        method = create(name, frames, args.device, args.batch)
        functions[size] = functools.partial(method.predict, frames)
    return take_turns(functions, args.rounds, choose_device(args.device))


def run(name: str, args: argparse.Namespace) -> list[dict]:
    """Rows of one method."""
    rows = []
    sweeps = {"microphones": {mics: scene(args.frames, mics) for mics in args.mics}}
    if not METHODS[name] and not registry.named(name).learned:
        sweeps["samples"] = {size: scene(args.frames, args.mics[0], size) for size in args.samples}
    sweeps["frames"] = {count: scene(count, args.mics[0]) for count in args.counts}
    for quantity, cases in sweeps.items():
        times = cost(name, cases, args)
        for size, seconds in times.items():
            case = {"method": name, "over": quantity, "size": size}
            rows.append(case | summary("ms per frame", 1000 * seconds / len(cases[size])))
        if len(times) > 1:
            rows.append({"method": name, "over": quantity} | summary("slope", slopes(times)))
    for mics in sorted({min(args.mics), max(args.mics)} if args.memory else ()):
        used = peak_mb(predict, name, args.frames, mics, args.device, args.batch)
        case = {"method": name, "over": "microphones", "size": mics}
        rows.append(case | summary("peak memory, MB", np.array([used])))
    return rows


def plot(rows: pd.DataFrame, stem: Path) -> None:
    """Milliseconds per frame over microphones, and memory for the largest number."""
    figure, (axes,) = canvas(2, 5)
    part = rows[rows["over"] == "microphones"]
    for name, points in part[part["metric"] == "ms per frame"].groupby("method", sort=False):
        slope = part[(part["method"] == name) & (part["metric"] == "slope")]["median"]
        label = f"{name}, slope {slope.item():.1f}" if len(slope) else name
        axes[0].loglog(points["size"], points["median"], "o-", label=label)
    sizes = sorted(part["size"].dropna().unique().astype(int))
    label_sizes(axes[0], sizes, "microphones", "ms per frame")
    axes[0].legend(frameon=False, fontsize=6)
    memory = part[(part["metric"] == "peak memory, MB") & (part["size"] == max(sizes))]
    axes[1].barh(memory["method"], memory["median"], color="#0072B2")
    axes[1].set(xlabel=f"peak memory, MB ({max(sizes)} microphones)")
    save(figure, stem)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--mics", type=int, nargs="+", default=[5, 8, 16, 32, 64])
    parser.add_argument("--samples", type=int, nargs="+", default=[640, 1024, 1536, 2048])
    parser.add_argument("--counts", type=int, nargs="+", default=[8, 16, 32], help="of frames")
    parser.add_argument("--frames", type=int, default=4, help="frames of the other measurements")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="only time")
    parser.add_argument("--batch", default="auto", help="batch size of learned methods (auto)")
    add_output(parser)
    args = parser.parse_args()
    if min(args.mics) < 5 or min(args.frames, args.rounds, *args.counts, *args.samples) < 1:
        parser.error("expected five microphones, one frame and one round at least")
    torch.set_num_threads(1)
    with input_errors():
        rows = [row for name in args.methods for row in run(name, args)]
    finish(rows, args, "inference", plot)


if __name__ == "__main__":
    sys.exit(main())
