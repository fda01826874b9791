"""The rows that every evaluation writes: one per method and metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from wavloc.errors import InputError
from wavloc.evaluation import bootstrap
from wavloc.evaluation.metrics import METRICS, of_kind
from wavloc.methods.predictions import Predictions

NUMBERS = ("value", "ci_low", "ci_high")
COLUMNS = [
    *("dataset", "track", "setup", "mics", "method", "metric", "unit"),
    *(*NUMBERS, "n_frames", "failure_rate", "note"),
]


def row(
    cell: Mapping[str, object],
    method: str,
    metric: str,
    n_frames: int,
    numbers: Sequence[Any] = (),
    note: str = "",
    **fields: Any,
) -> dict[str, Any]:
    """One row. numbers: value and ends of its interval, before `Metric.factor`; may be left out."""
    scaled = {
        name: METRICS[metric].factor * number
        for name, number in zip(NUMBERS, numbers, strict=False)
    }
    names = {"method": method, "metric": metric, "unit": METRICS[metric].unit}
    return {**cell, **names, **scaled, "n_frames": n_frames, "note": note, **fields}


def tidy(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table of the columns `COLUMNS`."""
    return pd.DataFrame(list(rows)).reindex(columns=COLUMNS)


def score_each(
    kind: str,
    predictions: Mapping[str, Predictions],
    cell: Mapping[str, object],
    resampling: bootstrap.Resampling,
    values_of: Callable[[Predictions], tuple[np.ndarray, float] | str],
    statistic: bootstrap.Statistic = bootstrap.weighted_mean,
) -> pd.DataFrame:
    """Metrics of one kind, method by method.

    values_of: values of frames (F, ...), of which ``statistic`` makes the metrics of this kind, and
    the share of failed frames; or the reason why there are none.
    """
    rows = []
    for name, prediction in predictions.items():
        try:
            values = prediction.meta.get("refused") or values_of(prediction)
        except InputError as error:
            raise InputError(f"method '{name}': {error}") from None
        if isinstance(values, str):
            reason, count = values, len(prediction)
            rows += [row(cell, name, metric, count, note=reason) for metric in of_kind(kind)]
            continue
        frames, failure_rate = values
        bounds = np.transpose(resampling.intervals(statistic, frames))
        for metric, numbers in zip(of_kind(kind), bounds, strict=True):
            rows.append(row(cell, name, metric, len(frames), numbers, failure_rate=failure_rate))
    return tidy(rows)
