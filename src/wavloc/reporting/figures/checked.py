"""The picture of `wavloc check`; not a kind of figure of experiments.yaml."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from wavloc import files
from wavloc.checking import Checked
from wavloc.reporting.style import COLOURS, MARKERS, say_empty, styled

SHOWN_MS = 20.0  # delays beyond are of other sound, unless a channel is so late


@styled
def checked(result: Checked, out: str | Path | None = None) -> Figure:
    """Level and noise floor of each channel, and by how much it is late over time.

    out: one picture, its format by its suffix; or none.
    """
    table = result.table
    figure = Figure(figsize=(7.6, 4.0))
    levels, delays = figure.subplots(1, 2, width_ratios=[1, 1.4])
    place = np.arange(len(table))
    levels.barh(place, table["level_db"] - table["floor_db"], left=table["floor_db"], height=0.6)
    levels.plot(table["peak_db"], place, "|", color=COLOURS[1], markersize=10)
    levels.set_yticks(place, table["name"], fontsize=8)
    levels.invert_yaxis()
    levels.set(xlabel="noise floor to level, and peak (dB)")
    most = max(SHOWN_MS, 1.5 * np.abs(np.nan_to_num(table["offset_ms"])).max(initial=0))
    delays.set(xlabel="time (s)", ylabel="late (ms)", ylim=(-most, most))
    for k, name in enumerate(table["name"] if len(result.time_s) else []):
        look = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}
        delays.plot(result.time_s, result.late_ms[:, k], linestyle="", ms=3, label=name, **look)
    if len(result.time_s):
        delays.legend(loc="upper right", fontsize=7, ncols=2)
    else:
        say_empty(delays, "too little sound to compare the channels")
    if out is not None:
        with files.replacing(out) as temporary:
            figure.savefig(temporary, dpi=200, bbox_inches="tight")
    return figure
