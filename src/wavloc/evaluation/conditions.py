"""Metrics of the frames of each condition, such as every (T60, SNR) cell of a simulated set."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from wavloc.errors import InputError
from wavloc.evaluation import errors
from wavloc.evaluation.bootstrap import Resampling
from wavloc.evaluation.rows import COLUMNS
from wavloc.frames import Frames
from wavloc.methods.predictions import Predictions

WORDS = {"t60_nominal_s": "T60 {:g} s", "snr_db": "SNR {:g} dB"}


def score(
    predictions: Mapping[str, Predictions],
    frames: Frames,
    cell: Mapping[str, object],
    resampling: Resampling,
    by: Sequence[str],
    known: np.ndarray | None = None,
) -> pd.DataFrame:
    """Metrics of errors by condition, see `by_condition`."""
    return by_condition(errors.score, predictions, frames, cell, resampling, by, known=known)


def by_condition(
    score: Callable[..., pd.DataFrame],
    predictions: Mapping[str, Predictions],
    frames: Frames,
    cell: Mapping[str, object],
    resampling: Resampling,
    by: Sequence[str],
    **options: np.ndarray | Frames | None,
) -> pd.DataFrame:
    """``score`` on the frames of each value of the columns ``by``, and of each combination of them.

    options: of all frames, passed to ``score`` for those of the condition. Rows have the columns
    ``by`` too, empty where frames of all values are together; ``track`` says the condition in
    words.
    """
    missing = [column for column in by if column not in frames.table]
    if missing:
        raise InputError(f"the frames have no column '{missing[0]}' to be grouped by")
    tables = []
    for condition, index in _groups(frames.table, by):
        chosen = {name: _select(prediction, index) for name, prediction in predictions.items()}
        words = [WORDS.get(key, key + " {:g}").format(value) for key, value in condition.items()]
        part = dict(cell) | {"track": ", ".join(words)}
        cut = {
            name: value.select(index) if isinstance(value, Frames) else value[index]
            for name, value in options.items()
            if value is not None
        }
        table = score(chosen, frames.select(index), part, resampling, **cut)
        tables.append(table.assign(**condition))
    return pd.concat(tables).reindex(columns=[*COLUMNS, *by])


def _groups(
    table: pd.DataFrame, columns: Sequence[str]
) -> Iterator[tuple[dict[str, float], np.ndarray]]:
    """Conditions and the rows of their frames, single columns first."""
    for count in range(1, len(columns) + 1):
        for chosen in itertools.combinations(columns, count):
            groups = table.groupby(list(chosen), sort=True).indices
            for values, index in groups.items():
                values = values if isinstance(values, tuple) else (values,)
                yield dict(zip(chosen, map(float, values), strict=True)), index


def _select(predictions: Predictions, index: np.ndarray) -> Predictions:
    """Predictions of some frames."""
    arrays = {
        field.name: value[index]
        for field in dataclasses.fields(predictions)
        if isinstance(value := getattr(predictions, field.name), np.ndarray)
    }
    return dataclasses.replace(predictions, **arrays)
