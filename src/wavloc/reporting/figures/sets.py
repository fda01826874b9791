"""Positions from above, a panel for each set of a track: the true path, and methods as dots."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from wavloc.errors import InputError
from wavloc.frames import Frames
from wavloc.reporting.figures import Inputs
from wavloc.reporting.figures.plan import MIC
from wavloc.reporting.style import TRUTH, Style, entry, legend, panels, styled, styles_of

PATH: dict[str, Any] = {"color": TRUTH, "linewidth": 3, "marker": ".", "markersize": 6}
MARGIN_M = 1.0  # drawn around the microphones
TITLE_IN = 0.35  # room for the title of a panel, inches


def draw(inputs: Inputs) -> Figure:
    """The first track of the figure with every method that was run on it."""
    track, frames = inputs.first()
    if "set" not in frames.table:
        raise InputError("figure of kind 'sets': the frames have no column 'set'")
    return sets(frames, inputs.positions(track), styles_of(inputs.methods))


@styled
def sets(
    frames: Frames, estimates: Mapping[str, np.ndarray], styles: Mapping[str, Style]
) -> Figure:
    """estimates: label -> positions (F, 3) in metres, NaN on failure. The path breaks where no true
    position is known.
    """
    looks: dict[str, dict[str, Any]] = {
        label: {**styles[label], "linestyle": ""} for label in estimates
    }
    mics, truth = frames.mics(), np.asarray(frames.source_position)
    number = frames.table["set"].to_numpy()
    low, high = mics[..., :2].min(axis=(0, 1)) - MARGIN_M, mics[..., :2].max(axis=(0, 1)) + MARGIN_M
    height = 2.0 * (high[1] - low[1]) / (high[0] - low[0]) + TITLE_IN
    shown = np.unique(number)
    figure, grid = panels(len(shown), 4, (2.0, height), (0.5, 0.8), ("x (m)", "y (m)"))
    for axes, one in zip(grid, shown, strict=True):
        index = np.flatnonzero(number == one)
        axes.plot(*mics[index[0], :, :2].T, MIC["marker"], color=MIC["color"], markersize=4)
        path = truth[index, :2]
        axes.plot(*path.T, **PATH, zorder=1.5)
        sizes = np.linspace(2.4 + 1.2 * (len(estimates) > 1), 2.4, len(estimates))
        for (label, position), size in zip(estimates.items(), sizes, strict=True):
            axes.plot(*position[index, :2].T, markersize=size, mew=0.3, **looks[label])
        known = int(np.isfinite(path).all(axis=1).sum())
        axes.set_title(f"set {one}: truth for {known} of {len(index)}")
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    keys = [entry("ground truth", **PATH), entry("microphone", **MIC)]
    legend(figure, [*keys, *(entry(label, **look) for label, look in looks.items())])
    return figure
