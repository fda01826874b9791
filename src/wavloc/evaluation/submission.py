"""Submissions to a leaderboard: predictions of anybody's method, checked, and tied to the frames.

A submission is a folder: the predictions, and ``submission.json``, which states the digests of both
sides. It is scored only on frames of that digest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wavloc import evaluation, files
from wavloc.checks import shown
from wavloc.errors import InputError
from wavloc.evaluation.errors import failures
from wavloc.frames import Frames
from wavloc.methods import predictions
from wavloc.methods.predictions import Predictions

PREDICTIONS, CARD = "predictions.parquet", "submission.json"
SHOWN = ("mae", "median", "acc30", "failure_rate", "difference_to_best")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
FAR = 100  # times the extent of the array: such positions are of another unit or origin
_BLOCK = 64  # frames that are read together


def digest(frames: Frames) -> str:
    """Digest of what a method is given: sound or arrival times, microphones, frames' times; not of
    the truth, so that those who have none get the same.
    """
    whole = hashlib.sha256(f"{frames.sample_rate} {frames.speed_of_sound}".encode())
    columns = [name for name in ("frame", "time_s") if name in frames.table]
    whole.update(frames.table[columns].to_numpy(float).tobytes())
    for array in (frames.mic_positions, frames.arrivals):
        whole.update(b"none" if array is None else np.ascontiguousarray(array, float).tobytes())
    for first in range(0, len(frames), _BLOCK):
        whole.update(frames.window(slice(first, first + _BLOCK)).tobytes())
    return whole.hexdigest()


def check(found: Predictions, frames: Frames) -> dict[str, Any]:
    """Match predictions to frames and count: ``frames``, ``located``, ``statuses``.

    `InputError` where a row is missing or twice, a frame without a position is called ``ok``, or
    positions are far from everything.
    """
    matched = found.of(frames)
    failed = failures(matched)
    lying = np.flatnonzero(failed & (matched.status == "ok"))
    if len(lying):
        raise InputError(
            f"{found.origin}: status of row {lying[0]} is 'ok' and it has no position, expected "
            f"another status or numbers in x, y, z ({len(lying)} rows)"
        )
    mics = frames.mics()
    centre = np.nanmean(mics, axis=1)
    extent = float(np.nanmax(np.linalg.norm(mics - centre[:, None], axis=-1)))
    away = np.linalg.norm(matched.position - centre, axis=1)[~failed]
    if len(away) and np.median(away) > FAR * extent:
        raise InputError(
            f"{found.origin}: half of the positions are more than {np.median(away):.0f} m from the "
            f"microphones, which are within {extent:.1f} m; expected metres in their coordinates"
        )
    names, counts = np.unique(matched.status.astype(str), return_counts=True)
    statuses = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
    return {"frames": len(frames), "located": int((~failed).sum()), "statuses": statuses}


def card(found: Predictions, frames: Frames, name: str, said: Mapping[str, str]) -> dict[str, Any]:
    """The content of ``submission.json`` but for the digest of the predictions.

    name: of the method, small letters, digits, - and _; said: label, reference, setup.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"--name {shown(name)}: expected small letters, digits, - and _")
    return {"name": name, **said, **check(found, frames), "frames_sha256": digest(frames)}


def write(out: Path, found: Predictions, described: Mapping[str, Any]) -> None:
    """Write a submission folder; only columns are kept, no arrays."""
    kept = Predictions(
        found.position, found.status, confidence=found.confidence, frame=found.frame,
        time_s=found.time_s, seconds_per_frame=found.seconds_per_frame,
        meta={key: found.meta[key] for key in ("method", "control") if key in found.meta},
    )  # fmt: skip
    with files.replacing_folder(out, (PREDICTIONS, CARD)) as temporary:
        temporary.mkdir()
        kept.save(temporary / PREDICTIONS)
        sealed = dict(described) | {"predictions_sha256": files.sha256(temporary / PREDICTIONS)}
        files.write_json(temporary / CARD, sealed)


def leaderboard(folder: Path, frames: Frames, seed: int = 0, resamples: int = 2000) -> pd.DataFrame:
    """A row per submission of a folder, best MAE first, with label, reference, setup, counts, and
    the columns `SHOWN` with their intervals (``mae``, ``mae_low``, ``mae_high`` ...).
    """
    cards = sorted(folder.glob(f"*/{CARD}"))
    if not cards:
        raise InputError(f"{folder}: no folder with {CARD}, expected those of `submit-check --out`")
    expected, rows, found = digest(frames), {}, {}
    for path in cards:
        described = files.read_mapping(path)
        try:
            name = described["name"]
            same = described["frames_sha256"] == expected
            sealed = described["predictions_sha256"]
            row = {key: described[key] for key in ("label", "reference", "setup", "located")}
        except KeyError as error:
            raise InputError(f"{path}: no {error}, expected a file of `submit-check`") from None
        if not same:
            raise InputError(f"{path}: frames_sha256 is that of other frames than these")
        if name in rows:
            raise InputError(f"{path}: name '{name}' is there twice")
        file = path.with_name(PREDICTIONS)
        if not file.is_file() or files.sha256(file) != sealed:
            raise InputError(f"{file}: missing or changed since it was checked")
        rows[name], found[name] = row, predictions.load(file)
    cell = {"dataset": "", "track": "", "setup": "", "mics": frames.n_mics}
    scored = evaluation.score("errors", found, frames, cell, seed=seed, resamples=resamples)
    for _, line in scored[scored["metric"].isin(SHOWN)].iterrows():
        ends = {"": "value", "_low": "ci_low", "_high": "ci_high"}
        rows[line["method"]] |= {line["metric"] + end: line[key] for end, key in ends.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("name").reset_index()
    return table.sort_values("mae", kind="stable", na_position="last", ignore_index=True)
