"""Metrics of the frames of each condition, such as every (T60, SNR) cell of a simulated set."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from wavloc.errors import InputError
from wavloc.evaluation.metrics import COLUMNS, evaluate
from wavloc.frames import Frames
from wavloc.methods.predictions import Predictions

WORDS = {"t60_nominal_s": "T60 {:g} s", "snr_db": "SNR {:g} dB"}


def evaluate_by(
    predictions: Mapping[str, Predictions],
    frames: Frames,
    cell: Mapping[str, object],
    columns: Sequence[str],
    known: np.ndarray | None = None,
    clean: Frames | None = None,
    **options: Any,
) -> pd.DataFrame:
    """`evaluate` on the frames of each value of ``columns``, of one alone and of all together.

    Rows have the columns too, empty where frames of all values are together; ``track`` says the
    condition in words.
    """
    missing = [column for column in columns if column not in frames.table]
    if missing:
        raise InputError(f"the frames have no column '{missing[0]}' to be grouped by")
    tables = []
    for condition, index in _groups(frames.table, columns):
        part = {name: _select(found, index) for name, found in predictions.items()}
        words = [WORDS.get(key, key + " {:g}").format(value) for key, value in condition.items()]
        at = dict(cell) | {"track": ", ".join(words)}
        found = evaluate(
            part,
            frames.select(index),
            at,
            known=None if known is None else known[index],
            clean=None if clean is None else clean.select(index),
            **options,
        )
        tables.append(found.assign(**condition))
    return pd.concat(tables).reindex(columns=[*COLUMNS, *columns])


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


def _select(found: Predictions, index: np.ndarray) -> Predictions:
    arrays = {
        name: None if getattr(found, name) is None else getattr(found, name)[index]
        for name in ("position", "status", "covariance", "mic_positions", "audio")
    }
    return dataclasses.replace(found, **arrays)
