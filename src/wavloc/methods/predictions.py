"""What a method predicts: one position, or a named failure, per frame."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from wavloc import files
from wavloc.arrays import read_npy
from wavloc.checks import shown
from wavloc.errors import InputError
from wavloc.frames import Frames

# Stored beside the parquet file.
ARRAYS = (
    "mic_positions", "audio", "reliability", "positions", "certainty", "candidates", "posterior"
)  # fmt: skip


COLUMNS = ("frame", "time_s", "confidence")  # of the file that need not be there
TOLERANCE_S = 1e-3  # between a time of the predictions and that of its frame


@dataclass
class Predictions:
    """position (F, 3) metres, NaN on failure; status (F,) text: ``ok``, a failure or a doubt.

    Optional: covariance (F, 3, 3) m^2; mic_positions (F, M, 3) metres; audio (F, M + 1, N), the
    source's signal first, each with zero mean and unit standard deviation; reliability (F, M) of
    the microphones, from 0 to 1, NaN without audio. Multi-source methods add positions (F, K, 3),
    NaN where there is no source, and their certainty (F, K), from 0 to 1, highest first.
    confidence (F,) is the probability that the position is within 30 cm of the source; candidates
    (F, K, 3) metres and their posterior (F, K) are what it follows from.
    frame (F,) and time_s (F,) say which frames these are, as in the table of the `Frames`.
    seconds_per_frame is measured; meta holds method, options, setup, cost and provenance.
    """

    position: np.ndarray
    status: np.ndarray
    covariance: np.ndarray | None = None
    mic_positions: np.ndarray | None = None
    audio: np.ndarray | None = None
    reliability: np.ndarray | None = None
    positions: np.ndarray | None = None
    certainty: np.ndarray | None = None
    confidence: np.ndarray | None = None
    candidates: np.ndarray | None = None
    posterior: np.ndarray | None = None
    frame: np.ndarray | None = None
    time_s: np.ndarray | None = None
    seconds_per_frame: float = float("nan")
    meta: dict[str, Any] = field(default_factory=dict)
    origin: str = "predictions"  # file that they were read from, for messages

    def __len__(self) -> int:
        return len(self.position)

    @classmethod
    def refused(cls, count: int, reason: str, meta: Mapping[str, Any]) -> Predictions:
        """No position in any of ``count`` frames; the reason is added to the meta data."""
        position, status = np.full((count, 3), np.nan), np.full(count, "refused", dtype=object)
        return cls(position, status, meta={**meta, "refused": reason})

    def select(self, index: np.ndarray) -> Predictions:
        """The predictions of an index array, in its order."""
        arrays = {
            field.name: value[index]
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), np.ndarray)
        }
        return dataclasses.replace(self, **arrays)

    def of(self, frames: Frames) -> Predictions:
        """The predictions in the order of ``frames``: by ``frame``, else by ``time_s``.

        Without either they are taken to be in that order. `InputError` unless there is exactly one
        prediction for each frame.
        """
        if len(self) != len(frames):
            raise InputError(
                f"{self.origin}: {len(self)} rows, expected one per frame ({len(frames)})"
            )
        found, named = self, False
        for name, tolerance in (("frame", 0.0), ("time_s", TOLERANCE_S)):
            own = getattr(found, name)
            if own is not None and name in frames.table:
                expected = frames.table[name].to_numpy(float)
                if not np.allclose(own, expected, rtol=0, atol=tolerance, equal_nan=True):
                    found = found.select(found._order(name, expected, tolerance, named))
                named = True
        return found

    def _order(self, name: str, expected: np.ndarray, tolerance: float, named: bool) -> np.ndarray:
        """Index array that brings ``name`` to the expected values (F,), unless it is ``named``."""
        own = np.asarray(getattr(self, name), float)
        order, wanted = np.argsort(own, kind="stable"), np.argsort(expected, kind="stable")
        same = np.abs(own[order] - expected[wanted]) <= tolerance
        distinct = np.diff(expected[wanted]) > 2 * tolerance
        if same.all() and distinct.all() and not named:
            index = np.empty(len(self), int)
            index[wanted] = order
            return index
        if named:
            row = int(np.argmax(np.abs(own - expected) > tolerance))
            raise InputError(
                f"{self.origin}: other frames than these, {name} of row {row} is {own[row]:g}, "
                f"expected {expected[row]:g}"
            )
        common = int(np.isin(np.unique(own).round(3), expected.round(3)).sum())
        raise InputError(
            f"{self.origin}: {common} of the {len(expected)} frames by '{name}', "
            f"{len(np.unique(own))} different ones in {len(self)} rows; expected each frame once"
        )

    def save(self, path: str | Path) -> None:
        """Write a ``.parquet`` file, `ARRAYS` beside it as ``<stem>.<name>.npy``, or a ``.csv``.

        The parquet file holds digests of its arrays, so that those of other predictions are never
        taken for them. A csv holds the columns alone.
        """
        path = Path(path)
        check_name(path)
        columns = {"frame": self.frame, "time_s": self.time_s}
        columns = {name: values for name, values in columns.items() if values is not None}
        columns |= {axis: self.position[:, k] for k, axis in enumerate("xyz")}
        columns["status"] = np.asarray(self.status, dtype=object)
        if self.confidence is not None:
            columns["confidence"] = self.confidence
        if self.covariance is not None:
            columns |= {name: self.covariance[:, i, j] for name, i, j in _COVARIANCE}
        frame = pd.DataFrame(columns)
        if path.suffix.lower() == ".csv":
            files.write_text(path, frame.to_csv(index=False, lineterminator="\n"))
            return
        stale = [name for name in _digests(path) if getattr(self, name) is None]
        with contextlib.ExitStack() as together:  # the parquet file is the last to be replaced
            whole = together.enter_context(files.replacing(path))
            digests = {}
            for name in ARRAYS:
                array = getattr(self, name)
                if array is not None:
                    temporary = together.enter_context(files.replacing(_array_file(path, name)))
                    with temporary.open("wb") as handle:
                        np.save(handle, array)
                    digests[name] = files.sha256(temporary)
            meta = self.meta | {"seconds_per_frame": self.seconds_per_frame, "arrays": digests}
            table = pa.Table.from_pandas(frame, preserve_index=False)
            known = table.schema.metadata or {}
            table = table.replace_schema_metadata(known | {b"wavloc": json.dumps(meta).encode()})
            pq.write_table(table, whole)
        for name in stale:
            _array_file(path, name).unlink(missing_ok=True)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Predictions of one method one below the other."""
    arrays: dict[str, Any] = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in dataclasses.fields(Predictions)
        if isinstance(getattr(parts[0], field.name), np.ndarray)
    }
    return dataclasses.replace(parts[0], **arrays)


