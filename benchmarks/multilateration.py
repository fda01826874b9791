"""Position solvers on tables of delays with known answers, one row per case and solver.

    python benchmarks/multilateration.py --cases FILE.npz --json OUT

The file holds mics_m, fs_hz, c_m_s, case_names and per case tdoa (samples), mic_index and source_m.
Times are CPU milliseconds per frame of one thread, the least of three repeats.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from localization import rows_of

from wavloc import files, plugins, provenance
from wavloc.errors import InputError

SOLVERS = "multilat_plus,tdoa_grid,multilat,nlls,linear_ls"
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--solvers", default=SOLVERS)
    parser.add_argument(
        "--cases-only",
        "--only",
        dest="only",
        default="",
        help="names of cases, separated by commas",
    )
    args = parser.parse_args()
    try:
        stored = np.load(args.cases, allow_pickle=False)
        names = [str(name) for name in stored["case_names"]]
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"wavloc: error: {args.cases}: not a file of cases ({error})") from None
    rows = []
    for case in names:
        if args.only and case not in args.only.split(","):
            continue
        for solver in args.solvers.split(","):
            try:
                rows.append(run(stored, case, solver))
            except InputError as error:
                raise SystemExit(f"wavloc: error: {error}") from None
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.2f}"))
    if args.json:
        files.write_json(args.json, {"rows": rows, "provenance": provenance.stamp()})


def run(stored: np.lib.npyio.NpzFile, case: str, solver: str) -> dict:
    """Solve all frames of a case and score them. The search box is that of the whole array."""
    method = plugins.plugin_class("methods", solver)
    array = stored["mics_m"]
    index = stored[f"{case}/mic_index"]
    mics = array if index.shape[1] == len(array) else array[index]
    delays = stored[f"{case}/tdoa"].astype(float)
    bounds = (array.min(axis=0) - [0.5, 0.5, 1.0], array.max(axis=0) + 0.5)
    given = (float(stored["fs_hz"]), float(stored["c_m_s"]), method.Options(), 0, bounds)
    method.solver(delays, mics, *given)  # tables and caches are made once
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        position = method.solver(delays, mics, *given)[0]
        times.append(1000 * (time.process_time() - started) / len(delays))
    failed = ~np.isfinite(position).all(axis=1)
    error = np.linalg.norm(position - stored[f"{case}/source_m"], axis=1)
    error = 100 * np.where(failed, 3.0, np.minimum(error, 3.0))
    return rows_of(solver, case, error, failed, min(times))


if __name__ == "__main__":
    sys.exit(main())
