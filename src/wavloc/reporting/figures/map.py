"""The map of errors over the floor plan of a room, a panel per method."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from wavloc.errors import InputError
from wavloc.evaluation.errors import ranked_errors_m
from wavloc.frames import Frames
from wavloc.reporting.figures import Inputs
from wavloc.reporting.style import entry, legend, panels, styled

CELL_M = 0.5  # side of the cells, unless the figure says otherwise
COLOURS = "cividis_r"  # even in lightness: as legible in grey, and for the colour-blind
CELL_INCH = 0.33
MAX_INCH = 14.0  # width of the figure
# Hollow and below the numbers, which stay legible.
MIC: Any = {"color": "#D55E00", "marker": "^", "linestyle": "", "markerfacecolor": "none", "ms": 8}


def draw(inputs: Inputs) -> Figure:
    """Errors of all methods on the first track of the figure."""
    track, frames = inputs.first()
    errors = {
        entry["label"]: ranked_errors_m(inputs.prediction(track, name), frames)
        for name, entry in inputs.methods.items()
    }
    return error_map(frames, errors, float(inputs.spec.get("cell_m", CELL_M)))


def edges(low: float, high: float, side: float) -> np.ndarray:
    """Edges (n + 1,) of cells of ``side`` from low; the last one ends at high and may be less."""
    count = max(1, int(np.ceil((high - low) / side - 1e-6)))
    return np.minimum(low + side * np.arange(count + 1), high)


def cell_means(
    source: np.ndarray, errors: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean error and number of frames of each cell: both (ny, nx), the mean NaN in empty cells.

    source: (F, 3) metres; errors: (F,); x, y: edges of the cells, metres.
    """
    number = np.histogram2d(source[:, 1], source[:, 0], (y, x))[0]
    total = np.histogram2d(source[:, 1], source[:, 0], (y, x), weights=errors)[0]
    return np.where(number > 0, total / np.maximum(number, 1), np.nan), number.astype(int)


@styled
@mpl.rc_context({"axes.grid": False})
def error_map(frames: Frames, errors: Mapping[str, np.ndarray], cell_m: float) -> Figure:
    """MAE in cm of every cell of the floor, with its number of frames.

    errors: label -> capped errors (F,) in metres, NaN throughout where the method refused.
    """
    if frames.room_bounds is None:
        raise InputError("figure of kind map: the frames do not say how large their room is")
    low, high = frames.room_bounds
    x, y = (edges(low[axis], high[axis], cell_m) for axis in (0, 1))
    source = np.asarray(frames.source_position)
    means = {label: cell_means(source, 100 * error, x, y) for label, error in errors.items()}
    known = np.concatenate([mean[np.isfinite(mean)] for mean, _ in means.values()])
    # One bad corner must not make the rest look alike: beyond, the numbers say how bad it is.
    limit = max(float(np.percentile(known, 95)), 1.0) if len(known) else 1.0
    width = max(CELL_INCH * (len(x) - 1), 2.2) + 0.3
    height = max(CELL_INCH * (len(y) - 1), 1.5) + 0.3
    figure, grid = panels(
        len(means), int(MAX_INCH / width), (width, height), (1.2, 0.6), ("x (m)", "y (m)")
    )
    subplots = list(figure.axes)
    for axes, (label, (mean, number)) in zip(grid, means.items(), strict=True):
        axes.spines[:].set_visible(True)  # the walls
        mesh = axes.pcolormesh(x, y, mean, cmap=COLOURS, vmin=0, vmax=limit)
        _write_numbers(axes, mesh, mean, number, x, y)
        axes.plot(*frames.mics()[0, :, :2].T, **{**MIC, "clip_on": False})
        axes.set_title(label if np.isfinite(mean).any() else f"{label}\nno frame located")
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    figure.colorbar(mesh, ax=subplots, label="MAE (cm)", extend="max", shrink=0.8)
    legend(figure, [entry("microphone", **MIC)])
    return figure


def _write_numbers(
    axes: Axes, mesh: QuadMesh, mean: np.ndarray, number: np.ndarray, x: np.ndarray, y: np.ndarray
) -> None:
    """The mean of each cell and, smaller below, its number of frames."""
    middle_x, middle_y = (x[:-1] + x[1:]) / 2, (y[:-1] + y[1:]) / 2
    for row, column in np.argwhere(np.isfinite(mean)):
        value = mean[row, column]
        light = np.dot(mesh.cmap(mesh.norm(value))[:3], (0.299, 0.587, 0.114))
        look: Any = {"color": "black" if light > 0.5 else "white", "ha": "center"}
        middle = middle_x[column], middle_y[row]
        text = f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
        axes.text(*middle, text, fontsize=7, va="center", **look)
        axes.annotate(
            str(number[row, column]), middle, xytext=(0, -9), textcoords="offset points",
            fontsize=4.5, va="bottom", **look,
        )  # fmt: skip
