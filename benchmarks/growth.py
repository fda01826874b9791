"""What a frame costs in each stage as frames become more, and what 10^6 of them would cost.

    python benchmarks/growth.py [--sizes 1000 3000 10000] [--methods multilat_plus ...] --json OUT

Six-face rooms are simulated once; larger sets repeat them in one memory-mapped file. The stages
that read no sound (subsets, evaluation of one method) are measured up to 10^6 frames themselves,
whose sound is a hole in its file. Each stage runs as its `wavloc` command in a process of its own:
seconds, and memory of its own (pages of mapped files, which the kernel takes back when it wants to,
do not count). A line through the measured points gives seconds and memory per frame; `flat` is the
slope of the last two sizes over that of the whole line, 1 where a frame costs the same at every
size, and means nothing where frames hardly cost anything. 10^6 is that line unless it is a size.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy: times are of one core

import numpy as np
import pandas as pd

from wavloc import files, frames, provenance

FAR = 1_000_000


def measured(*arguments: str) -> tuple[float, float]:
    """Run a `wavloc` command: seconds of the processor, and peak of its own memory in MiB."""
    code = "import sys; from wavloc.cli import main; sys.exit(main())"
    started = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    peak_mib, status = 0.0, Path(f"/proc/{started.pid}/status")
    while True:
        done, _, spent = os.wait4(started.pid, os.WNOHANG)
        if done:
            break
        for line in status.read_text().splitlines():
            if line.startswith("RssAnon:"):
                peak_mib = max(peak_mib, int(line.split()[1]) / 1024)
        time.sleep(0.02)
    message = started.stderr.read().decode()
    if "wavloc: error" in message:
        raise SystemExit(message.strip())
    return spent.ru_utime + spent.ru_stime, peak_mib


def repeated(source: Path, count: int, target: Path, sound: bool = True) -> None:
    """A Frames folder with ``count`` frames, those of another one again and again.

    Without ``sound`` the arrays of audio are holes: zeros that take no room on the disk.
    """
    few = frames.load(source)
    index = np.arange(count) % len(few)
    target.mkdir()
    for name in frames.ARRAYS:
        array = getattr(few, name)
        if name == "mic_positions" and array.ndim == 2:
            np.save(target / f"{name}.npy", array)
            continue
        shape = (count, *array.shape[1:])
        many = np.lib.format.open_memmap(target / f"{name}.npy", "w+", array.dtype, shape)
        for start in range(0, count if sound or "audio" not in name else 0, len(few)):
            many[start : start + len(few)] = array[: count - start]
        many.flush()
    table = few.table.iloc[index].reset_index(drop=True).assign(frame=np.arange(count))
    table.to_parquet(target / "frames.parquet", index=False)
    meta = {"sample_rate": few.sample_rate, "speed_of_sound": few.speed_of_sound}
    files.write_json(target / "meta.json", few.meta | meta)


def line(sizes: list[int], values: list[float]) -> tuple[float, float, float]:
    """Slope and offset of the line through the points, and the last slope over it."""
    slope, offset = np.polyfit(sizes, values, 1)
    last = (values[-1] - values[-2]) / (sizes[-1] - sizes[-2])
    return float(slope), float(offset), float(last / slope)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument(
        "--silent-sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000],
        help="of the stages that read no sound",
    )  # fmt: skip
    parser.add_argument("--rooms", type=int, nargs="+", default=[50, 100, 200], help="simulated")
    parser.add_argument("--methods", nargs="+", default=["multilat_plus", "srp_phat", "nlls"])
    parser.add_argument("--max-order", type=int, default=12, help="of the images, 0 = all")
    parser.add_argument("--folder", type=Path, help="where frames are written (default: temporary)")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    args = parser.parse_args()
    if min(map(len, (args.sizes, args.rooms, args.silent_sizes))) < 2:
        parser.error("a slope wants two sizes or more")
    costs: dict[str, dict[int, tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="wavloc-growth-", dir=args.folder) as name:
        folder = Path(name)
        sound, sizes = str(folder / "speech"), '{"voices": 6, "utterances_per_voice": 4}'
        spoken = ["--kind", "speech", "--source", "synthetic", "--options", sizes]
        measured("prepare", *spoken, "--seed", "0", "--out", sound)
        for count in sorted(args.rooms):
            rooms = {"train": 4, "valid": 2, "test": count, "max_order": args.max_order}
            made = ["--dataset", "six_faces", "--track", "test", "--seed", "0"]
            made += ["--options", json.dumps({"options": rooms}), "--sound", f"speech={sound}"]
            target = folder / f"rooms{count}"
            costs.setdefault("simulate", {})[count] = measured(
                "simulate", *made, "--out", str(target)
            )
        source = folder / f"rooms{max(args.rooms)}"
        drawn = ["--mics", "6", "--dataset", "growth", "--seed", "0"]
        for count in sorted(args.sizes):
            data, subset = folder / f"frames{count}", folder / f"subset{count}.npy"
            repeated(source, count, data)
            measured("subset", "--frames", str(data), *drawn, "--out", str(subset))
            for method in args.methods:
                asked = ["--method", method, "--frames", str(data), "--subset", str(subset)]
                out = ["--setup", "1a", "--out", str(folder / "found.parquet")]
                costs.setdefault(f"predict {method}", {})[count] = measured("predict", *asked, *out)
            shutil.rmtree(data)
        for count in sorted(args.silent_sizes):
            data, found = str(folder / f"silent{count}"), str(folder / "center.parquet")
            repeated(source, count, Path(data), sound=False)
            out = ["--out", str(folder / "subset.npy")]
            costs.setdefault("subset", {})[count] = measured(
                "subset", "--frames", data, *drawn, *out
            )
            measured("predict", "--method", "center", "--frames", data, "--out", found)
            asked = ["--frames", data, "--predictions", found, "--resamples", "1000"]
            out = ["--out", str(folder / "metrics.csv")]
            costs.setdefault("evaluate", {})[count] = measured("evaluate", *asked, *out)
            shutil.rmtree(data)
    rows = []
    for stage, points in costs.items():
        at, (seconds, memory) = list(points), zip(*points.values(), strict=True)
        slope, offset, flat = line(at, list(seconds))
        grows, rest, _ = line(at, list(memory))
        rows.append(
            {
                "stage": stage,
                "sizes": at,
                "seconds": [round(value, 2) for value in seconds],
                "ms_per_frame": 1000 * slope,
                "flat": flat,
                "memory_mib": [round(value) for value in memory],
                "memory_kib_per_frame": 1024 * grows,
                "hours_at_1e6": (offset + FAR * slope) / 3600,
                "memory_gib_at_1e6": (rest + FAR * grows) / 1024,
            }
        )
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.3g"))
    if args.json:
        files.write_json(args.json, {"rows": rows, "provenance": provenance.stamp()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
