"""Tidy tables: one row per cell, method and metric, put together from metrics files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wavloc.errors import InputError
from wavloc.evaluation.metrics import METRICS

CELL = ["track", "setup", "method", "mics", "metric"]
NUMBERS = ["value", "ci_low", "ci_high", "failure_rate", "paper_value", "paper_halfwidth"]
NOT_COMPUTED = "not computed"  # start of the note of a cell that no metrics file holds
COLUMNS = ["table", "dataset", *CELL, "unit", *NUMBERS[:3], "n_frames", *NUMBERS[3:], "note"]


def read(path: str | Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read a tidy csv; names stay text, empty text is empty, ``columns`` must be there."""
    text = dict.fromkeys(("table", "dataset", "track", "setup", "method", "metric", "unit"), str)
    try:
        frame = pd.read_csv(path, dtype=text)
    except FileNotFoundError:
        raise InputError(f"{path}: no such table") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as csv ({error})") from None
    missing = [name for name in columns if name not in frame]
    if missing:
        raise InputError(f"{path}: column '{missing[0]}' is missing (found: {list(frame.columns)})")
    for name in ("note", "unit"):
        if name in frame:
            frame[name] = frame[name].astype(object).where(frame[name].notna(), "").astype(str)
    return frame


def metrics_of(spec: Mapping[str, Any]) -> list[str]:
    """Metrics in the csv of a table: those shown; in tables of errors, all that are everywhere."""
    everywhere = [name for name, metric in METRICS.items() if metric.everywhere]
    of_errors = any(metric in everywhere for metric in spec["metrics"])
    return list(dict.fromkeys([*spec["metrics"], *(everywhere if of_errors else ())]))


def with_tracks(spec: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The spec; where it names no tracks, with the known ones, in their order."""
    return dict(spec) | {"tracks": spec.get("tracks") or list(dict.fromkeys(known))}


def assemble(
    name: str,
    spec: Mapping[str, Any],
    methods: Mapping[str, Mapping[str, Any]],
    metrics: Sequence[Path],
    paper: Path | None = None,
) -> pd.DataFrame:
    """One row per expected (track, setup, mics, method, metric), in the order of the spec.

    A cell that no metrics file holds gets an empty value and a note that starts with "not
    computed". A spec without tracks has those of the metrics files. ``paper`` is a csv of published
    values, joined to exactly the cells it names.
    """
    for metric in spec["metrics"]:
        if metric not in METRICS:
            raise InputError(f"{name}.metrics: '{metric}', expected one of {', '.join(METRICS)}")
    known = _known(spec["dataset"], metrics)
    spec = with_tracks(spec, [key[0] for key in known])
    if not spec["tracks"]:
        raise InputError(f"{name}: no metrics file has a row of data set {spec['dataset']}")
    published = _published(name, paper) if paper else {}
    computed = {key[:-1] for key in known}
    table = []
    cells = itertools.product(
        spec["tracks"], spec["setups"], spec["mics"], methods, metrics_of(spec)
    )
    for track, setup, mics, method, metric in cells:
        key = (track, setup, method, int(mics), metric)
        row = dict(known.get(key, {}))
        unit = METRICS[metric].unit
        if not row and key[:-1] in computed:
            row["note"] = f"{NOT_COMPUTED}: the metrics of this cell lack '{metric}'"
        elif not row:
            row["note"] = f"{NOT_COMPUTED}: no metrics for this cell"
        elif row["unit"] != unit:
            raise InputError(f"cell {key}: unit '{row['unit']}', expected '{unit}'")
        elif pd.isna(row["value"]) and not row["note"]:
            row["note"] = "no frame could be located"
        row |= dict(zip(CELL, key, strict=True)) | published.get(key, {})
        table.append(row | {"table": name, "dataset": spec["dataset"], "unit": unit})
    frame = pd.DataFrame(table, columns=COLUMNS)
    # Rounded here, not in the file only, so that -0.0 and the last bits never reach a table.
    frame[NUMBERS] = frame[NUMBERS].astype(float).round(4) + 0.0
    return frame.astype({"mics": "Int64", "n_frames": "Int64"})


def _known(dataset: str, metrics: Sequence[Path]) -> dict[tuple, dict[str, Any]]:
    """Rows of a dataset in metrics files by cell, method and metric."""
    known: dict[tuple, dict[str, Any]] = {}
    for path in metrics:
        rows = read(path, ["dataset", *CELL, "unit", "value", "ci_low", "ci_high", "note"])
        for row in rows[rows["dataset"] == dataset].to_dict("records"):
            key = tuple(row[column] for column in CELL)
            if key in known:
                raise InputError(f"{path}: cell {key} of {dataset} is there twice")
            known[key] = row
    return known


def _published(name: str, path: Path) -> dict[tuple, dict[str, float]]:
    """Published values of one table by cell, as printed in the paper."""
    rows = read(path, ["table", *CELL, "paper_value", "paper_halfwidth"])
    values: dict[tuple, dict[str, float]] = {}
    for row in rows[rows["table"] == name].to_dict("records"):
        key = tuple(row[column] for column in CELL)
        if key in values:
            raise InputError(f"{path}: cell {key} of {name} is there twice")
        values[key] = {column: row[column] for column in ("paper_value", "paper_halfwidth")}
    return values
