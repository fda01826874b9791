"""One number per method and table, for tools that follow how results change (`dvc metrics`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wavloc.reporting.tables import tidy


def summary(csvs: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Table -> its first metric and unit, and its mean over all cells of each method's row.

    A cell without a value does not count; a method without any is null.
    """
    means = {}
    for path in csvs:
        frame = tidy.read(path, tidy.COLUMNS)
        metric, unit = frame[["metric", "unit"]].iloc[0]
        of_metric = frame[frame["metric"] == metric].groupby("method", sort=False)["value"]
        means[path.stem] = {
            f"{metric} ({unit})": {
                method: None if pd.isna(value) else round(float(value), 4)
                for method, value in of_metric.mean().items()
            }
        }
    return means
