"""Evaluation: from predictions and truth to metrics with bootstrap intervals."""

import importlib
import inspect
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from wavloc.checks import one_of
from wavloc.errors import InputError
from wavloc.evaluation.base import Evaluation
from wavloc.frames import Frames
from wavloc.methods.predictions import Predictions

# Kind -> module whose ``score`` does it. Names, so that the code digest of one kind does not follow
# the code of the others.
KINDS = {name: name for name in ("errors", "conditions", "denoising", "detection", "delays")}
KINDS["sources"] = "multi_source"


def module_of(kind: str) -> str:
    """Import path of the module that evaluates a kind of metrics."""
    return f"{__name__}.{KINDS[one_of(kind, KINDS, 'evaluation kind')]}"


def score(
    kind: str,
    predictions: Mapping[str, Predictions],
    frames: Frames,
    cell: Mapping[str, object],
    *,
    by: Sequence[str] = (),
    known: np.ndarray | None = None,
    clean: Frames | None = None,
    seed: int = 0,
    resamples: int = 2000,
    block: int = 1,
) -> pd.DataFrame:
    """Metrics of one kind (a key of `KINDS`) of every method on the same frames, tidy.

    predictions: by name of the method. cell: dataset, track, setup and mics, copied into each row.
    by: columns of the frames' table; the metrics are those of the frames of each of their values.
    known (F, K): microphones whose positions were given to methods that had the signals of all;
    the errors of the others are evaluated too. clean: the same frames without noise, the reference
    of reconstructed signals. resamples, block: see `Evaluation`. A method that refused the frames,
    or failed in every one, gets no values and the reason as note.
    """
    module = importlib.import_module(module_of(kind))
    if resamples < 1000:
        raise InputError(f"evaluation.resamples: {resamples}, expected at least 1000")
    options = {"by": list(by) or None, "known": known, "clean": clean}
    options = {name: value for name, value in options.items() if value is not None}
    takes = inspect.signature(module.score).parameters
    for name in options:
        if name not in takes:
            raise InputError(f"evaluation of kind '{kind}' does not take '{name}'")
    for name, parameter in list(takes.items())[1:]:
        if parameter.default is parameter.empty and name not in options:
            raise InputError(f"evaluation of kind '{kind}' needs '{name}'")
    matched = {name: prediction.of(frames) for name, prediction in predictions.items()}
    return module.score(Evaluation(matched, frames, cell, seed, resamples, block), **options)
