"""Cost of a simulated frame: the phase grid against pyroomacoustics, and how it grows.

    python benchmarks/simulation.py [--rounds N] [--json OUT] [--out FOLDER]

Both engines render the same frames (2,048 samples and the margins, white noise, 7 x 8 x 2 m) with
the same image sources, on one thread and in turn. Times are CPU seconds per frame; a ratio is of
the times of one round. Growth is the slope of log time over log size. Peak memory is that of a new
process that renders the frames. --out writes simulation.csv and simulation.png.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy

import numpy as np
import pandas as pd
import torch
from measuring import (
    add_output,
    bars,
    canvas,
    finish,
    label_sizes,
    peak_mb,
    slopes,
    summary,
    take_turns,
)

from wavloc.datasets.base import Scenes
from wavloc.geometry import LUVIRA_MICS
from wavloc.reporting.style import save
from wavloc.simulation import image_source, render, rooms

RATE, SPEED = 16000, 343.0
ROOM, SHIFT = np.array([7.0, 8.0, 2.0]), (3.60, 4.53, 0.0)
ENGINES = ("pyroomacoustics", "phase_grid")
# T60 (s), cap on the image order (None: Sabine's), frames of one measurement.
CASES = ((0.1, None, 16), (0.2, 12, 16), (0.2, None, 4), (0.3, None, 2), (0.4, None, 2))
ORDERS, MICS, FRAMES = (9, 18, 36, 72), (4, 8, 16, 32, 64), (4, 8, 16, 32)
MEMORY_FRAMES = (1, 16, 64)


def scenes(frames: int, t60_s: float, cap: int | None = None, mics: int = 11) -> Scenes:
    """Frames with random source positions; LuViRA's microphones if 11, else random ones."""
    rng = np.random.default_rng(mics)
    array = LUVIRA_MICS + SHIFT if mics == len(LUVIRA_MICS) else rng.uniform(0, ROOM, (mics, 3))
    dry = rng.standard_normal(4 * RATE).astype(np.float32)
    return Scenes(
        room=ROOM,
        mics=array,
        source=rng.uniform(0.3, ROOM - 0.3, (frames, 3)),
        dry=dry,
        start=rng.integers(2 * RATE, 3 * RATE, frames),
        dry_begin=np.zeros(frames, int),
        dry_end=np.full(frames, len(dry)),
        t60_s=np.full(frames, t60_s),
        snr_db=np.full(frames, np.inf),
        table=pd.DataFrame({"track": ["noise"] * frames}),
        samples=2048 + 2 * 800,
        sample_rate=RATE,
        max_order=cap,
    )


def rounds_of(cases: dict[object, tuple[Scenes, str]], rounds: int) -> dict[object, np.ndarray]:
    """CPU seconds per frame (rounds,) of each case, which is scenes and an engine."""
    functions = {name: functools.partial(render_all, *case) for name, case in cases.items()}
    times = take_turns(functions, rounds)
    return {name: times[name] / len(made) for name, (made, _) in cases.items()}


def render_all(made: Scenes, engine: str) -> None:
    """Render all frames."""
    render.render_frames(made, range(len(made)), engine)


def comparison(rounds: int) -> list[dict]:
    """Both engines at several T60."""
    rows = []
    for t60_s, cap, frames in CASES:
        made = scenes(frames, t60_s, cap)
        absorption, order = map(float, rooms.sabine(ROOM, t60_s, SPEED))
        order = int(order) if cap is None else cap
        times = rounds_of({engine: (made, engine) for engine in ENGINES}, rounds)
        ratio = times["pyroomacoustics"] / times["phase_grid"]
        case = f"T60 {t60_s:g} s, order {order}, 11 microphones"
        cost = {f"ms_{engine}": 1000 * np.median(times[engine]) for engine in ENGINES}
        rows.append({"case": case} | summary("ratio of times", ratio) | cost)
        error = np.full(1, response_error(made, absorption, order))
        rows.append({"case": case} | summary("relative error of responses", error))
    return rows


def response_error(made: Scenes, absorption: float, order: int) -> float:
    """Relative norm of the difference between the RIRs of both engines for one frame."""
    geometry = made.mics[None], made.source[:1], np.array([absorption])
    expected = rooms.impulse_responses(ROOM, *geometry, order, RATE, SPEED)[0]
    tensors = *map(torch.from_numpy, geometry), torch.tensor([order])
    error = image_source.impulse_responses(ROOM, *tensors, RATE, SPEED)[0].numpy()
    error = np.pad(error, [(0, 0), (0, max(0, expected.shape[1] - error.shape[1]))])
    error[:, : expected.shape[1]] -= expected
    return float(np.linalg.norm(error) / np.linalg.norm(expected))


def growth(rounds: int) -> list[dict]:
    """Time over image order, microphones and frames, with slopes."""
    sweeps = {
        "order": {size: scenes(1, 0.41, size) for size in ORDERS},
        "microphones": {size: scenes(1, 0.2, mics=size) for size in MICS},
        "frames": {size: scenes(size, 0.2) for size in FRAMES},
    }
    rows = []
    for quantity, made in sweeps.items():
        per_frame = rounds_of({size: (part, "phase_grid") for size, part in made.items()}, rounds)
        times = {size: 1000 * len(made[size]) * per_frame[size] for size in made}
        for size in times:
            rows.append({"case": f"phase_grid, {quantity} {size}"} | summary("ms", times[size]))
        rows.append({"case": f"phase_grid, {quantity}"} | summary("slope", slopes(times)))
    return rows


def work(frames: int) -> None:
    """Render frames with T60 0.4 s."""
    render_all(scenes(frames, 0.4), "phase_grid")


def memory() -> list[dict]:
    """Peak memory for several numbers of frames."""
    rows = []
    for frames in MEMORY_FRAMES:
        used = np.array([peak_mb(work, frames)])
        case = f"phase_grid, T60 0.4 s, {frames} frames of 11 microphones"
        rows.append({"case": case} | summary("peak memory, MB", used))
    return rows


def plot(rows: pd.DataFrame, stem: Path) -> None:
    """Ratios by T60, and times over sizes."""
    figure, (axes,) = canvas(4)
    ratios = rows[rows["metric"] == "ratio of times"]
    labels = ratios["case"].str.replace(", 11 microphones", "").str.replace(", ", "\n")
    bars(axes[0], ratios, labels, "pyroomacoustics / phase grid, times")
    axes[0].axhline(1, color="#888888")
    for axis, quantity in zip(axes[1:], ("order", "microphones", "frames"), strict=True):
        name = f"phase_grid, {quantity}"
        part = rows[rows["case"].str.startswith(name + " ") & (rows["metric"] == "ms")]
        sizes = part["case"].str.rpartition(" ")[2].astype(int)
        slope = rows.loc[rows["case"] == name, "median"].item()
        axis.loglog(sizes, part["median"], "o-", color="#0072B2", label=f"slope {slope:.2f}")
        label_sizes(axis, sizes, quantity, "CPU ms")
        axis.legend(frameon=False)
    save(figure, stem)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    add_output(parser)
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("expected one round at least")
    torch.set_num_threads(1)
    rows = comparison(args.rounds) + growth(args.rounds) + memory()
    finish(rows, args, "simulation", plot)


if __name__ == "__main__":
    sys.exit(main())
