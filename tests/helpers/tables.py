"""A table of made-up metrics: its spec, its methods and files of its cells."""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd

from wavloc.evaluation.metrics import METRICS
from wavloc.reporting import tables

SPEC = {
    "title": "Table I",
    "caption": "All microphones, 50 % of A & B_1.",
    "layout": "tracks",
    "dataset": "luvira",
    "tracks": ["music3", "speech3"],
    "setups": ["1a"],
    "mics": [11],
    "metrics": ["mae", "acc30"],
}
VALUES = {"mae": "cm", "median": "cm", "acc30": "%", "failure_rate": "%"}
PAPER = "config/paper_values.csv"
REFUSAL = "gnn needs at least 12 microphones & <more>, got 11"


def method(label, paper_label=None, control=False, parameters=None):
    return {
        "label": label,
        "paper_label": paper_label,
        "reference": f"{label} et al.",
        "input_types": "raw audio",
        "learned": False,
        "permutation_invariant": True,
        "variable_mics": True,
        "parameters": parameters,
        "control": control,
    }


METHODS = {
    "oracle": method("oracle", control=True),
    "srp_phat": method("SRP_PHAT 100%"),
    "multilat": method("multilateration", "Multilat"),
    "gnn": method("GNN", "GNN", parameters=1_234_567),
    "wav2pos": method("wav2pos", "wav2pos", parameters=340_000),
}


def cell(folder, name, track, value, setup="1a", mics=11, dataset="luvira", note=""):
    """A metrics file of one cell and one method, in the form of the evaluation stage."""
    rows = [
        {
            "dataset": dataset, "track": track, "setup": setup, "mics": mics, "method": name,
            "metric": metric, "unit": unit, "value": value, "ci_low": value - 0.5,
            "ci_high": value + 0.5, "n_frames": 100, "failure_rate": 2.0, "note": note,
        }
        for metric, unit in VALUES.items()
    ]  # fmt: skip
    path = folder / f"{dataset}-{track}-{setup}-{mics}-{name}.csv"
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.6f")
    return path


def pick(frame, **wanted):
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame


ENTRY = {"label": "Multilat", "place": 0, "reference": "", "control": False}
ROWS = {"multilat": ENTRY, "gnn": ENTRY | {"label": "GNN", "place": 1}}


def measured(folder: Path, track: str, mics: int, value: float) -> Path:
    """A metrics file of one cell."""
    rows = [
        {"dataset": "d", "track": track, "setup": "1a", "mics": mics, "method": method,
         "metric": metric, "unit": METRICS[metric].unit, "value": value,
         "ci_low": value - 1, "ci_high": value + 1, "n_frames": 9, "failure_rate": 0, "note": ""}
        for method, metric in itertools.product(ROWS, tables.metrics_of({"metrics": ["mae"]}))
    ]  # fmt: skip
    path = folder / f"{track}-{mics}.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path
