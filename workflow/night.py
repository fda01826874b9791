"""Train the models of a long profile one at a time, most useful first, and keep what each predicts.

    nice python workflow/night.py [--config config/night.yaml] [--cores 2] [--until HH:MM]

After each model its predictions are copied to the folder that the profile names (`tracked`), to be
committed: a machine that goes away loses one model. What is kept already is not trained again, and
a training that was stopped goes on. Sound and features that trainings share are removed with the
last model of their split. At the end the tables are rendered.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import subprocess
import sys
from pathlib import Path

from wavloc import config
from wavloc.plan import Model, Plan
from wavloc.tracked import Tracked

# Splits and methods in the order in which their models are of use; the others follow.
SPLITS = ("luvira_twin/3", "six_faces/speakers")
METHODS = ("wav2pos", "ngcc_phat", "gnn", "dinn", "fault_tolerant")


def order(plan: Plan) -> list[Model]:
    """Models as they are to be trained; what a training begins with is trained on the way."""

    def place(model: Model) -> tuple[int, str, int]:
        split, main = f"{model.dataset}/{model.split}", model.method in METHODS
        # Main methods of the first splits, then what else these have, then the other splits.
        rank = SPLITS.index(split) if split in SPLITS else 2 * len(SPLITS)
        number = METHODS.index(model.method) if main else len(METHODS)
        rank += len(SPLITS) * (not main and rank < len(SPLITS))
        return rank, split, number

    return sorted(plan.models.values(), key=place)


def targets(plan: Plan, tracked: Tracked, model: Model) -> list[str]:
    """Files to be made with a model: its predictions, where they are not kept yet."""
    return [
        plan.prediction(cell, method)
        for cell, methods in plan.cells.items()
        for method in methods
        if plan.model_of(cell, method) == model and not tracked.kept(cell, method)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("config/night.yaml"))
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--until", type=clock, help="HH:MM after which no model is begun")
    parser.add_argument("--dry-run", action="store_true", help="list the models and stop")
    args = parser.parse_args()
    plan = Plan(config.load(args.config))
    models = order(plan)
    snakemake = [sys.executable, "workflow/run.py", "--cores", str(args.cores)]
    snakemake += ["--configfile", str(args.config), "--"]
    begun = datetime.datetime.now()
    for place, model in enumerate(models):
        wanted = targets(plan, Tracked(plan), model)
        print(f"{plan.folder(model)}: {len(wanted)} predictions to be made", flush=True)
        if args.dry_run or not wanted:
            continue
        if args.until and past(args.until, begun, datetime.datetime.now()):
            print(f"{args.until}: the rest is for another night", flush=True)
            return 0
        done = subprocess.run([*snakemake, *wanted])
        if done.returncode:
            return done.returncode
        keep = ["track", "--config", f"{plan.results}/plan.json"]
        subprocess.run([sys.executable, "-m", "wavloc.cli", *keep], check=True)
        if all((m.dataset, m.split) != (model.dataset, model.split) for m in models[place + 1 :]):
            features = Path(plan.results) / "features" / model.dataset / model.split
            shutil.rmtree(features, ignore_errors=True)
    return 0 if args.dry_run else subprocess.run([*snakemake, "tables"]).returncode


def clock(text: str) -> str:
    """A time of the day, HH:MM."""
    datetime.datetime.strptime(text, "%H:%M")
    return text


def past(clock: str, begun: datetime.datetime, now: datetime.datetime) -> bool:
    """Whether it is later than ``clock``, of the day after where that is before the beginning."""
    hour, minute = map(int, clock.split(":"))
    end = begun.replace(hour=hour, minute=minute, second=0)
    end += datetime.timedelta(days=end <= begun)
    return now > end


if __name__ == "__main__":
    sys.exit(main())
