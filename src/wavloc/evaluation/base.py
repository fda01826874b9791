"""What every evaluation has in common: its inputs, bootstrap, and rows of metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from wavloc import seeds
from wavloc.errors import InputError
from wavloc.evaluation import bootstrap
from wavloc.evaluation.metrics import METRICS
from wavloc.frames import Frames
from wavloc.methods.predictions import Predictions

NUMBERS = ("value", "ci_low", "ci_high")
COLUMNS = [
    *("dataset", "track", "setup", "mics", "method", "metric", "unit"),
    *(*NUMBERS, "n_frames", "failure_rate", "note"),
]

Result = np.ndarray | str  # value and interval (3,) before `Metric.factor`, or why there is none
Results = tuple[Iterable[Result], float] | str


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Predictions by method, all of the same frames, and how frames are resampled.

    cell: dataset, track, setup and mics, copied into each row. block > 1 resamples runs of that
    many consecutive frames, which widens the interval of a recording whose neighbouring frames are
    alike.
    """

    predictions: Mapping[str, Predictions]
    frames: Frames
    cell: Mapping[str, object]
    seed: int = 0
    resamples: int = 2000
    block: int = 1

    def intervals(self, statistic: bootstrap.Statistic, values: np.ndarray) -> np.ndarray:
        """Value and 95 % interval of a statistic of frames: values (F, ...) -> (K, 3).

        Every metric, method and cell gets the same draws, so that differences are paired.
        """
        rng = seeds.rng(self.seed, "bootstrap", len(values))
        bounds = bootstrap.intervals(statistic, values, rng, self.resamples, self.block)
        return np.stack(bounds, axis=-1)

    def select(self, index: np.ndarray, track: str) -> Evaluation:
        """The same of some frames, under another name of the track."""
        chosen = {name: found.select(index) for name, found in self.predictions.items()}
        frames, cell = self.frames.select(index), {**self.cell, "track": track}
        return dataclasses.replace(self, predictions=chosen, frames=frames, cell=cell)

    def table(
        self, metrics: Sequence[str], results_of: Callable[[str, Predictions], Results]
    ) -> pd.DataFrame:
        """A row per method and metric.

        results_of: from a method and its predictions the result of each metric and the share of
        failed frames, or why there are none. A method that refused the frames is not asked.
        """
        rows = []
        for name, prediction in self.predictions.items():
            try:
                results = prediction.meta.get("refused") or results_of(name, prediction)
            except InputError as error:
                raise InputError(f"method '{name}': {error}") from None
            if isinstance(results, str):
                results = [results] * len(metrics), np.nan
            for metric, result in zip(metrics, results[0], strict=True):
                numbers, note = ((), result) if isinstance(result, str) else (result, "")
                made = row(self.cell, name, metric, len(prediction), numbers, note)
                rows.append(made | {"failure_rate": results[1]})
        return tidy(rows)


def row(
    cell: Mapping[str, object],
    method: str,
    metric: str,
    n_frames: int,
    numbers: Iterable[Any] = (),
    note: str = "",
) -> dict[str, Any]:
    """One row. numbers: value and interval before `Metric.factor`, or the value alone, or none."""
    scaled = [METRICS[metric].factor * number for number in numbers]
    names = {"method": method, "metric": metric, "unit": METRICS[metric].unit}
    values = dict(zip(NUMBERS, scaled, strict=False))
    return {**cell, **names, **values, "n_frames": n_frames, "note": note}


def tidy(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table of the columns `COLUMNS`."""
    return pd.DataFrame(list(rows)).reindex(columns=COLUMNS)
