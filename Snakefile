# The one DAG of wavloc. What each stage does stands in src/wavloc, what depends on what stands in
# workflow/rules, how big and which stands in config.
from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/methods.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/reporting.smk"


onstart:
    # Snakemake's limit of 100 started jobs a second wakes the scheduler once a second more with
    # every job that has ended, until it takes half a core. Who asks for another limit gets it.
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


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
        TABLE_FILES,
        FIGURE_FILES,
        "<results>/report.html",


rule data:
    input:
        [frames_of(dataset, track) for dataset, track in TRACKS],
        unique(subset_of(cell) for cell in CELLS),


rule models:
    input:
        MODELS.keys(),


rule predict:
    input:
        [path for cell in CELLS for path in predictions_of(cell)],


rule evaluate:
    input:
        METRIC_FILES,


rule tables:
    input:
        TABLE_FILES,


rule figures:
    input:
        FIGURE_FILES,


rule faults:
    input:
        [path for name in EXPERIMENTS if "fault" in name for path in outputs_of(name)],


# Every table and figure is a target of its own: `snakemake table4`, `snakemake fig3a`.
for experiment in EXPERIMENTS:

    rule:
        name:
            experiment
        input:
            outputs_of(experiment),
        localrule: True
