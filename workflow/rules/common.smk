# The plan of this run and helpers of the rules; no rules here.
import json
import re
import sys

from wavloc import config as configuration
from wavloc import checks, evaluation, jobs, provenance, runs
from wavloc.errors import WavlocError
from wavloc.plan import Cell, Plan
from wavloc.simulation import mixtures
from wavloc.tracked import Tracked

RESULTS = config.get("pathvars", {}).get("results", "results")
# What the commands read: the configuration of this run, written when its jobs begin (Snakefile). A
# job on a cluster, which parses these files anew, goes by it too, whatever was edited since. In the
# rules `reads` is a digest of what a command looks up in it: when it changes, the job runs again.
PLAN_FILE = f"{RESULTS}/plan.json"
ABSENT = ".absent"  # input of a rule that does not apply, so that another one is taken
# What trainings of a split share while a run lasts.
FEATURES = f"{RESULTS}/features"
try:
    if not workflow.is_main_process and Path(PLAN_FILE).is_file():
        resolved = configuration.load(PLAN_FILE)
    else:
        resolved = configuration.resolve(config, Path(workflow.basedir) / "config")
        if resolved["models"] == "kept":
            resolved["left_out"] = Tracked(Plan(resolved)).missing()
    config.update(resolved)
    plan = Plan(config, "<results>")
    tracked = Tracked(plan)
    if workflow.is_main_process:
        asked = workflow.resource_settings
        for name, count in (("cores", asked.cores), ("jobs", asked.nodes)):
            if count is not None:
                checks.number(count, f"--{name}", 1, whole=True)
        jobs.check(plan)
        if stale := tracked.stale():
            message = (
                f"wavloc: {len(stale)} files in {tracked.folder} are of other code, "
            )
            message += f"options or data and are made again: {', '.join(stale[:3])} ..."
            print(message, file=sys.stderr)
        ALONE = runs.begin(sys.argv[1:])  # held as long as this process lives
    elif not Path(PLAN_FILE).is_file():  # nothing is shared with the machine of the run
        configuration.save(config, PLAN_FILE)
except WavlocError as error:
    sys.exit(f"wavloc: error: {error}")

digest, code_digest = provenance.digest, provenance.code_digest


def cell_of(wildcards):
    return Cell(
        wildcards.dataset, wildcards.track, wildcards.setup, int(wildcards.mics)
    )


def model_of(wildcards):
    return plan.model_named(wildcards.dataset, wildcards.split, wildcards.model)


def code_of(kind, name, *modules):
    """Digest of the code that a job of a method or dataset runs."""
    return jobs.code(kind, config[kind][name]["module"], *modules)


def predictions_of(wildcards):
    """What the methods of a table or figure predict in a cell."""
    return plan.predictions(cell_of(wildcards), wildcards.group)


def models_of(wildcards):
    """Models of the methods of a table or figure, by the name of the method."""
    return plan.models_of(cell_of(wildcards), plan.methods_of(wildcards.group))


def measured_models(wildcards):
    cell = cell_of(wildcards)
    return plan.models_of(cell, plan.measured[cell])


# Metadata of the datasets of this run.
croissants = expand(
    "<results>/data/{dataset}.croissant.json",
    dataset=sorted({dataset for dataset, _ in plan.tracks}),
)


def own_options(model):
    """Options of a method where it is trained on this dataset, as JSON; empty = none."""
    options = plan.own_options(model.method, model.dataset)
    return json.dumps({"options": options}) if options else ""


def cell_frames(cells):
    return [plan.frames(cell.dataset, cell.track) for cell in cells]


def option(name, value=()):
    """An option and its values for a command line, nothing where there are none."""
    values = [value] if isinstance(value, str) else list(value)
    return [name, *values] if values and values[0] else []


def pairs(names, paths):
    """``name=path`` for a command line."""
    return [f"{name}={path}" for name, path in zip(names, paths, strict=True)]


def alternatives(names):
    return "|".join(map(re.escape, names))


wildcard_constraints:
    sound="speech|music",
    source=alternatives(plan.downloads),
    dataset=alternatives(config["datasets"]),
    method=alternatives(plan.methods),
    table=alternatives(config["tables"]),
    figure=alternatives(config["figures"]),
    group=alternatives(plan.experiments),
    kind="|-conditions|-delays|-denoising|-detection|-sources",
    setup="1a|1b|2a|2b",
    mics=r"\d+",
    track="[^/]+",
    fault=alternatives(config["faults"]),
    level=r"[\d.]+",
    sources=r"\d+",
    split="[^/]+",
    model="[^/]+",
