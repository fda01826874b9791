"""What a run has predicted in a cell, for the parts of the report that read positions."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wavloc.methods import predictions
from wavloc.methods.predictions import Predictions

Cell = tuple[str, str, str, int]  # dataset, track, setup, number of microphones


def dataset_of(spec: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The dataset that plays the role of a table or figure."""
    return config["roles"].get(spec["dataset"], spec["dataset"])


def predicted(results: Path, cell: Cell, names: Iterable[str]) -> dict[str, Predictions]:
    """Predictions by method, in the order of ``names``, of those that there are."""
    dataset, track, setup, mics = cell
    folder = results / "predictions" / dataset / track / f"{setup}-{mics}"
    paths = {name: folder / f"{name}.parquet" for name in names}
    return {name: predictions.load(path) for name, path in paths.items() if path.is_file()}
