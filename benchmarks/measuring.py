"""Shared by the benchmarks: timing in turns, ratios, growth, memory, output and plots."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from wavloc import files, provenance
from wavloc.errors import InputError


def summary(metric: str, values: np.ndarray) -> dict[str, Any]:
    """Minimum, median and maximum of a metric over rounds (rounds,)."""
    return {
        "metric": metric,
        "min": float(values.min()),
        "median": float(np.median(values)),
        "max": float(values.max()),
        "rounds": len(values),
    }


def take_turns(
    functions: dict[Any, Callable[[], object]], rounds: int, device: torch.device | str = "cpu"
) -> dict[Any, np.ndarray]:
    """Seconds (rounds,) of each of some functions, called in turn.

    Every second round is in reverse order, and an untimed round comes first. CPU seconds, or wall
    time on a GPU.
    """
    gpu = torch.device(device).type == "cuda"

    def now() -> float:
        if gpu:
            torch.cuda.synchronize(device)
        return time.perf_counter() if gpu else time.process_time()

    for function in functions.values():
        function()
    times: dict[Any, list[float]] = {name: [] for name in functions}
    for number in range(rounds):
        for name in list(functions)[:: -1 if number % 2 else 1]:
            started = now()
            functions[name]()
            times[name].append(now() - started)
    return {name: np.array(seconds) for name, seconds in times.items()}


def slopes(times: dict[int, np.ndarray]) -> np.ndarray:
    """Slope (rounds,) of log time over log size; times: size -> (rounds,)."""
    return np.polyfit(np.log(list(times)), np.log(list(times.values())), 1)[0]


def peak_mb(work: Callable[..., object], *given: object) -> float:
    """Peak memory in MiB of a new process that calls ``work(*given)``; of the GPU if it is used."""
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


@contextlib.contextmanager
def input_errors() -> Iterator[None]:
    """End the program with one line on an `InputError`, as the command line does."""
    try:
        yield
    except InputError as error:
        raise SystemExit(f"wavloc: error: {error}") from None


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options --json and --out, which `finish` reads."""
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path, help="folder of csv and plot")


def finish(
    rows: Iterable[dict],
    args: argparse.Namespace,
    name: str,
    plot: Callable[[pd.DataFrame, Path], None],
) -> None:
    """Print the rows; write them to the file --json, and ``<name>.csv`` and a plot to --out."""
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


def bars(axis: Any, rows: pd.DataFrame, labels: pd.Series, quantity: str) -> None:
    """Medians as bars, with lines from minimum to maximum, on a logarithmic axis."""
    axis.bar(labels, rows["median"], color="#0072B2")
    axis.vlines(labels, rows["min"], rows["max"], color="#000000")
    axis.set(ylabel=quantity, yscale="log")
    axis.tick_params(axis="x", labelsize=6)


def label_sizes(axis: Any, sizes: Iterable[int], xlabel: str, ylabel: str) -> None:
    """Label a logarithmic x axis with the measured sizes."""
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set_xticks(list(sizes), labels=list(sizes))
    axis.set_xticks([], minor=True)


def canvas(count: int, width: float = 3.5) -> tuple[Any, Any]:
    """Figure with ``count`` axes side by side, each ``width`` inches wide."""
    import matplotlib  # the processes of `peak_mb` need no plots

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt.subplots(
        1, count, figsize=(width * count, 3.2), constrained_layout=True, squeeze=False
    )
