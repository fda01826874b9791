"""What the benchmarks share: ways that take turns, ratios, growth, memory, csv and plot."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from wavloc import files, provenance


def spread(label: str, values: np.ndarray) -> dict:
    """Least, median and largest of a figure."""
    return {
        "figure": label,
        "min": float(values.min()),
        "median": float(np.median(values)),
        "max": float(values.max()),
        "rounds": len(values),
    }


def take_turns(
    ways: dict[Any, Callable[[], object]], rounds: int, device: torch.device | str = "cpu"
) -> dict[Any, np.ndarray]:
    """Seconds (rounds,) of each way; all take turns, the order reversed in every second round.

    CPU seconds on a processor, the clock's on a GPU. Each way is run once before.
    """
    gpu = torch.device(device).type == "cuda"

    def now() -> float:
        if gpu:
            torch.cuda.synchronize(device)
        return time.perf_counter() if gpu else time.process_time()

    for way in ways.values():
        way()
    times: dict[Any, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            started = now()
            ways[name]()
            times[name].append(now() - started)
    return {name: np.array(found) for name, found in times.items()}


def slopes(times: dict[int, np.ndarray]) -> np.ndarray:
    """Slope of log time over log size of each round, from all of its sizes."""
    return np.polyfit(np.log(list(times)), np.log(list(times.values())), 1)[0]


def peak_mb(work: Callable[..., object], *given: object) -> float:
    """Peak memory of a process of its own that does ``work(*given)``; of its GPU if it uses one."""
    pool = multiprocessing.get_context("spawn").Pool(1)
    try:
        return pool.apply(_peak_mb, (work, *given))
    finally:
        pool.close()
        pool.join()


def _peak_mb(work: Callable[..., object], *given: object) -> float:
    torch.set_num_threads(1)
    work(*given)
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path, help="folder of csv and plot")


def finish(
    rows: Iterable[dict],
    args: argparse.Namespace,
    name: str,
    plot: Callable[[pd.DataFrame, Path], None],
) -> None:
    """Print the rows; write ``<name>.csv`` and the plot into --out, and --json."""
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.3g}"))
    print("load of the machine (1, 5, 15 min):", *(f"{load:.2f}" for load in os.getloadavg()))
    if args.json:
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        files.write_json(args.json, {"rows": rows, "provenance": provenance.stamp()})
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        files.write_text(args.out / f"{name}.csv", text)
        plot(table, args.out / name)


def bars(axis: Any, rows: pd.DataFrame, labels: pd.Series, what: str) -> None:
    """Medians as bars with a line from least to largest; logarithmic."""
    axis.bar(labels, rows["median"], color="#0072B2")
    axis.vlines(labels, rows["min"], rows["max"], color="#000000")
    axis.set(ylabel=what, yscale="log")
    axis.tick_params(axis="x", labelsize=6)


def canvas(count: int, width: float = 3.5) -> tuple[Any, Any]:
    """Figure with so many axes beside each other."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt.subplots(
        1, count, figsize=(width * count, 3.2), constrained_layout=True, squeeze=False
    )
