"""The picture of `wavloc locate`; not a kind of figure of experiments.yaml."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from wavloc import files
from wavloc.reporting.style import COLOURS, entry, legend, styled


@styled
def located(
    table: pd.DataFrame, names: Sequence[str], mics: np.ndarray, out: str | Path | None = None
) -> Figure:
    """Positions of a recording, over time and from above among its named microphones.

    table: columns time_s (seconds; begin_s of events), x, y, z (metres, NaN where not located).
    mics: (M, 3) metres.
    out: one picture, its format by its suffix; or none.
    """
    table = table.rename(columns={"begin_s": "time_s"})
    figure = Figure(figsize=(7.6, 4.0))
    over_time, above = figure.subfigures(1, 2, squeeze=False, width_ratios=[1, 1])[0]
    for axis, axes in zip("xyz", over_time.subplots(3, 1, sharex=True), strict=True):
        axes.plot(table["time_s"], table[axis], ".", markersize=3, color=COLOURS[0])
        axes.set_ylabel(f"{axis} (m)")
    axes.set_xlabel("time (s)")
    axes = above.subplots()
    axes.plot(table["x"], table["y"], ".-", markersize=3, linewidth=0.6, color=COLOURS[0])
    axes.plot(mics[:, 0], mics[:, 1], "o", color=COLOURS[1])
    for name, mic in zip(names, mics, strict=True):
        axes.annotate(name, mic[:2], xytext=(5, 4), textcoords="offset points", fontsize=8)
    axes.set(title="from above", xlabel="x (m)", ylabel="y (m)")
    axes.set_aspect("equal", adjustable="datalim")
    dot = {"marker": "o", "linestyle": "", "markersize": 5}
    labels = zip(("source", "microphone"), COLOURS, strict=False)
    legend(figure, [entry(label, color=colour, **dot) for label, colour in labels])
    if out is not None:
        with files.replacing(out) as temporary:
            figure.savefig(temporary, dpi=200, bbox_inches="tight")
    return figure