LOCATED = ("ok", "uncertain")  # statuses of positions of a source

_COVARIANCE = [(f"cov_{'xyz'[i]}{'xyz'[j]}", i, j) for i in range(3) for j in range(i, 3)]


def check_name(path: Path) -> None:
    """Raise `InputError` unless `Predictions.save` knows the suffix of the file."""
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise InputError(f"cannot write {path}: expected a name that ends in .parquet or .csv")


def _array_file(path: Path, name: str) -> Path:
    return path.with_suffix(f".{name}.npy")


def _digests(path: Path) -> Mapping[str, str]:
    """Digests of the arrays of a predictions file that may not exist or be another one."""
    with contextlib.suppress(InputError, OSError, ValueError, pa.ArrowException):
        if path.is_file():
            return _meta(path, pq.read_schema(path))["arrays"]
    return {}


def _meta(path: Path, schema: pa.Schema) -> dict[str, Any]:
    """What `Predictions.save` noted in the schema, checked; little in files of other programs."""
    try:
        meta = json.loads((schema.metadata or {}).get(b"wavloc", b"{}"))
    except ValueError as error:
        raise InputError(f"{path}: its metadata are not readable ({error})") from None
    arrays = meta.get("arrays", {}) if isinstance(meta, dict) else None
    if not isinstance(arrays, dict) or not set(arrays) <= set(ARRAYS):
        raise InputError(f"{path}: its metadata are not those of predictions")
    seconds = meta.get("seconds_per_frame", float("nan"))
    if not isinstance(seconds, int | float):
        raise InputError(f"{path}: seconds_per_frame: {shown(seconds)}, expected a number")
    return meta | {"arrays": arrays}


