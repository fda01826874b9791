"""The map of errors over the floor plan of a room."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wavloc.errors import InputError
from wavloc.frames import Frames
from wavloc.reporting import figures

COLOURS = "cividis_r"  # even in lightness: as legible in grey, and for the colour-blind
CELL_INCH = 0.33
WIDEST_INCH = 14.0
# Hollow and below the numbers, which stay legible.
MIC = {"color": "#D55E00", "marker": "^", "linestyle": "", "markerfacecolor": "none", "ms": 8}


def cells(low: float, high: float, side: float) -> np.ndarray:
    """Edges (n + 1,) of cells of ``side`` from low; the last one ends at high and may be less."""
    count = max(1, int(np.ceil((high - low) / side - 1e-6)))
    return np.minimum(low + side * np.arange(count + 1), high)


def cell_means(
    source: np.ndarray, errors: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean error and number of frames of each cell: both (ny, nx), the mean NaN in empty cells.

    source: (F, 3) metres; errors: (F,), capped as everywhere; x, y: edges of the cells, metres.
    """
    number = np.histogram2d(source[:, 1], source[:, 0], (y, x))[0]
    total = np.histogram2d(source[:, 1], source[:, 0], (y, x), weights=errors)[0]
    return np.where(number > 0, total / np.maximum(number, 1), np.nan), number.astype(int)


def error_map(
    frames: Frames, errors: Mapping[str, np.ndarray], out_stem: str | Path, cell_m: float
) -> None:
    """A panel per method: MAE in cm of every cell of the floor, with its number of frames.

    errors: label -> capped errors (F,) in metres, NaN throughout where the method refused.
    """
    if frames.room_bounds is None:
        raise InputError("figure of kind map: the frames do not say how large their room is")
    low, high = frames.room_bounds
    x, y = (cells(low[axis], high[axis], cell_m) for axis in (0, 1))
    source = np.asarray(frames.source_position)
    means = {label: cell_means(source, 100 * error, x, y) for label, error in errors.items()}
    shown = np.concatenate([mean[np.isfinite(mean)] for mean, _ in means.values()])
    # One bad corner must not make the rest look alike: beyond, the numbers say how bad it is.
    most = max(float(np.percentile(shown, 95)), 1.0) if len(shown) else 1.0
    across = max(CELL_INCH * (len(x) - 1), 2.2) + 0.3
    columns = max(1, min(len(means), int(WIDEST_INCH / across)))
    rows = -(-len(means) // columns)
    tall = max(CELL_INCH * (len(y) - 1), 1.5) + 0.3
    with mpl.rc_context(figures.STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(across * columns + 1.2, tall * rows + 0.6))
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(means) :]:
            axes.set_visible(False)
        for axes, (label, (mean, number)) in zip(grid.flat, means.items(), strict=False):
            axes.spines[:].set_visible(True)  # the walls
            mesh = axes.pcolormesh(x, y, mean, cmap=COLOURS, vmin=0, vmax=most)
            _write_numbers(axes, mesh, mean, number, x, y)
            axes.plot(*frames.mics()[0, :, :2].T, **{**MIC, "clip_on": False})
            if not np.isfinite(mean).any():
                label += "\nno frame located"
            axes.set(title=label, xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        for axes in grid[-1]:
            axes.set_xlabel("x (m)")
        for axes in grid[:, 0]:
            axes.set_ylabel("y (m)")
        figure.colorbar(mesh, ax=grid, label="MAE (cm)", extend="max", shrink=0.8)
        figures.legend(figure, [Line2D([], [], label="microphone", **MIC)])
        figures.save(figure, out_stem)


def _write_numbers(
    axes: Axes, mesh: QuadMesh, mean: np.ndarray, number: np.ndarray, x: np.ndarray, y: np.ndarray
) -> None:
    """The mean of each cell and, smaller below, its number of frames."""
    middle_x, middle_y = (x[:-1] + x[1:]) / 2, (y[:-1] + y[1:]) / 2
    for row, column in np.argwhere(np.isfinite(mean)):
        value = mean[row, column]
        light = np.dot(mesh.cmap(mesh.norm(value))[:3], (0.299, 0.587, 0.114))
        look = {"color": "black" if light > 0.5 else "white", "ha": "center"}
        at = middle_x[column], middle_y[row]
        text = f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
        axes.text(*at, text, fontsize=7, va="center", **look)
        axes.annotate(
            str(number[row, column]), at, xytext=(0, -9), textcoords="offset points", fontsize=4.5,
            va="bottom", **look,
        )  # fmt: skip
