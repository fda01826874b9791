"""Position solvers on tables of delays with known answers, one row per case and solver.

    python benchmarks/multilateration.py [--cases FILE.npz] [--json OUT] [--out FOLDER]

The file holds mics_m, fs_hz, c_m_s, case_names and per case tdoa (samples), mic_index and source_m.
Without a file two cases are simulated with LuViRA's microphones: one delay per pair, a fifth of
them wrong, and four candidates per pair, one of them right in 60 % of the pairs. Times are CPU
milliseconds per frame of one thread, the least of three repeats.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from localization import capped_error_cm, result_row
from measuring import add_output, canvas, finish

from wavloc.geometry import LUVIRA_MICS, pairs, tdoa
from wavloc.reporting.style import save

SOLVERS = "multilat_plus,tdoa_grid,multilat,nlls,linear_ls"
REPEATS = 3
RATE, SPEED = 16000, 343.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path)
    parser.add_argument("--frames", type=int, default=300, help="of a simulated case (300)")
    add_output(parser)
    parser.add_argument("--solvers", default=SOLVERS, help=f"some of {SOLVERS}")
    parser.add_argument(
        "--cases-only",
        "--only",
        dest="only",
        default="",
        help="names of cases, separated by commas",
    )
    args = parser.parse_args()
    solvers = args.solvers.split(",")
    unknown = [solver for solver in solvers if solver not in SOLVERS.split(",")]
    if unknown:
        raise SystemExit(f"wavloc: error: --solvers {unknown[0]}: expected some of {SOLVERS}")
    try:
        stored = np.load(args.cases, allow_pickle=False) if args.cases else simulate(args.frames)
        names = [str(name) for name in stored["case_names"]]
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"wavloc: error: {args.cases}: not a file of cases ({error})") from None
    wanted = args.only.split(",") if args.only else names
    rows = [run(stored, case, solver) for case in names if case in wanted for solver in solvers]
    finish(rows, args, "multilateration", plot)


def simulate(frames: int) -> dict[str, np.ndarray]:
    """Two cases as a file holds them; right delays have errors of 0.3 samples."""
    rng = np.random.default_rng(0)
    low, high = LUVIRA_MICS.min(axis=0), LUVIRA_MICS.max(axis=0)
    source = rng.uniform(low, high, (frames, 3))
    exact = tdoa(source, LUVIRA_MICS[None], RATE, SPEED)
    first, second = pairs(len(LUVIRA_MICS)).T
    span = np.linalg.norm(LUVIRA_MICS[first] - LUVIRA_MICS[second], axis=-1) * RATE / SPEED
    stored = {"mics_m": LUVIRA_MICS, "fs_hz": np.array(RATE), "c_m_s": np.array(SPEED)}
    stored["case_names"] = np.array(["one peak, 20 % wrong", "four peaks, 60 % right"])
    for case, peaks, right in zip(stored["case_names"], (1, 4), (0.8, 0.6), strict=True):
        size = (*exact.shape, peaks)
        delays = rng.uniform(-1, 1, size) * span[:, None]
        is_right = rng.random(exact.shape) < right
        rank = rng.integers(peaks, size=exact.shape)[..., None]
        value = np.where(is_right, exact + rng.normal(0, 0.3, exact.shape), delays[..., 0])
        np.put_along_axis(delays, rank, value[..., None], -1)
        stored[f"{case}/tdoa"] = delays if peaks > 1 else delays[..., 0]
        stored[f"{case}/mic_index"] = np.tile(np.arange(len(LUVIRA_MICS)), (frames, 1))
        stored[f"{case}/source_m"] = source
    return stored


def plot(rows: pd.DataFrame, stem: Path) -> None:
    """Milliseconds per frame."""
    table = rows.pivot(index="case", columns="solver", values="ms")
    figure, axes = canvas(1, 7)
    table.plot.bar(ax=axes[0, 0], logy=True, rot=10, ylabel="CPU ms per frame", xlabel="")
    axes[0, 0].legend(frameon=False, fontsize=6)
    save(figure, stem)


def run(stored: Mapping[str, np.ndarray], case: str, solver: str) -> dict:
    """Solve all frames of a case and score them. The search box is that of the whole array."""
    method = importlib.import_module(f"wavloc.methods.classical.{solver}")
    array = stored["mics_m"]
    index = stored[f"{case}/mic_index"]
    mics = array if index.shape[1] == len(array) else array[index]
    delays = stored[f"{case}/tdoa"].astype(float)
    bounds = (array.min(axis=0) - [0.5, 0.5, 1.0], array.max(axis=0) + 0.5)
    settings = (float(stored["fs_hz"]), float(stored["c_m_s"]), method.Options(), 0, bounds)
    method.solve(delays, mics, *settings)  # tables and caches are made once
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        position = method.solve(delays, mics, *settings)[0]
        times.append(1000 * (time.process_time() - started) / len(delays))
    error, failed = capped_error_cm(position, stored[f"{case}/source_m"])
    return result_row(solver, case, error, failed, min(times))


if __name__ == "__main__":
    sys.exit(main())
