"""Curves over a condition (Fig. 3) and tracks from above (Fig. 1)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wavloc.evaluation.metrics import CAP_M
from wavloc.reporting import figures

AXES = {"snr_db": "SNR (dB)", "t60_nominal_s": "nominal T60 (s)"}
LABELS = {
    "mae": "MAE (cm)",
    "acc30": "acc@30 (%)",
    "si_sdr_gain": "de-noising gain, SI-SDR (dB)",
}
MAE_TICKS = (1, 3, 10, 30, 100, 300)  # cm
LABEL_SHARE = 0.06  # of the axis, between labels
ALL_FAILED = {"mae": 100 * CAP_M, "acc30": 0.0}  # what a method scores that fails in every frame


def sweep(
    rows: pd.DataFrame,
    across: str,
    metric: str,
    styles: Mapping[str, Mapping[str, Any]],
    out_stem: str | Path,
) -> None:
    """A metric against a condition, 95 % intervals as bands; a line per key of ``styles``.

    rows: tidy metrics with the columns method, metric, value, ci_low, ci_high, failure_rate and
    the conditions, of which only ``across`` is given where frames of all others are together. A
    method that failed in every frame counts as 3 m there, as failed frames do.
    """
    others = [name for name in AXES if name in rows and name != across]
    wanted = rows["metric"].eq(metric) & rows[across].notna() & rows[others].isna().all(axis=1)
    _curves(rows[wanted].sort_values(across), across, AXES[across], metric, styles, out_stem)


def degradation(
    rows: pd.DataFrame,
    across: str,
    label: str,
    metric: str,
    styles: Mapping[str, Mapping[str, Any]],
    out_stem: str | Path,
) -> None:
    """A metric against the level of a fault or the number of microphones, as `sweep`.

    rows: tidy metrics with a column ``across``; label: of that axis. Fewer microphones are further
    to the right.
    """
    shown = rows[rows["metric"].eq(metric)].sort_values(across)
    _curves(shown, across, label, metric, styles, out_stem, reverse=across == "mics")


def _curves(
    shown: pd.DataFrame,
    across: str,
    label: str,
    metric: str,
    styles: Mapping[str, Mapping[str, Any]],
    out_stem: str | Path,
    reverse: bool = False,
) -> None:
    """Lines and bands of sorted rows of one metric; see `sweep`."""
    with mpl.rc_context(figures.STYLE):
        figure = Figure(figsize=(4.8, 3.4 + 0.18 * (len(styles) // 3)))
        axes = figure.subplots()
        for name, style in styles.items():
            part = shown[shown["method"] == name]
            value = part[["value", "ci_low", "ci_high"]].to_numpy(float, copy=True)
            if metric in ALL_FAILED:
                value[part["failure_rate"].to_numpy(float) == 1] = ALL_FAILED[metric]
            line = figures.line(style)
            axes.plot(part[across], value[:, 0], **line)
            axes.fill_between(
                part[across], value[:, 1], value[:, 2], color=line["color"], alpha=0.1, lw=0
            )
        if len(shown):
            levels = shown[across].unique()
            axes.set_xticks(levels, _labels(levels))
        if shown["value"].isna().all():
            reasons = [*shown.get("note", pd.Series(dtype=str)).unique(), ""]
            _empty(axes, f"not computed: {reasons[0] or 'no metrics'}")
        axes.set(xlabel=label, ylabel=LABELS[metric])
        if reverse:
            axes.invert_xaxis()
        if metric == "acc30":
            axes.set_ylim(-2, 102)
        elif metric == "mae":  # zero for the oracle, logarithmic from the best of the others on
            least = shown["value"].where(shown["value"] > 0).min()
            first = max([MAE_TICKS[0], *(tick for tick in MAE_TICKS if tick <= least)])
            ticks = [0, *(tick for tick in MAE_TICKS if tick >= first)]
            axes.set_yscale("symlog", linthresh=first, linscale=0.4)
            axes.set(ylim=(0, 400), yticks=ticks, yticklabels=map(str, ticks))
        else:
            axes.axhline(0, color="#999999", linewidth=0.8, zorder=1)
        figures.legend(figure, figures.handles(styles), columns=3)
        figures.save(figure, out_stem)


def _labels(levels: np.ndarray) -> list[str]:
    """A label for each of some sorted levels, blank where it would touch the one before."""
    found, last = [], -np.inf
    for level in levels:
        clear = level - last > LABEL_SHARE * np.ptp(levels)
        found.append(f"{level:g}" if clear else "")
        last = level if clear else last
    return found


def _empty(axes: Axes, reason: str) -> None:
    """Say inside the axes why nothing is shown."""
    axes.text(
        0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", wrap=True, fontsize=8
    )  # fmt: skip


def from_above(
    track: str,
    time_s: np.ndarray,
    truth: np.ndarray,
    estimates: Mapping[str, tuple[np.ndarray, Mapping[str, Any]]],
    mics: np.ndarray,
    out_stem: str | Path,
    median_frames: int = 0,
) -> None:
    """The track in the plan of the room (Fig. 1), a panel per method beside the ground truth.

    estimates: label -> (positions (F, 3) metres, style); mics: (M, 3). The other arguments as for
    `figures.trajectory`; estimates outside of the microphones' box lie outside the axes.
    """
    time_s, truth = np.asarray(time_s, float), np.asarray(truth, float)
    segments = figures.segments(time_s)
    count = max(len(estimates), 1)
    columns = min(count, 4)
    rows = -(-count // columns)
    low, high = mics[:, :2].min(axis=0) - 0.3, mics[:, :2].max(axis=0) + 0.3
    tall = (high[1] - low[1]) / (high[0] - low[0])
    with mpl.rc_context(figures.STYLE):
        figure = Figure(figsize=(1.9 * columns + 0.5, 1.9 * tall * rows + 0.8))
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[count:]:
            axes.set_visible(False)
        shown = list(estimates.items()) or [("", (truth * np.nan, {"color": figures.TRUTH}))]
        for axes, (label, (position, style)) in zip(grid.flat, shown, strict=False):
            axes.plot(*mics[:, :2].T, "^", color="#777777", markersize=4)
            for index in segments:
                part = np.asarray(position, float)[index]
                colour = style["color"]
                if median_frames:
                    part = np.apply_along_axis(figures.moving_median, 0, part, median_frames)
                    axes.plot(*part[:, :2].T, color=colour, linewidth=0.6, alpha=0.7)
                axes.plot(
                    *part[:, :2].T, style.get("marker", "o"), color=colour, markersize=2.6, mew=0.3
                )
            for index in segments:
                axes.plot(*truth[index, :2].T, color=figures.TRUTH, linewidth=1.3, zorder=3)
            if not np.isfinite(position).all(axis=1).any():
                label += "\nno frame located"
            axes.set(title=label, xlim=(low[0], high[0]), ylim=(low[1], high[1]))
            axes.set_aspect("equal")
        for axes in grid[-1]:
            axes.set_xlabel("x (m)")
        for axes in grid[:, 0]:
            axes.set_ylabel("y (m)")
        width = f", moving median of {median_frames} frames" if median_frames else ""
        mic = {"color": "#777777", "marker": "^", "linestyle": ""}
        legend = [
            Line2D([], [], label="ground truth", color=figures.TRUTH, lw=2),
            Line2D([], [], label="microphone", **mic),
        ]
        figures.legend(figure, legend, title=f"{track} from above{width}")
        figures.save(figure, out_stem)


def detection(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], out_stem: str | Path
) -> None:
    """ROC curves: panel title -> label of a line -> shares of false and of true alarms (T,)."""
    count = max(len(panels), 1)
    columns = min(count, 3)
    rows = -(-count // columns)
    with mpl.rc_context(figures.STYLE):
        figure = Figure(figsize=(2.5 * columns + 0.4, 2.6 * rows + 0.3))
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, (title, lines) in zip(grid.flat, panels.items(), strict=False):
            axes.plot([0, 1], [0, 1], color="#AAAAAA", linewidth=0.8)
            for place, (label, (false, true)) in enumerate(lines.items()):
                style = figures.method_style(place)
                look = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 1.3}
                axes.plot(false, true, label=label, **look)  # equal ratings are a slope
            if lines:
                axes.legend(fontsize=7, loc="lower right")
            else:
                _empty(axes, "no method rates microphones")
            axes.set(title=title, xlim=(0, 1), ylim=(0, 1))
            axes.set_aspect("equal")
        for axes in grid[-1]:
            axes.set_xlabel("false alarms")
        for axes in grid[:, 0]:
            axes.set_ylabel("faulty ones found")
        figures.save(figure, out_stem)
