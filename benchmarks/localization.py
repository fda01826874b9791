"""Localization from audio files with known answers, per (T60, SNR).

    python benchmarks/localization.py --frames FILE.npz [FILE.npz ...] --json OUT

Each file holds audio (int16 times scale, or float), mics, src, t60, snr_db, fs and c. Prints
median, MAE, percentage within 30 cm and of failures of each method for every cell and over all.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: times are of one core

import numpy as np
import pandas as pd

from wavloc import config, files, provenance
from wavloc.frames import Frames
from wavloc.methods import registry


def read(path: Path) -> tuple[Frames, np.ndarray, np.ndarray]:
    """Frames of a file, and the T60 (s) and SNR (dB) of each."""
    with np.load(path, allow_pickle=False) as stored:
        data = {name: stored[name] for name in stored.files}
    audio = data["audio"].astype(np.float32)
    if "scale" in data:
        audio *= data["scale"][:, None, None].astype(np.float32)
    meta = {"room": data["room_dim"].tolist()} if "room_dim" in data else {}
    frames = Frames(
        audio=audio,
        source_audio=np.full((len(audio), audio.shape[-1]), np.nan, np.float32),
        mic_positions=data["mics"].astype(float),
        source_position=data["src"].astype(float),
        table=pd.DataFrame({"frame": np.arange(len(audio))}),
        sample_rate=int(data["fs"]),
        speed_of_sound=float(data["c"]),
        meta=meta,
    )
    frames.check(str(path))
    return frames, data["t60"], data["snr_db"]


def capped_error_cm(position: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors (n,) of positions (n, 3), at most 3 m, and which (n,) failed; those count as 3 m."""
    failed = ~np.isfinite(position).all(axis=1)
    error = np.linalg.norm(position - truth, axis=1)
    return 100 * np.where(failed, 3.0, np.minimum(error, 3.0)), failed


def result_row(name: str, case: str, error: np.ndarray, failed: np.ndarray, ms: float) -> dict:
    """Metrics of capped errors (n,) in cm."""
    return {
        "case": case,
        "solver": name,
        "median_cm": float(np.median(error)),
        "mae_cm": float(error.mean()),
        "acc30": float(100 * ((error < 30) & ~failed).mean()),
        "failure_rate": float(100 * failed.mean()),
        "ms": ms,
        "n": len(error),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=Path, nargs="+", required=True)
    methods = "steered,srp_phat,multilat_plus,tdoa_grid,nlls,multilat"
    parser.add_argument("--methods", default=methods)
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    entries = registry.entries(config.load(args.config)) if args.config.is_file() else {}
    rows = []
    for path in args.frames:
        frames, t60, snr = read(path)
        for name in args.methods.split(","):
            method = registry.create(registry.named(name, entries))
            method.predict(frames.select(np.arange(2)))  # tables and caches are made once
            started = time.process_time()
            position = method.predict(frames).position
            ms = 1000 * (time.process_time() - started) / len(frames)
            error, failed = capped_error_cm(position, frames.source_position)
            for cell in sorted(set(zip(t60.tolist(), snr.tolist(), strict=True))):
                in_cell = (t60 == cell[0]) & (snr == cell[1])
                case = f"{path.stem} T60 {cell[0]:g} s, SNR {cell[1]:g} dB"
                rows.append(result_row(name, case, error[in_cell], failed[in_cell], ms))
            rows.append(result_row(name, f"{path.stem} all", error, failed, ms))
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.2f}"))
    if args.json:
        files.write_json(args.json, {"rows": rows, "provenance": provenance.stamp()})


if __name__ == "__main__":
    sys.exit(main())
