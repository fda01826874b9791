"""One number per method and table, for tools that follow how results change (``dvc metrics``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wavloc.reporting import tables


def summary(csvs: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Table -> its first metric and unit, and its mean over all cells of each method's row.

    A cell without a value does not count; a method without any is null.
    """
    found = {}
    for path in csvs:
        frame = tables.read(path, [*tables.COLUMNS])
        first = frame[frame["metric"] == frame["metric"].iloc[0]]
        means = first.groupby("method", sort=False)["value"].mean()
        found[path.stem] = {
            f"{first['metric'].iloc[0]} ({first['unit'].iloc[0]})": {
                method: None if value != value else round(float(value), 4)
                for method, value in means.items()
            }
        }
    return found
