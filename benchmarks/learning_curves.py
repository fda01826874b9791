"""Error on held-out frames against training frames, passes and width, for each learned method.

    python benchmarks/learning_curves.py --quick
    snakemake --cores 2 --configfile config/night.yaml -- data \
        results/night/models/{luvira_twin/3,six_faces/speakers}/ngcc_phat
    nice python benchmarks/learning_curves.py --config config/night.yaml --out results/curves

Each point is one training; test frames are never read. Smaller sets of training frames are the
first of larger ones, drawn from all tracks. With the number of frames the number of passes grows
less than in proportion, so that every point is at convergence (the column ``flat_since``). Points
that are in the csv of --out are not trained again, one that was stopped goes on, and several
processes with other --methods or --datasets may work at once on a store that they share.
--quick trains the two ends of GNN's curve on sound and rooms that it makes itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy

import numpy as np
import pandas as pd
import torch
from measuring import canvas, input_errors, label_sizes

from wavloc import allocator, checks, cli, config, files, frames, seeds
from wavloc.errors import InputError
from wavloc.methods import registry
from wavloc.methods.learned.base import LearnedMethod
from wavloc.plan import Model, Plan
from wavloc.reporting.style import save
from wavloc.training.engine import Run
from wavloc.training.store import Store

SPLITS = {"luvira_twin": "3", "six_faces": "speakers"}
METHODS = ("wav2pos", "fault_tolerant", "gnn", "dinn")
FRAMES = (1_500, 3_000, 6_000, 12_000, 25_000, 50_000)
MIDDLE = 12_000  # training frames of the other two curves
VALID = 1_000  # held-out frames: all 6,000 of the twin would cost more than 1,500 training frames
EPOCHS, GROWTH = 60, 0.4  # passes of the fewest frames; with n frames less by n ** GROWTH
PASSES = (2, 4, 8, 16, 32)
WIDTHS = (0.5, 1.0, 2.0)  # times the reduced network
WIDE = ("embed_dim", "pair_hidden", "head_hidden", "hidden_dim", "channels", "recurrent")
WIDE_OF_WAVES = {"channels": "dinn"}  # those of NGCC-PHAT are another network's
AXES = {"frames": "training frames", "epochs": "passes", "width": "width, times reduced"}


@dataclasses.dataclass(frozen=True)
class Point:
    """One training: a point of the curve ``axis``."""

    dataset: str
    method: str
    axis: str
    frames: int
    epochs: int
    width: float = 1.0
    seed: int = 0


def epochs_at(count: int, fewest: int = EPOCHS) -> int:
    """Passes of ``count`` training frames at which a network converges; ``fewest``: of 1,500."""
    return max(4, round(fewest * (FRAMES[0] / count) ** GROWTH))


def points(args: argparse.Namespace) -> Iterator[Point]:
    """All points of all curves, those that say most for a core hour first."""
    for dataset in args.datasets:
        for method in args.methods:
            for count in args.frames if "frames" in args.axes else ():
                epochs = epochs_at(count, args.epochs)
                yield Point(dataset, method, "frames", count, epochs, seed=args.seed)
            for epochs in args.passes if "epochs" in args.axes else ():
                yield Point(dataset, method, "epochs", args.middle, epochs, seed=args.seed)
            for width in args.widths if "width" in args.axes else ():
                epochs = epochs_at(args.middle, args.epochs)
                yield Point(dataset, method, "width", args.middle, epochs, width, args.seed)


def widened(options: dict[str, Any], width: float) -> dict[str, Any]:
    """Sizes of a network times ``width``, in multiples of 8."""

    def scaled(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [scaled(part) for part in value]
        return max(8, round(value * width / 8) * 8)

    return {name: scaled(options[name]) for name in WIDE if name in options}


class Pool:
    """Training and validation frames of the split of a dataset, in a drawn order."""

    def __init__(self, plan: Plan, dataset: str, most_valid: int):
        split = plan.dataset(dataset).splits()[SPLITS.get(dataset, dataset)]
        self.train, self.valid = (
            self._read(plan, dataset, tracks) if tracks else None
            for tracks in (split.train, split.valid)
        )
        if self.valid is None:
            self.train, self.valid = self.train.hold_out(0.1)
        chosen = np.linspace(0, len(self.valid) - 1, min(most_valid, len(self.valid))).astype(int)
        self.valid = self.valid.select(chosen)
        order = seeds.rng(plan.seed, "learning curves", dataset).permutation(len(self.train))
        self.train = self.train.select(order)

    @staticmethod
    def _read(plan: Plan, dataset: str, tracks: tuple[str, ...]) -> frames.Frames:
        folders = [plan.frames(dataset, track) for track in tracks]
        return frames.concatenate([frames.load(folder) for folder in folders], lazily=True)


def trained(plan: Plan, pool: Pool, point: Point, out: Path, most_gb: float) -> dict[str, Any]:
    """Train one network, or go on with it: what its validation says."""
    if point.frames > len(pool.train):
        raise InputError(
            f"{point.dataset}: {len(pool.train)} training frames, expected {point.frames} or "
            "more; make more (sim_share, train), or give fewer to --frames"
        )
    entry = plan.entry(point.method, point.dataset)
    options = widened(dict(entry.options), point.width) | {"epochs": point.epochs}
    method = registry.create(entry.changed({"options": options}), point.seed)
    assert isinstance(method, LearnedMethod)
    method.cache = Path(plan.config["cache"])
    if method.pretrained:
        split = SPLITS[point.dataset]
        method.begin_with(plan.folder(Model(point.dataset, split, entry.pretrained)))
    train = pool.train.select(np.arange(point.frames))
    name = "-".join(map(str, dataclasses.astuple(point)))
    run = Run(out / "states" / name, store=Store(out / "store" / point.dataset, most_gb))
    method.fit(train, pool.valid, run)
    note, last = method.training_note, run.rows[-1]
    run.finish()
    return {
        "valid_frames": note["valid_frames"],
        "criterion": note["criterion"],
        "best_epoch": note["best_epoch"],
        "flat_since": note["flat_since"],
        "converged": note["converged"],
        "train_loss": last["train_loss"],
        "valid_loss": last["loss"],
        "parameters": sum(value.numel() for value in method.network.parameters()),
        "frames_per_s": float(np.median([row["frames_per_s"] for row in run.rows])),
        "seconds": note["cost"]["seconds"],
    }


def on_another_curve(table: pd.DataFrame, point: Point, valid: int) -> dict[str, Any] | None:
    """What the same training has brought as a point of another axis, if it is there."""
    told = dataclasses.asdict(point) | {"valid_frames": valid}
    same = table.reindex(columns=list(told)).drop(columns="axis") == pd.Series(told).drop("axis")
    rows = table[same.all(axis=1)]
    return rows.iloc[0].to_dict() | {"axis": point.axis} if len(rows) else None


def readable(values: pd.Series) -> list[float]:
    """Values whose labels do not overlap on a logarithmic axis: each a third above the last."""
    chosen: list[float] = []
    for value in sorted(values.unique()):
        if not chosen or value >= 4 / 3 * chosen[-1]:
            chosen.append(value)
    return chosen


def draw(table: pd.DataFrame, stem: Path) -> None:
    """The curves of each dataset in a row of axes, or all in one row; one line per method."""
    import matplotlib.pyplot as plt

    datasets, axes = table["dataset"].unique(), [a for a in AXES if a in set(table["axis"])]
    colors = {method: f"C{k}" for k, method in enumerate(table["method"].unique())}
    shape = (len(datasets), len(axes)) if len(axes) > 1 else (1, len(datasets))
    size = 3.5 * shape[1], 3 * shape[0]
    figure, places = plt.subplots(*shape, figsize=size, squeeze=False, constrained_layout=True)
    for row, dataset in zip(places.reshape(len(datasets), len(axes)), datasets, strict=True):
        for place, axis in zip(row, axes, strict=True):
            part = table[(table["dataset"] == dataset) & (table["axis"] == axis)]
            if part.empty:  # not run yet
                place.set_axis_off()
                continue
            for method, curve in part.groupby("method", sort=False):
                curve = curve.sort_values(axis)
                color = colors[method]  # the same in all axes
                place.semilogx(curve[axis], 100 * curve["criterion"], "o-", c=color, label=method)
            label_sizes(place, readable(part[axis]), AXES[axis], "validation error (cm)")
            place.set(title=dataset, ylim=(0, 105 * part["criterion"].max()))
        row[0].legend(frameon=False)
    save(figure, stem)
    plt.close(figure)


def quick_plan(folder: Path) -> Plan:
    """Six faces with synthetic voices and few reflections, simulated below ``folder``."""
    made = {
        "networks": "reduced",
        "speech": "synthetic",
        "music": "synthetic",
        "sound": {"speech": {"voices": 9, "utterances_per_voice": 4}},
        "pathvars": {"results": str(folder)},
        "datasets": {"six_faces": {"options": {"train": 4000, "valid": 300, "max_order": 3}}},
    }
    files.write_json(folder / "quick.yaml", made)  # JSON is YAML
    plan, told = Plan(config.load(folder / "quick.yaml")), ["--config", str(folder / "quick.yaml")]
    speech = plan.sounds_of("six_faces")["speech"]
    commands = [["prepare", *told, "--kind", "speech", "--out", speech]]
    for track in ("train", "valid"):
        given = ["--dataset", "six_faces", "--track", track, "--sound", f"speech={speech}"]
        commands.append(["simulate", *told, *given, "--out", plan.frames("six_faces", track)])
    for command in commands:
        if cli.main(command):
            raise InputError(f"`wavloc {' '.join(command)}` failed")
    return plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("config/night.yaml"))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--datasets", nargs="+", default=list(SPLITS), choices=list(SPLITS))
    parser.add_argument("--frames", type=int, nargs="+", default=list(FRAMES))
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of 1,500 frames (60)")
    parser.add_argument("--axes", nargs="+", default=list(AXES), choices=list(AXES))
    text = "passes of the second curve; --epochs are those of the other two"
    parser.add_argument("--passes", type=int, nargs="+", default=list(PASSES), help=text)
    text = "widths of the third curve, times the reduced network"
    parser.add_argument("--widths", type=float, nargs="+", default=list(WIDTHS), help=text)
    text = f"training frames of the curves of passes and width ({MIDDLE:,})"
    parser.add_argument("--middle", type=int, default=MIDDLE, help=text)
    text = f"held-out frames, evenly spaced over all that there are ({VALID:,})"
    parser.add_argument("--valid", type=int, default=VALID, help=text)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store-gb", type=float, default=40.0)
    parser.add_argument("--out", type=Path, help="folder of csv, figure and unfinished states")
    parser.add_argument("--quick", action="store_true", help="two ends of one curve, 5 minutes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    allocator.keep_freed()
    with input_errors(), tempfile.TemporaryDirectory() as folder:
        for name in ("frames", "passes", "epochs", "middle", "valid"):
            for count in np.atleast_1d(getattr(args, name)).tolist():
                checks.number(count, f"--{name}", 1, whole=True)
        for width in args.widths:
            checks.number(width, "--widths", 0.1, 10)
        if args.quick:
            args.methods, args.datasets, args.axes = ["gnn"], ["six_faces"], ["frames"]
            args.frames, args.epochs = [500, 4_000], 30
            plan = quick_plan(Path(folder))
        else:
            plan = Plan(config.load(args.config))
        out = args.out or Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        work(plan, args, out)


def work(plan: Plan, args: argparse.Namespace, out: Path) -> None:
    """Train what is missing; the csv is written again after each point."""
    path, pools = out / "learning_curves.csv", dict[str, Pool]()
    keys = [field.name for field in dataclasses.fields(Point)]
    for point in points(args):
        told = dataclasses.asdict(point)
        with files.lock(out / ".lock"):
            table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=keys)
        if (table[keys] == pd.Series(told)).all(axis=1).any():
            continue
        if point.dataset not in pools:
            pools[point.dataset] = Pool(plan, point.dataset, args.valid)
        pool = pools[point.dataset]
        found = on_another_curve(table, point, len(pool.valid)) or told | trained(
            plan, pool, point, out, args.store_gb
        )
        print(found, file=sys.stderr)
        with files.lock(out / ".lock"):  # another process may have added points
            table = pd.read_csv(path) if path.is_file() else pd.DataFrame()
            table = pd.concat([table, pd.DataFrame([found])], ignore_index=True)
            files.write_text(path, table.to_csv(index=False, float_format="%.6g"))
    table = pd.read_csv(path)
    canvas(1)  # chooses a backend without a display
    draw(table, out / "learning_curves")
    columns = [*keys, "criterion", "flat_since", "converged", "frames_per_s", "seconds"]
    print(table[columns].to_string(index=False, float_format=lambda value: f"{value:.3g}"))


if __name__ == "__main__":
    sys.exit(main())
