"""A metric against a condition of the frames (Fig. 3); ``degradation`` draws the same curves."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wavloc.evaluation.metrics import METRICS
from wavloc.reporting import tables
from wavloc.reporting.figures import Inputs
from wavloc.reporting.style import (
    Style,
    entries,
    grouped_legend,
    groups,
    line,
    method_style,
    panels,
    panels_of,
    say_empty,
    styled,
)

CONDITIONS = {"snr_db": "SNR (dB)", "t60_nominal_s": "nominal T60 (s)"}
ERROR_TICKS = (1, 3, 10, 30, 100, 300)  # cm
FEW_BANDS = 4  # intervals that can be told apart in one panel
LABEL_GAP = 0.06  # between labels, as a share of the axis


def draw(inputs: Inputs) -> Figure:
    """Curves over the column ``x`` of the metrics."""
    across, metric = inputs.spec["x"], inputs.spec["metric"]
    columns = ["method", "metric", "value", "ci_low", "ci_high", across]
    rows = tables.read(inputs.metrics[0], columns)
    return sweep(rows, across, metric, named_styles(inputs), *grouped(inputs))


def grouped(inputs: Inputs) -> tuple[dict[str, list[str]], Collection[str]]:
    """Methods by panel, and those whose intervals are drawn: where curves are many, the few that
    the figure's entry names.
    """
    names = list(inputs.methods)
    bands = inputs.spec.get("bands", names if len(names) <= FEW_BANDS else ())
    return groups(inputs.methods), bands


def named_styles(inputs: Inputs) -> dict[str, Style]:
    """Name -> style with label of every method of the figure."""
    return {
        name: {**method_style(entry["place"]), "label": entry["label"]}
        for name, entry in inputs.methods.items()
    }


def sweep(
    rows: pd.DataFrame,
    across: str,
    metric: str,
    styles: Mapping[str, Style],
    together: Mapping[str, list[str]] | None = None,
    bands: Collection[str] | None = None,
) -> Figure:
    """A metric against a condition, all others together; arguments as of `curves`.

    rows: tidy metrics with columns of the conditions; only ``across`` is given where frames of all
    others are together.
    """
    others = [name for name in CONDITIONS if name in rows and name != across]
    wanted = rows["metric"].eq(metric) & rows[across].notna() & rows[others].isna().all(axis=1)
    chosen, label = rows[wanted].sort_values(across), CONDITIONS[across]
    return curves(chosen, across, label, metric, styles, together, bands)


@styled
def curves(
    rows: pd.DataFrame,
    across: str,
    label: str,
    metric: str,
    styles: Mapping[str, Style],
    together: Mapping[str, list[str]] | None = None,
    bands: Collection[str] | None = None,
) -> Figure:
    """A metric against a column; a line per key of ``styles``, a panel per group of them.

    rows: sorted by ``across``, of one metric, with the columns method, value, ci_low, ci_high and
    failure_rate; label: of the x axis. Where a method failed in every frame, its value is
    `Metric.all_failed`. together: see `style.groups`, all share a panel without it; bands: methods
    whose 95 % intervals are drawn, all without it.
    """
    together = together or {"": list(styles)}
    shown = panels_of(together)
    legend_rows = max(map(len, together.values())) if len(together) > 1 else len(styles) // 3
    size = (4.8 if len(shown) == 1 else 3.9, 3.2)
    margin = (0.0, 0.2 + 0.18 * legend_rows)
    figure, grid = panels(len(shown), 2, size, margin, (label, METRICS[metric].label))
    named, empty = dict(styles), rows["value"].isna().all()
    for axes, (title, names) in zip(grid, shown.items(), strict=True):
        axes.set_title(title)
        for name in names:
            own, band = rows[rows["method"] == name], bands is None or name in bands
            if not _curve(axes, own, across, metric, styles[name], band) and not empty:
                label = f"{styles[name]['label']} (not computed)"
                named[name] = {**styles[name], "label": label}
    if len(rows):
        levels = rows[across].unique()
        axes.set_xticks(levels, _tick_labels(levels))
    if empty:
        reasons = [*rows.get("note", pd.Series(dtype=str)).unique(), ""]
        say_empty(grid[0], f"not computed: {reasons[0] or 'no metrics'}")
    if across == "mics":  # fewer microphones are further to the right
        axes.invert_xaxis()
    _scale(axes, metric, rows["value"])
    keys = {title: entries({n: named[n] for n in names}) for title, names in together.items()}
    grouped_legend(figure, keys, columns=3)
    return figure


def _curve(
    axes: Axes, rows: pd.DataFrame, across: str, metric: str, style: Style, band: bool
) -> bool:
    """The line of one method, and its interval; whether there is a point of it."""
    value = rows[["value", "ci_low", "ci_high"]].to_numpy(float, copy=True)
    all_failed = METRICS[metric].all_failed
    if all_failed is not None:
        value[rows["failure_rate"].to_numpy(float) == 1] = all_failed
    look = line(style)
    axes.plot(rows[across], value[:, 0], **look)
    if band:
        colour = look["color"]
        axes.fill_between(rows[across], value[:, 1], value[:, 2], color=colour, alpha=0.15, lw=0)
    return bool(np.isfinite(value[:, 0]).any())


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
