"""Metrics of the frames of each condition, such as every (T60, SNR) cell of a simulated set."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from wavloc.errors import InputError
from wavloc.evaluation import errors
from wavloc.evaluation.base import COLUMNS, Evaluation
from wavloc.frames import Frames

WORDS = {"t60_nominal_s": "T60 {:g} s", "snr_db": "SNR {:g} dB", "set": "set {:g}"}


def score(
    evaluation: Evaluation, by: Sequence[str], known: np.ndarray | None = None
) -> pd.DataFrame:
    """Metrics of errors by condition, see `by_condition`; of the frames whose position is known."""
    labelled = np.isfinite(evaluation.frames.source_position).all(axis=1)
    if labelled.any() and not labelled.all():
        index = np.flatnonzero(labelled)
        evaluation = evaluation.select(index, str(evaluation.cell["track"]))
        known = None if known is None else known[index]
    return by_condition(errors.score, evaluation, by, known=known)


def by_condition(
    score: Callable[..., pd.DataFrame],
    evaluation: Evaluation,
    by: Sequence[str],
    **options: np.ndarray | Frames | None,
) -> pd.DataFrame:
    """``score`` on the frames of each value of the columns ``by``, and of each combination of them.

    options: of all frames, passed to ``score`` for those of the condition. Rows have the columns
    ``by`` too, empty where frames of all values are together; ``track`` says the condition in
    words.
    """
    missing = [column for column in by if column not in evaluation.frames.table]
    if missing:
        raise InputError(f"the frames have no column '{missing[0]}' to be grouped by")
    tables = []
    for condition, index in _groups(evaluation.frames.table, by):
        words = [WORDS.get(key, key + " {:g}").format(value) for key, value in condition.items()]
        cut = {
            name: value.select(index) if isinstance(value, Frames) else value[index]
            for name, value in options.items()
            if value is not None
        }
        table = score(evaluation.select(index, ", ".join(words)), **cut)
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
                yield dict(zip(chosen, map(float, values), strict=True)), np.asarray(index)
