"""A metric against a condition of the frames (Fig. 3); ``degradation`` draws the same curves."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wavloc.evaluation.metrics import METRICS
from wavloc.reporting import tables
from wavloc.reporting.figures import Inputs
from wavloc.reporting.style import Style, entries, legend, line, method_style, say_empty, styled

CONDITIONS = {"snr_db": "SNR (dB)", "t60_nominal_s": "nominal T60 (s)"}
ERROR_TICKS = (1, 3, 10, 30, 100, 300)  # cm
LABEL_GAP = 0.06  # between labels, as a share of the axis


def draw(inputs: Inputs) -> Figure:
    """Curves over the column ``x`` of the metrics."""
    across, metric = inputs.spec["x"], inputs.spec["metric"]
    columns = ["method", "metric", "value", "ci_low", "ci_high", across]
    rows = tables.read(inputs.metrics[0], columns)
    return sweep(rows, across, metric, named_styles(inputs))


def named_styles(inputs: Inputs) -> dict[str, Style]:
    """Name -> style with label of every method of the figure."""
    return {
        name: {**method_style(entry["place"]), "label": entry["label"]}
        for name, entry in inputs.methods.items()
    }


def sweep(rows: pd.DataFrame, across: str, metric: str, styles: Mapping[str, Style]) -> Figure:
    """A metric against a condition, all others together.

    rows: tidy metrics with columns of the conditions; only ``across`` is given where frames of all
    others are together.
    """
    others = [name for name in CONDITIONS if name in rows and name != across]
    wanted = rows["metric"].eq(metric) & rows[across].notna() & rows[others].isna().all(axis=1)
    return curves(rows[wanted].sort_values(across), across, CONDITIONS[across], metric, styles)


@styled
def curves(
    rows: pd.DataFrame, across: str, label: str, metric: str, styles: Mapping[str, Style]
) -> Figure:
    """A metric against a column, 95 % intervals as bands; a line per key of ``styles``.

    rows: sorted by ``across``, of one metric, with the columns method, value, ci_low, ci_high and
    failure_rate; label: of the x axis. Where a method failed in every frame, its value is
    `Metric.all_failed`.
    """
    figure = Figure(figsize=(4.8, 3.4 + 0.18 * (len(styles) // 3)))
    axes = figure.subplots()
    all_failed = METRICS[metric].all_failed
    for name, style in styles.items():
        part = rows[rows["method"] == name]
        value = part[["value", "ci_low", "ci_high"]].to_numpy(float, copy=True)
        if all_failed is not None:
            value[part["failure_rate"].to_numpy(float) == 1] = all_failed
        look = line(style)
        axes.plot(part[across], value[:, 0], **look)
        axes.fill_between(
            part[across], value[:, 1], value[:, 2], color=look["color"], alpha=0.1, lw=0
        )
    if len(rows):
        levels = rows[across].unique()
        axes.set_xticks(levels, _tick_labels(levels))
    if rows["value"].isna().all():
        reasons = [*rows.get("note", pd.Series(dtype=str)).unique(), ""]
        say_empty(axes, f"not computed: {reasons[0] or 'no metrics'}")
    axes.set(xlabel=label, ylabel=METRICS[metric].label)
    if across == "mics":  # fewer microphones are further to the right
        axes.invert_xaxis()
    _scale(axes, metric, rows["value"])
    legend(figure, entries(styles), columns=3)
    return figure


def _scale(axes: Axes, metric: str, values: pd.Series) -> None:
    """The y axis: percentages in full, errors on a logarithmic scale, others around zero."""
    if METRICS[metric].unit == "%":
        axes.set_ylim(-2, 102)
    elif METRICS[metric].all_failed:  # zero for the oracle, logarithmic from the best others on
        least = values.where(values > 0).min()
        first = max([ERROR_TICKS[0], *(tick for tick in ERROR_TICKS if tick <= least)])
        ticks = [0, *(tick for tick in ERROR_TICKS if tick >= first)]
        axes.set_yscale("symlog", linthresh=first, linscale=0.4)
        axes.set(ylim=(0, 400), yticks=ticks, yticklabels=map(str, ticks))
    else:
        axes.axhline(0, color="#999999", linewidth=0.8, zorder=1)


def _tick_labels(levels: np.ndarray) -> list[str]:
    """A label for each of some sorted levels, blank where it would touch the one before."""
    labels, last = [], -np.inf
    for level in levels:
        clear = level - last > LABEL_GAP * np.ptp(levels)
        labels.append(f"{level:g}" if clear else "")
        last = level if clear else last
    return labels
