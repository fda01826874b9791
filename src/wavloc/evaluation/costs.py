"""What methods cost: training and prediction as measured when they ran, with the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from wavloc.evaluation.metrics import COLUMNS
from wavloc.methods.predictions import Predictions

UNITS = {
    "train_hours": "h",
    "ms_per_frame": "ms",
    "frames_per_s": "1/s",
    "train_memory": "MB",
    "memory": "MB",
    "train_energy": "Wh",
    "energy": "mWh",  # of a frame
}
UNTRAINED = "nothing to train"
UNKNOWN = "not measured: made by other means than the training stage"


def costs(
    predictions: Mapping[str, Predictions],
    trainings: Mapping[str, Mapping[str, Any]],
    cell: Mapping[str, object],
) -> pd.DataFrame:
    """Rows in the columns of the metrics; the note says the device, or why there is no value.

    trainings: method -> what its model noted in training; methods without one learn nothing.
    """
    rows = []
    for name, found in predictions.items():
        training = trainings.get(name)
        for metric, (value, note) in (_training(training) | _prediction(found)).items():
            row = dict(cell) | {"method": name, "metric": metric, "unit": UNITS[metric]}
            rows.append(row | {"value": value, "note": note, "n_frames": len(found)})
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _training(note: Mapping[str, Any] | None) -> dict[str, tuple[float | None, str]]:
    names = ("train_hours", "train_memory", "train_energy")
    if note is None or not note.get("cost"):
        return dict.fromkeys(names, (None, UNTRAINED if note is None else UNKNOWN))
    cost = note["cost"]
    where = f"trained on {cost['device']}"
    energy = cost["energy_wh"]
    return {
        "train_hours": (cost["seconds"] / 3600, where),
        "train_memory": (cost["peak_memory_mb"], where),
        "train_energy": (energy, cost["energy_note"] if energy is None else where),
    }


def _prediction(found: Predictions) -> dict[str, tuple[float | None, str]]:
    names = ("ms_per_frame", "frames_per_s", "memory", "energy")
    reason, cost = found.meta.get("refused"), found.meta.get("cost")
    if reason or not cost:
        return dict.fromkeys(names, (None, reason or UNKNOWN))
    where = f"run on {cost['device']}"
    energy = cost["energy_wh"]
    each = None if energy is None else 1e3 * energy / max(len(found), 1)
    return {
        "ms_per_frame": (1e3 * found.seconds_per_frame, where),
        "frames_per_s": (1 / found.seconds_per_frame, where),
        "memory": (cost["peak_memory_mb"], where),
        "energy": (each, cost["energy_note"] if energy is None else where),
    }
