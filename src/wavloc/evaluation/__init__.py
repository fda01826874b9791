"""Evaluation: from predictions and truth to metrics with bootstrap intervals."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from wavloc.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from wavloc.frames import Frames
    from wavloc.methods.predictions import Predictions


class Kind(NamedTuple):
    """An evaluation: the module whose ``score`` does it, the options it needs, those it takes."""

    module: str
    needs: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()


# Modules by name, so that the code digest of one kind does not follow the code of the others.
KINDS = {
    "errors": Kind("errors", takes=frozenset({"known"})),
    "conditions": Kind("conditions", needs=frozenset({"by"}), takes=frozenset({"known"})),
    "denoising": Kind("denoising", needs=frozenset({"clean"}), takes=frozenset({"by"})),
    "detection": Kind("detection"),
    "sources": Kind("multi_source"),
}


def module_of(kind: str) -> str:
    """Import path of the module that evaluates a kind of metrics."""
    if kind not in KINDS:
        raise InputError(f"evaluation kind '{kind}', expected one of {', '.join(KINDS)}")
    return f"{__name__}.{KINDS[kind].module}"


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
    known (F, K): microphones whose positions were given while all were heard; the errors of the
    others are evaluated too. clean: the same frames without noise, the reference of reconstructed
    signals. resamples, block: see `bootstrap.Resampling`. A method that refused the frames, or
    failed in every one, gets no values and the reason as note.
    """
    from wavloc.evaluation.bootstrap import Resampling

    module = importlib.import_module(module_of(kind))
    if resamples < 1000:
        raise InputError(f"evaluation.resamples: {resamples}, expected at least 1000")
    options = {"by": list(by) or None, "known": known, "clean": clean}
    options = {name: value for name, value in options.items() if value is not None}
    needs, takes = KINDS[kind].needs, KINDS[kind].takes
    for name in sorted(needs - set(options)):
        raise InputError(f"evaluation of kind '{kind}' needs '{name}'")
    for name in sorted(set(options) - needs - takes):
        raise InputError(f"evaluation of kind '{kind}' does not take '{name}'")
    return module.score(predictions, frames, cell, Resampling(seed, resamples, block), **options)
