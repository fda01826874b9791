"""The track in the plan of the room (Fig. 1), a panel per method beside the ground truth."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from wavloc.reporting.figures import Inputs
from wavloc.reporting.figures.trajectory import moving_median, segments
from wavloc.reporting.style import TRUTH, Style, entry, legend, panels, styled, styles_of

MIC = {"color": "#777777", "marker": "^", "linestyle": ""}
MARGIN_M = 0.3  # drawn around the microphones


def draw(inputs: Inputs) -> Figure:
    """The first track of the figure with every method that was run on it."""
    mics, width = inputs.first()[1].mics()[0], int(inputs.spec.get("median_frames", 0))
    return plan(*inputs.path(), styles_of(inputs.methods), mics, width)


@styled
def plan(
    track: str,
    time_s: np.ndarray,
    truth: np.ndarray,
    estimates: Mapping[str, np.ndarray],
    styles: Mapping[str, Style],
    mics: np.ndarray,
    median_frames: int = 0,
) -> Figure:
    """Panels by label of the method; mics: (M, 3) metres, other arguments as for `trajectory`.

    Estimates outside of the microphones' box lie outside the axes.
    """
    stretches = segments(np.asarray(time_s, float))
    low, high = mics[:, :2].min(axis=0) - MARGIN_M, mics[:, :2].max(axis=0) + MARGIN_M
    height = 1.9 * ((high[1] - low[1]) / (high[0] - low[0]))
    shown = dict(estimates) or {"": np.full_like(truth, np.nan)}
    figure, grid = panels(len(shown), 4, (1.9, height), (0.5, 0.8), ("x (m)", "y (m)"))
    for axes, (label, position) in zip(grid, shown.items(), strict=True):
        axes.plot(*mics[:, :2].T, MIC["marker"], color=MIC["color"], markersize=4)
        style = styles.get(label, {"color": TRUTH, "marker": "o"})
        for index in stretches:
            part = np.asarray(position, float)[index]
            if median_frames:
                part = np.apply_along_axis(moving_median, 0, part, median_frames)
                axes.plot(*part[:, :2].T, color=style["color"], linewidth=0.6, alpha=0.7)
            axes.plot(
                *part[:, :2].T, style["marker"], color=style["color"], markersize=2.6, mew=0.3
            )
        for index in stretches:
            axes.plot(*truth[index, :2].T, color=TRUTH, linewidth=3, zorder=1.5)
        located = np.isfinite(position).all(axis=1).any()
        axes.set_title(label if located else f"{label}\nno frame located")
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    smoothed = f", moving median of {median_frames} frames" if median_frames else ""
    keys = [entry("ground truth", color=TRUTH, lw=3), entry("microphone", **MIC)]
    legend(figure, keys, title=f"{track} from above{smoothed}")
    return figure
