"""The history of a training run as csv and as a plot."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from wavloc import files

LOSSES = ("train_loss", "loss")
FLAT = 0.02  # relative difference of the criterion to its best that counts as none
LAST = 0.2  # share of the epochs in which a converged training has nothing left to gain


def flat_since(rows: Sequence[dict[str, Any]]) -> int:
    """The epoch from which on the best criterion so far is within `FLAT` of the best of all."""
    best = min(row["criterion"] for row in rows)
    near = (row["epoch"] for row in rows if row["criterion"] <= best + FLAT * abs(best))
    return int(next(near, rows[-1]["epoch"]))


def converged(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether the last epochs brought nothing: the curve of the criterion is flat."""
    return flat_since(rows) <= (1 - LAST) * rows[-1]["epoch"]


def write(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """``history.csv`` (one row per epoch) and ``history.png`` (losses, validation metrics).

    A picture that cannot be drawn is a warning: the model matters more.
    """
    table = pd.DataFrame(rows)
    table["flat"] = table["epoch"] >= flat_since(rows)
    files.write_text(folder / "history.csv", table.to_csv(index=False, float_format="%.6g"))
    try:
        _draw(folder / "history.png", table)
    except Exception as error:  # whatever the drawing library raises
        warnings.warn(f"history.png is not drawn: {error}", stacklevel=2)


def _draw(path: Path, table: pd.DataFrame) -> None:
    fixed = {"epoch", "flat", "learning_rate", "frames_per_s", "criterion", *LOSSES}
    metrics = [name for name in map(str, table) if name not in fixed]
    metrics = [name for name in metrics if not name.startswith(("train_", "loss_"))]
    plot = Figure(figsize=(4 * (1 + len(metrics)), 3))
    axes = plot.subplots(1, 1 + len(metrics), squeeze=False)[0]
    for name, label in zip(LOSSES, ("training", "validation"), strict=True):
        axes[0].plot(table["epoch"], table[name], label=label)
    axes[0].set(xlabel="epoch", ylabel="loss", yscale="log")
    for axis, name in zip(axes[1:], metrics, strict=True):
        axis.plot(table["epoch"], table[name])
        axis.set(xlabel="epoch", ylabel=f"validation {name}", ylim=(0, None))
    flat = table.loc[table["flat"], "epoch"].min()
    for axis in axes:
        axis.axvline(flat, color="0.6", linestyle=":", label=f"flat from epoch {flat}")
    axes[0].legend()
    with files.replacing(path) as temporary:
        plot.savefig(temporary, dpi=100, bbox_inches="tight", metadata={"Software": None})
