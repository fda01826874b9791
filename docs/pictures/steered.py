"""The picture of docs/steered.md: one frame as `steered` sees it.

    python docs/pictures/steered.py FRAMES.npz [--frame N] [--weights FILE]

FRAMES.npz as for benchmarks/localization.py, such as tests/methods/learned/data/steered.npz.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import numpy as np
import torch
from matplotlib import pyplot

from wavloc.features import steering
from wavloc.methods.learned import steered

ROWS = ("summed", "three windows", "middle band", "softly whitened", "square of the first")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=Path)
    parser.add_argument("--frame", type=int, default=0)
    parser.add_argument("--weights", type=Path, default=steered.WEIGHTS)
    args = parser.parse_args()
    stored = np.load(args.frames)
    frame = slice(args.frame, args.frame + 1)
    rate, speed, room = int(stored["fs"]), float(stored["c"]), torch.tensor(stored["room_dim"])
    audio = torch.tensor(stored["audio"][frame] / 32768, dtype=torch.float32)
    mics, source = (torch.tensor(stored[k][frame], dtype=torch.float32) for k in ("mics", "src"))
    present = torch.ones(mics.shape[:2], dtype=torch.bool)
    box = torch.zeros(3), room.float()
    network = steered.trained(args.weights)
    found = steered.posterior(network, audio, mics, present, box, steered.Options(), rate, speed)
    points, shares = found["points"], found["posterior"][0]
    away = (points[0] - source).norm(dim=-1)
    right, wrong = int(away.argmin()), int((shares * (away > 0.5)).argmax())

    figure = pyplot.figure(figsize=(11, 7), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.05))
    draw_rows(top, audio, mics, present, source, rate, speed)
    draw_map(top.axes[1], found["gcc"], mics, present, source, points, shares, room, rate / speed)
    draw_maps(bottom, audio, mics, present, points, (right, wrong), shares, away, rate / speed)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


def draw_rows(figure, audio, mics, present, source, rate, speed) -> None:
    """The rows of the pair of the first two microphones; a line where the source is."""
    left, _ = figure.subplots(1, 2)
    reach = 250
    gcc = steering.correlate(audio, present, rate, reach)[0, :, 0]
    lag = np.arange(gcc.shape[-1]) / steering.OVERSAMPLE - reach
    apart = (mics[0] - source).norm(dim=-1) * rate / speed
    for place, (name, row) in enumerate(zip(ROWS, gcc, strict=True)):
        left.plot(lag, row / row.abs().max() - 1.6 * place, lw=0.8, label=name)
    left.axvline(float(apart[0] - apart[1]), color="k", lw=0.8, ls="--", label="true delay")
    left.set(title="1. Correlations of a pair, five ways", xlabel="delay (samples)", yticks=[])
    left.legend(fontsize=7, loc="upper right")


def draw_map(axes, gcc, mics, present, source, points, shares, room, per_m) -> None:
    """Steered power at the height of the source, candidates sized by their probability."""
    x, y = (torch.linspace(0, float(side), 160) for side in room[:2])
    grid = torch.stack(torch.meshgrid(x, y, indexing="ij"), -1).reshape(1, -1, 2)
    grid = torch.cat([grid, source[:, 2].expand(1, grid.shape[1])[..., None]], dim=-1)
    rows = gcc[:, None].expand(-1, steering.ROWS, -1, -1)
    power = steering.powers_at(rows, grid, mics, present, per_m * steering.OVERSAMPLE)
    extent = (0, float(room[0]), 0, float(room[1]))
    shown = power[0, :, 0].view(160, 160).T
    axes.imshow(shown, origin="lower", extent=extent, cmap="viridis")
    size = 4 + 200 * shares.numpy()
    axes.scatter(*points[0, :, :2].T, s=size, facecolors="none", edgecolors="w", linewidths=0.9)
    axes.scatter(*mics[0, :, :2].T, marker="v", color="#D55E00", s=30, label="microphones")
    axes.scatter(*source[0, :2], marker="x", color="r", s=60, label="source")
    axes.set(title="2. Power at the source's height; candidates", xlabel="x (m)", ylabel="y (m)")
    axes.legend(fontsize=7, loc="upper right")


def draw_maps(figure, audio, mics, present, points, chosen, shares, away, per_m) -> None:
    """Coherence and energy over time and frequency, aligned for the right and a wrong candidate."""
    unit, magnitude = steering.short_spectra(audio)
    delay = steering.distances(points[:, chosen], mics) * per_m
    maps, _ = steering.aligned_maps(unit, magnitude, delay, present)
    titles = ("coherence of phases", "coherence of energy", "log energy")
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    for row, number in enumerate(chosen):
        label = f"{100 * away[number]:.0f} cm off, probability {shares[number]:.2f}"
        for column, kind in enumerate((0, 1, 3)):
            limits = {} if kind == 3 else {"vmin": -0.3, "vmax": 1.6}
            shown = maps[0, row, kind].T
            extent = (0, 1000 * shown.shape[1] * steering.HOP / 16_000, 0, 8)
            axes[row, column].imshow(
                shown, origin="lower", aspect="auto", extent=extent, cmap="magma", **limits
            )
            axes[row, column].set_title(f"{titles[column]}: {label}", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("time (ms)")
    for axis in axes[:, 0]:
        axis.set_ylabel("frequency (kHz)")
    figure.suptitle("3. All microphones aligned for a candidate: the network compares these")


if __name__ == "__main__":
    main()
