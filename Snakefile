# The one DAG of wavloc. What each stage does stands in src/wavloc, what depends on what stands in
# workflow/rules, how big and which stands in config.
import shlex
import shutil
import sys

from snakemake.utils import min_version

min_version("9.0")
if not Path("config/config.yaml").is_file():
    folder = shlex.quote(str(workflow.basedir))
    sys.exit(f"wavloc: error: no config/config.yaml here; first `cd {folder}`")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/methods.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/reporting.smk"


if tracked.digests:

    include: "workflow/rules/tracked.smk"


onstart:
    configuration.save(config, PLAN_FILE)
    # Snakemake's limit of 100 started jobs a second wakes the scheduler once a second more with
    # every job that has ended, until it takes half a core. An explicit limit is kept.
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


onsuccess:
    folders = [folder.replace("<results>", RESULTS) for folder in plan.models]
    if all(
        Path(folder).is_dir() for folder in folders
    ):  # no training is left to use them
        shutil.rmtree(FEATURES, ignore_errors=True)


localrules:
    all,
    data,
    models,
    predict,
    evaluate,
    tables,
    figures,
    faults,


rule all:
    default_target: True
    input:
        plan.table_files,
        plan.figure_files,
        croissants,
        "<results>/report.html",


rule data:
    input:
        [plan.frames(dataset, track) for dataset, track in plan.tracks],
        [plan.subset(cell) for cell in plan.cells],
        croissants,


rule models:
    input:
        list(plan.models),


rule predict:
    input:
        [path for cell in plan.cells for path in plan.predictions(cell)],


rule evaluate:
    input:
        plan.metric_files,


rule tables:
    input:
        plan.table_files,


rule figures:
    input:
        plan.figure_files,


rule faults:
    input:
        [
            path
            for name in plan.experiments
            if "fault" in name
            for path in plan.outputs(name)
        ],


# Every table and figure is a target of its own: `snakemake table4`, `snakemake fig3a`.
for experiment in plan.experiments:

    rule:
        name:
            experiment
        input:
            plan.outputs(experiment),
        localrule: True
