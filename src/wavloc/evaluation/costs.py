"""What methods cost: measured when they were trained and when they predicted."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from wavloc.evaluation.base import row, tidy
from wavloc.methods.predictions import Predictions

UNTRAINED = "nothing to train"
UNKNOWN = "not measured: made by other means than the training stage"

Measured = dict[str, tuple[float | None, str]]  # metric -> value and note


def costs(
    predictions: Mapping[str, Predictions],
    trainings: Mapping[str, Mapping[str, Any]],
    cell: Mapping[str, object],
) -> pd.DataFrame:
    """Rows of the metrics of kind ``costs``; the note names the device, or why a value is missing.

    trainings: method -> what its model noted in training; a method without one learns nothing.
    """
    return tidy(
        row(cell, name, metric, len(prediction), [] if value is None else [value], note)
        for name, prediction in predictions.items()
        for metric, (value, note) in (
            _training(trainings.get(name)) | _prediction(prediction)
        ).items()
    )


def _training(note: Mapping[str, Any] | None) -> Measured:
    cost = (note or {}).get("cost")
    if not cost:
        reason = UNTRAINED if note is None else UNKNOWN
        return dict.fromkeys(("train_hours", "train_memory", "train_energy"), (None, reason))
    where = f"trained on {cost['device']}"
    energy = cost["energy_wh"]
    return {
        "train_hours": (cost["seconds"] / 3600, where),
        "train_memory": (cost["peak_memory_mb"], where),
        "train_energy": (energy, cost["energy_note"] if energy is None else where),
    }


def _prediction(prediction: Predictions) -> Measured:
    reason, cost = prediction.meta.get("refused"), prediction.meta.get("cost")
    if reason or not cost:
        names = ("ms_per_frame", "frames_per_s", "memory", "energy")
        return dict.fromkeys(names, (None, reason or UNKNOWN))
    where = f"run on {cost['device']}"
    energy = cost["energy_wh"]
    per_frame = None if energy is None else 1e3 * energy / max(len(prediction), 1)
    return {
        "ms_per_frame": (1e3 * prediction.seconds_per_frame, where),
        "frames_per_s": (1 / prediction.seconds_per_frame, where),
        "memory": (cost["peak_memory_mb"], where),
        "energy": (per_frame, cost["energy_note"] if energy is None else where),
    }