def load(path: str | Path) -> Predictions:
    """Read predictions: parquet by its content, anything else as csv.

    Only the columns x, y, z are required, so any program can write them.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such predictions file")
    meta: dict[str, Any] = {"arrays": {}}
    try:
        with path.open("rb") as handle:
            is_parquet = handle.read(4) == b"PAR1"
        if is_parquet:
            table = pq.read_table(path)
            meta, stored = _meta(path, table.schema), table.to_pandas()
        else:
            stored = pd.read_csv(path, skipinitialspace=True)
    except (OSError, ValueError, NotImplementedError, pa.ArrowException) as error:
        raise InputError(f"{path}: not readable as predictions, parquet or csv ({error})") from None
    made = of_table(stored, str(path))
    digests = meta.pop("arrays")
    arrays: dict[str, Any] = {
        name: _read_array(path, name, digests[name], len(stored)) for name in digests
    }
    seconds = meta.pop("seconds_per_frame", float("nan"))
    return dataclasses.replace(made, **arrays, seconds_per_frame=seconds, meta=meta)


def of_table(stored: pd.DataFrame, origin: str) -> Predictions:
    """Predictions of a table with the columns x, y, z and perhaps others that `Predictions.save`
    writes; origin: where it is from, for messages.
    """
    missing = [axis for axis in "xyz" if axis not in stored]
    if missing:
        raise InputError(
            f"{origin}: column '{missing[0]}' is missing (found: {list(stored.columns)})"
        )
    position = np.stack([_numbers(origin, stored, axis) for axis in "xyz"], axis=1)
    status: Any = np.where(np.isfinite(position).all(axis=1), "ok", "failed").astype(object)
    if "status" in stored:
        status = stored["status"].astype(object).where(stored["status"].notna(), status)
        status = np.array([str(value) for value in status], dtype=object)
    covariance = None
    if "cov_xx" in stored:
        covariance = np.empty((len(stored), 3, 3))
        for name, i, j in _COVARIANCE:
            covariance[:, i, j] = covariance[:, j, i] = _numbers(origin, stored, name)
    more: dict[str, Any] = {
        name: _numbers(origin, stored, name) for name in COLUMNS if name in stored
    }
    return Predictions(position, status, covariance, **more, origin=origin)


def _numbers(path: str, stored: pd.DataFrame, column: str) -> np.ndarray:
    """A column as float64; a missing or another one is an `InputError`."""
    try:
        if stored[column].dtype.kind in "mM":
            raise TypeError("found dates or times")
        return stored[column].to_numpy(np.float64)
    except KeyError:
        raise InputError(f"{path}: column '{column}' is missing") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: column '{column}' must be numbers ({error})") from None


def _read_array(path: Path, name: str, digest: str, rows: int) -> np.ndarray:
    """An array beside the file; another one than was saved with it is an `InputError`."""
    file = _array_file(path, name)
    if not file.is_file():
        raise InputError(f"{file}: no such file, but it is part of {path}; predict again")
    if files.sha256(file) != digest:
        raise InputError(f"{file}: does not belong to {path} (another digest); predict again")
    array = read_npy(file)
    if array.ndim == 0 or len(array) != rows:
        raise InputError(f"{file}: shape {array.shape}, expected {rows} rows as in {path}")
    return array
