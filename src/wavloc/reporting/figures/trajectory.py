"""x, y, z over time (Fig. 7): the true track and the estimates of methods."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from wavloc.reporting.figures import Inputs
from wavloc.reporting.style import TRUTH, Style, entries, entry, legend, styled, styles_of


def draw(inputs: Inputs) -> Figure:
    """The first track of the figure with every method that was run on it."""
    width = int(inputs.spec.get("median_frames", 0))
    return trajectory(*inputs.path(), styles_of(inputs.methods), width)


@styled
def trajectory(
    track: str,
    time_s: np.ndarray,
    truth: np.ndarray,
    estimates: Mapping[str, np.ndarray],
    styles: Mapping[str, Style],
    median_frames: int = 0,
) -> Figure:
    """Panels of coordinates. truth (F, 3) and estimates, label -> (F, 3), in metres.

    time_s: (F,) seconds, ascending. Lines break where frames are missing and where a method
    failed (NaN); estimates far off the true track lie outside the axes. median_frames: width of a
    moving median over the estimates; 0 shows single frames as dots.
    """
    time_s, truth = np.asarray(time_s, float), np.asarray(truth, float)
    stretches = segments(time_s)
    figure = Figure(figsize=(7.2, 5.0))
    for number, axes in enumerate(figure.subplots(3, 1, sharex=True)):
        for label, position in estimates.items():
            value, style = np.asarray(position, float)[:, number], styles[label]
            for index in stretches:
                if median_frames:
                    smooth = moving_median(value[index], median_frames)
                    look = {key: style[key] for key in ("color", "linestyle")}
                    axes.plot(time_s[index], smooth, linewidth=1.2, **look)
                else:
                    look = {"color": style["color"], "marker": style["marker"]}
                    axes.plot(time_s[index], value[index], linestyle="", ms=3, mew=0.3, **look)
        for index in stretches:
            axes.plot(time_s[index], truth[index, number], color=TRUTH, linewidth=4, zorder=1.5)
        axes.set(ylabel=f"{'xyz'[number]} (m)", ylim=_limits(truth[:, number]))
    axes.set_xlabel("time (s)")
    suffix = f" (moving median of {median_frames} frames)" if median_frames else ""
    figure.suptitle(f"{track}{suffix}")
    hidden = {"marker": ""} if median_frames else {"linestyle": ""}
    methods = entries({label: styles[label] for label in estimates}, **hidden)
    legend(figure, [entry("ground truth", color=TRUTH, lw=4), *methods])
    return figure


def segments(time_s: np.ndarray) -> list[np.ndarray]:
    """Row numbers of the stretches without a missing frame."""
    steps = np.diff(time_s)
    usual = np.median(steps) if len(steps) else 0.0
    return np.split(np.arange(len(time_s)), np.flatnonzero(steps > 1.5 * usual) + 1)


def moving_median(values: np.ndarray, width: int) -> np.ndarray:
    """Centred median over the known values of a window; NaN stays NaN."""
    smooth = pd.Series(values).rolling(width, center=True, min_periods=1).median().to_numpy()
    return np.where(np.isnan(values), np.nan, smooth)


def _limits(truth: np.ndarray) -> tuple[float, float] | None:
    """Axis limits around the true track, so that outliers do not flatten it; None if unknown."""
    if not np.isfinite(truth).any():
        return None
    low, high = np.nanmin(truth), np.nanmax(truth)
    margin = max(0.4 * (high - low), 0.5)
    return low - margin, high + margin
