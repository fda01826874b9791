"""Tidy tables: one row per cell, method and metric, put together from metrics files."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from wavloc import files
from wavloc.checks import one_of
from wavloc.errors import InputError
from wavloc.evaluation.metrics import METRICS

CELL = ["track", "setup", "method", "mics", "metric"]
PAPER = ["paper_value", "paper_halfwidth"]
NUMBERS = ["value", "ci_low", "ci_high", "failure_rate", *PAPER]
METRICS_COLUMNS = ["unit", *NUMBERS[:3], "note"]  # that a metrics file must have
NOT_COMPUTED = "not computed"  # start of the note of a cell that no metrics file holds
COLUMNS = ["table", "dataset", *CELL, "unit", *NUMBERS[:3], "n_frames", *NUMBERS[3:], "note"]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as dictionaries."""
    return cast(list[dict[str, Any]], frame.to_dict("records"))


def read(path: str | Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read a tidy csv; names stay text, empty text is empty, ``columns`` must be there."""
    text = dict.fromkeys(("table", "dataset", "track", "setup", "method", "metric", "unit"), str)
    files.require_regular(Path(path))
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
        one_of(metric, METRICS, f"{name}.metrics:")
    known = _by_cell(metrics, "dataset", spec["dataset"], METRICS_COLUMNS)
    spec = with_tracks(spec, [key[0] for key in known])
    if not spec["tracks"]:
        raise InputError(f"{name}: no metrics file has a row of data set {spec['dataset']}")
    printed = _by_cell([paper] if paper else [], "table", name, PAPER)
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
            missing = methods[method].get("missing", "no metrics for this cell")
            row["note"] = methods[method].get("refused") or f"{NOT_COMPUTED}: {missing}"
        elif row["unit"] != unit:
            raise InputError(f"cell {key}: unit '{row['unit']}', expected '{unit}'")
        elif pd.isna(row["value"]) and not row["note"]:
            row["note"] = "no frame could be located"
        row |= dict(zip(CELL, key, strict=True))
        if key in printed:
            row |= {column: printed[key][column] for column in PAPER}
        table.append(row | {"table": name, "dataset": spec["dataset"], "unit": unit})
    frame = pd.DataFrame(table, columns=COLUMNS)
    # Rounded here, not in the file only, so that -0.0 and the last bits never reach a table.
    frame[NUMBERS] = frame[NUMBERS].astype(float).round(4) + 0.0
    return frame.astype({"mics": "Int64", "n_frames": "Int64"})


def _by_cell(
    paths: Iterable[Path], column: str, value: str, columns: Sequence[str]
) -> dict[tuple, dict[str, Any]]:
    """Rows that have a value in a column, by cell, method and metric; each may be there once."""
    known: dict[tuple, dict[str, Any]] = {}
    for path in paths:
        rows = read(path, [column, *CELL, *columns])
        for row in records(rows[rows[column] == value]):
            key = tuple(row[name] for name in CELL)
            if key in known:
                raise InputError(f"{path}: cell {key} of {value} is there twice")
            known[key] = row
    return known
