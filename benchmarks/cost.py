"""Projected duration of the trainings of a profile on 1 GPU, 8 GPUs and 100 nodes.

    python benchmarks/cost.py [--configfile config/twin.yaml] [--hours METHOD=H ...] [--json OUT]

The models are those that Snakemake would train. Hours per model are the published ones (Table V,
one A100) unless --hours gives measured ones; a variant is taken to need as long as its base. GPUs
take the longest models first, each after the model that its training starts from. Methods without
hours are listed and count as 0.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd

from wavloc import config, files, provenance

ROOT = Path(__file__).parent.parent
GPUS = [1, 8, 100]


def models(configfile: Path) -> list[str]:
    """Paths ``dataset/split/model`` of all models that the profile trains."""
    command = ["snakemake", "-n", "--forceall", "--configfile", str(configfile), "--", "models"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"wavloc: error: {' '.join(command)}: {done.stderr.strip().splitlines()[-1]}")
    return sorted(set(re.findall(r"output: \S+/models/(\S+)", done.stdout)))


def published_hours() -> dict[str, float]:
    """Method -> hours of a training on an A100, from Table V of the papers."""
    values = pd.read_csv(ROOT / "config/paper_values.csv")
    values = values[values["metric"] == "train_hours"]
    return dict(zip(values["method"], values["paper_value"], strict=True))


def finished_at(needs: dict[str, float], before: dict[str, str], gpus: int) -> float:
    """Hours until all models are trained.

    needs: model -> hours; before: model -> the model that its training starts from.
    """
    follow = dict.fromkeys(needs, 0.0)
    for model, first in before.items():
        follow[first] = max(follow[first], needs[model])
    # First the model with the longest time to the end, including the one that follows it.
    todo = sorted(needs, key=lambda model: (-needs[model] - follow[model], model))
    free, done = [0.0] * gpus, {}
    while todo:
        model = next(m for m in todo if before.get(m) is None or before[m] in done)
        todo.remove(model)
        start = max(min(free), done.get(before.get(model), 0.0))
        free[free.index(min(free))] = done[model] = start + needs[model]
    return max(done.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--configfile", type=Path, default=ROOT / "config/twin.yaml")
    parser.add_argument("--hours", nargs="*", default=[], metavar="METHOD=H")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    args = parser.parse_args()
    entries = config.load(ROOT / "config/config.yaml", args.configfile)["methods"]
    hours = published_hours() | {
        name: float(h) for name, _, h in (x.partition("=") for x in args.hours)
    }
    needs, before, unknown = {}, {}, set()
    for path in models(args.configfile):
        folder, _, model = path.rpartition("/")
        method = re.sub(r"-\d+$", "", model)
        known = next((m for m in (method, entries[method].get("like")) if m in hours), None)
        unknown |= set() if known else {method}
        needs[path] = hours[known] if known else 0.0
        before[path] = f"{folder}/{entries[method].get('pretrained')}"
    before = {path: first for path, first in before.items() if first in needs}
    rows = [{"gpus": gpus, "hours": finished_at(needs, before, gpus)} for gpus in GPUS]
    print(f"{len(needs)} models, {sum(needs.values()):.1f} GPU hours; projection, not measured")
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.1f"))
    if unknown:
        print(f"without hours, counted as 0: {', '.join(sorted(unknown))}")
    if args.json:
        result = {"rows": rows, "models": needs, "without_hours": sorted(unknown)}
        files.write_json(args.json, result | {"provenance": provenance.stamp(hours=hours)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
