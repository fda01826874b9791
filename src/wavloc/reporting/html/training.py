"""Trained models: a table, and training curves drawn inside the page, in its colours."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from wavloc.reporting.html.templates import macro
from wavloc.training.history import FLAT, LAST, LOSSES

WIDTH, HEIGHT, MARGIN = 240, 110, 10  # of a drawing, CSS pixels
SCALE = 34  # room for the scale on the left


@dataclass(frozen=True)
class Model:
    """A trained model: where it belongs, its history (a row per epoch) and its ``method.json``."""

    dataset: str
    split: str
    name: str
    history: pd.DataFrame
    note: Mapping[str, Any]
    seconds: float | None  # of the training job, where the run kept it


HEADS = (
    *("model", "dataset", "split", "parameters", "frames", "epochs", "best epoch"),
    *("criterion", "flat since", "frames/s", "time (s)", "device"),
)
NUMERIC = range(3, 11)


def section(models: Sequence[Model]) -> dict[str, Any] | None:
    """A table of all models, and the curves of each split; None without models."""
    grouped = itertools.groupby(models, lambda m: (m.dataset, m.split))
    groups = [
        {"name": f"{dataset}, split {split}", "curves": [*map(curve, members)]}
        for (dataset, split), members in grouped
    ]
    table = {"heads": HEADS, "rows": [*map(row, models)], "numeric": NUMERIC}
    shares = {"flat": f"{FLAT:.0%}", "last": f"{LAST:.0%}"}
    return {**table, **shares, "groups": groups} if models else None


def row(model: Model) -> list[Any]:
    """A model in the table of models, in the order of `HEADS`."""
    training = model.note["training"]
    return [
        *(model.name, model.dataset, model.split, model.note["parameters"], training["frames"]),
        *(training["epochs"], training["best_epoch"], f"{training['criterion']:.4g}"),
        f"{training['flat_since']}{'' if training['converged'] else ' (still falls)'}",
        f"{model.history['frames_per_s'].median():.0f}",
        "" if model.seconds is None else f"{model.seconds:.1f}",
        training.get("provenance", {}).get("device", ""),
    ]


def drawing(model: Model) -> str:
    """The curves of a model as HTML."""
    return macro("curve", curve(model))


def curve(model: Model) -> dict[str, Any]:
    """What the macro ``curve`` draws: losses over epochs on a logarithmic scale, a mark at the
    epoch that was kept.
    """
    history = model.history
    epochs = history["epoch"].to_numpy(float)
    values = np.stack([history[name].to_numpy(float) for name in LOSSES])
    logs = np.log10(np.where(values > 0, values, np.nan))
    known = logs[np.isfinite(logs)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    if high - low < 1e-3:
        low, high = low - 0.5, high + 0.5
    x = SCALE + (epochs - 1) / max(epochs.max() - 1, 1) * (WIDTH - MARGIN - SCALE)
    y = MARGIN + (high - logs) / (high - low) * (HEIGHT - 2 * MARGIN)
    best = int(model.note["training"]["best_epoch"])
    kept = x[min(np.searchsorted(epochs, best), len(x) - 1)]  # epoch 0: the weights at the start
    criterion = history["criterion"].to_numpy(float)
    share = criterion / max(np.nanmax(criterion), 1e-9)
    y = np.vstack([y, HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN)])
    kinds = ("train", "valid", "criterion")
    lines = [_line(x, heights, kind) for heights, kind in zip(y, kinds, strict=True)]
    count = f"{len(epochs)} epoch{'s' * (len(epochs) != 1)}"
    falls = "" if model.note["training"].get("converged", True) else ", still falls"
    alternative = (
        f"{model.name}: training loss {values[0][0]:.3g} to {values[0][-1]:.3g}, validation loss "
        f"{values[1][0]:.3g} to {values[1][-1]:.3g}, criterion {criterion[0]:.3g} to "
        f"{criterion[-1]:.3g}, epoch {best} of {len(epochs)} kept"
    )
    ends = [(MARGIN + 3, high), (HEIGHT - MARGIN + 3, low)]
    return {
        "caption": f"{model.name}, {count}{falls}",
        "alternative": alternative,
        "kept": f"{kept:.1f}",
        "lines": lines,
        "scale": [(place, f"{10**end:.3g}") for place, end in ends],
        **{"width": WIDTH, "height": HEIGHT, "left": SCALE - 6},
    }


def _line(x: np.ndarray, y: np.ndarray, kind: str) -> dict[str, Any]:
    """One curve; a single epoch is a dot."""
    points = [f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True) if np.isfinite(b)]
    dot = points[0].split() if len(points) == 1 else None
    return {"kind": kind, "dot": dot, "path": f"M{'L'.join(points)}" if points else ""}
