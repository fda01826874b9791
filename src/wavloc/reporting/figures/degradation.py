"""A metric against the level of a fault or the number of microphones."""

import pandas as pd
from matplotlib.figure import Figure

from wavloc.reporting import tables
from wavloc.reporting.figures import Inputs
from wavloc.reporting.figures.sweep import curves, grouped, named_styles
from wavloc.simulation import faults

COLUMNS = ["track", "mics", "method", "metric", "value", "ci_low", "ci_high"]


def draw(inputs: Inputs) -> Figure:
    """Curves over ``x``: the ``level`` that the tracks name, or the column ``mics``."""
    across, metric = inputs.spec["x"], inputs.spec["metric"]
    rows = pd.concat([tables.read(path, COLUMNS) for path in inputs.metrics])
    rows["level"] = [faults.parted(track)[2] for track in rows["track"]]
    chosen = rows[rows["metric"].eq(metric)].sort_values(across)
    label, styles = inputs.spec["axis"], named_styles(inputs)
    return curves(chosen, across, label, metric, styles, *grouped(inputs))
