"""What a method predicts: one position, or a named failure, per frame."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from wavloc import files
from wavloc.errors import InputError

# Stored beside the parquet file.
ARRAYS = ("mic_positions", "audio", "reliability", "positions", "certainty")


@dataclass
class Predictions:
    """position (F, 3) metres, NaN on failure; status (F,) text: ``ok``, a failure or a doubt.

    Optional: covariance (F, 3, 3) m^2; mic_positions (F, M, 3) metres; audio (F, M + 1, N), the
    source's signal first, each with zero mean and unit standard deviation; reliability (F, M) of
    the microphones, from 0 to 1, NaN without audio. Multi-source methods add positions (F, K, 3),
    NaN where there is no source, and their certainty (F, K), from 0 to 1, highest first.
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
    seconds_per_frame: float = float("nan")
    meta: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.position)

    def save(self, path: str | Path) -> None:
        """Write one parquet file; `ARRAYS` go beside it as ``<stem>.<name>.npy``."""
        path = Path(path)
        columns = {axis: self.position[:, k] for k, axis in enumerate("xyz")}
        columns["status"] = np.asarray(self.status, dtype=object)
        if self.covariance is not None:
            upper = zip(*np.triu_indices(3), strict=True)
            columns |= {f"cov_{'xyz'[i]}{'xyz'[j]}": self.covariance[:, i, j] for i, j in upper}
        for name in ARRAYS:
            array = getattr(self, name)
            if array is not None:
                with files.replacing(path.with_suffix(f".{name}.npy")) as temporary:
                    np.save(temporary, array)
        table = pa.Table.from_pandas(pd.DataFrame(columns), preserve_index=False)
        meta = self.meta | {"seconds_per_frame": self.seconds_per_frame}
        table = table.replace_schema_metadata(
            (table.schema.metadata or {}) | {b"wavloc": json.dumps(meta).encode()}
        )
        with files.replacing(path) as temporary:
            pq.write_table(table, temporary)


def load(path: str | Path) -> Predictions:
    """Read predictions. Only the columns x, y, z are required, so any program can write them."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such predictions file")
    try:
        stored = pd.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as predictions ({error})") from None
    meta: dict[str, Any] = {}
    if isinstance(stored, pa.Table):
        meta = json.loads((stored.schema.metadata or {}).get(b"wavloc", b"{}"))
        stored = stored.to_pandas()
    missing = [axis for axis in "xyz" if axis not in stored]
    if missing:
        raise InputError(
            f"{path}: column '{missing[0]}' is missing (found: {list(stored.columns)})"
        )
    try:
        position = stored[["x", "y", "z"]].to_numpy(np.float64)
    except ValueError as error:
        raise InputError(f"{path}: columns x, y, z must be numbers in metres ({error})") from None
    if "status" in stored:
        status = stored["status"].to_numpy(object)
    else:
        status = np.where(np.isfinite(position).all(axis=1), "ok", "failed")
    covariance = None
    if "cov_xx" in stored:
        covariance = np.empty((len(stored), 3, 3))
        for i, j in zip(*np.triu_indices(3), strict=True):
            covariance[:, i, j] = covariance[:, j, i] = stored[f"cov_{'xyz'[i]}{'xyz'[j]}"]
    arrays = {name: path.with_suffix(f".{name}.npy") for name in ARRAYS}
    return Predictions(
        position=position,
        status=status,
        covariance=covariance,
        **{name: np.load(file, mmap_mode="r") for name, file in arrays.items() if file.is_file()},
        seconds_per_frame=meta.pop("seconds_per_frame", float("nan")),
        meta=meta,
    )
