"""Speed of the training of each learned method, at two revisions of this repository in turn.

    git worktree add /tmp/before REVISION
    python benchmarks/training_steps.py --before /tmp/before [--methods gnn dinn] [--out FOLDER]
    python benchmarks/training_steps.py --before /tmp/before --seeds 0 1 2 --epochs 6

Data: split 3 of the twin and the model of NGCC-PHAT as a finished default run left them. Each
round trains a new model in a process of its own, at one revision and then at the other, as
the default configuration of that revision says, but for --epochs. ``frames_per_s``: frames that
pass the network per CPU second, the first epoch not counted; ``prepared_ms``: CPU time per frame
for what is computed before (sound and features, made once, in the workflow for all methods of a
split); ``whole``: frames per second of both, with the passes of the recipe. Losses of both
revisions after equal passes stand beside each other, with their deviation over seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
METHODS = ("wav2pos", "fault_tolerant", "gnn", "dinn")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Train one model with the revision that is imported; also called in older ones."""
    import torch

    from wavloc import allocator, config, frames
    from wavloc.methods import registry
    from wavloc.plan import Plan
    from wavloc.training.engine import Run

    torch.set_num_threads(1)
    allocator.keep_freed()
    plan = Plan(config.load(config.FOLDER / "config.yaml"))
    split = plan.dataset("luvira_twin").splits()["3"]
    tracks = [args.results / "data/luvira_twin" / track for track in split.train]
    joined = frames.concatenate([frames.load(track) for track in tracks])
    train, valid = joined.hold_out(0.1)
    train = train.select(np.arange(0, len(train), args.every))
    entry = plan.methods[args.methods[0]]
    passes = entry.options["epochs"]
    options = {"epochs": args.epochs} | json.loads(args.options)
    entry = entry.changed({"options": options})
    method: Any = registry.create(entry, args.seeds[0])
    method.cache = args.cache
    if method.pretrained:
        method.begin_with(args.results / "models/luvira_twin/3/ngcc_phat")
    spent: list[float] = []
    epoch = Run._epoch

    def timed(self: Any, *given: Any) -> Any:
        started = time.process_time()
        row = epoch(self, *given)
        spent.append(time.process_time() - started)
        return row

    Run._epoch = timed
    with tempfile.TemporaryDirectory() as folder:
        how = {"precision": plan.config["training"]["precision"], "save_every_s": 1e9}
        run = Run(Path(folder) / "state", device="cpu", **how)
        started = time.process_time()
        method.fit(train, valid, run)
        whole = time.process_time() - started
    steps = max(1, len(train) // method.options.batch)
    seconds = float(np.median(spent[1:] or spent))
    last, rate = run.rows[-1], steps * method.options.batch / seconds
    prepared = (whole - sum(spent)) / (len(train) + len(valid))
    return {
        "frames_per_s": rate,
        "prepared_ms": 1000 * prepared,
        "whole": passes / (prepared + passes / rate),
        "train_loss": last["train_loss"],
        "criterion": min(row["criterion"] for row in run.rows),
    }


def called(tree: Path, method: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """`measure` in a process of its own, with the sources of ``tree``."""
    given = ["--results", str(args.results), "--cache", str(args.cache), "--measure"]
    given += ["--methods", method, "--seeds", str(seed), "--epochs", str(args.epochs)]
    given += ["--every", str(args.every), "--options", args.options]
    done = subprocess.run(
        [sys.executable, __file__, *given],
        env=os.environ | {"PYTHONPATH": str(tree / "src")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="checkout of the older revision")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="use each n-th training frame")
    parser.add_argument("--options", default="{}", help="JSON, over those of the run")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--cache", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, help="folder of csv")
    parser.add_argument("--measure", action="store_true", help="this revision alone, as JSON")
    args = parser.parse_args()
    args.results, args.cache = args.results.resolve(), args.cache.resolve()
    if args.measure:
        print(json.dumps(measure(args)))
        return
    if not args.before or not (args.before / "src/wavloc").is_dir():
        parser.error(f"--before {args.before}: expected a checkout of this repository")
    trees = {"before": args.before.resolve(), "now": ROOT}
    rows = []
    for method in args.methods:
        for turn, seed in enumerate(args.seeds):
            for name in list(trees)[:: -1 if turn % 2 else 1]:
                found = called(trees[name], method, seed, args)
                rows.append({"method": method, "revision": name, "seed": seed} | found)
                print(rows[-1], file=sys.stderr)
    table = pd.DataFrame(rows)
    values = ["frames_per_s", "prepared_ms", "whole", "train_loss", "criterion"]
    shown = table.groupby(["method", "revision"], sort=False)[values].agg(["mean", "std"])
    print(shown.to_string(float_format=lambda value: f"{value:.4g}"))
    for name in ("frames_per_s", "whole"):
        speed = table.pivot_table(name, ["method", "seed"], "revision", sort=False)
        ratio = (speed["now"] / speed["before"]).groupby("method", sort=False)
        ratio = ratio.agg(["min", "median", "max"])
        print(f"ratio of {name}, paired by seed:")
        print(ratio.to_string(float_format=lambda value: f"{value:.2f}"))
    print("load of the machine (1, 5, 15 min):", *(f"{load:.2f}" for load in os.getloadavg()))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(args.out / "training_steps.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    sys.exit(main())
