# From predictions to metrics.


rule evaluate_cell:
    input:
        frames="<results>/data/{dataset}/{track}",
        predictions=predictions_of,
        subset=lambda wc: [] if wc.kind else plan.subset(cell_of(wc)),
        clean=lambda wc: (
            plan.denoised[cell_of(wc)][1] if wc.kind == "-denoising" else []
        ),
    output:
        "<results>/metrics/{dataset}/{track}/{setup}-{mics}/{group}{kind}.csv",
    log:
        "<logs>/evaluate/{dataset}/{track}/{setup}-{mics}/{group}{kind}.log",
    benchmark:
        "<benchmarks>/evaluate/{dataset}/{track}/{setup}-{mics}/{group}{kind}.tsv"
    params:
        plan=PLAN_FILE,
        code=lambda wc: code_digest(evaluation.module_of(wc.kind[1:] or "errors")),
        reads=digest(jobs.evaluate(plan)),
        kind=lambda wc: wc.kind[1:] or "errors",
        subset=lambda wc, input: option("--subset", input.subset),
        clean=lambda wc, input: option("--clean", input.clean),
        by=lambda wc: option(
            "--by", plan.conditions(cell_of(wc), wc.group, wc.kind[1:])
        ),
    shell:
        "wavloc evaluate --config {params.plan:q} --kind {params.kind} --frames {input.frames:q}"
        " --predictions {input.predictions:q} {params.subset:q} {params.clean:q} {params.by:q}"
        " --dataset {wildcards.dataset:q} --track {wildcards.track:q}"
        " --setup {wildcards.setup} --mics {wildcards.mics} --out {output:q} --log {log:q}"


rule costs:
    input:
        predictions=predictions_of,
        models=lambda wc: models_of(wc).values(),
    output:
        "<results>/metrics/{dataset}/{track}/{setup}-{mics}/{group}-costs.csv",
    log:
        "<logs>/costs/{dataset}/{track}/{setup}-{mics}/{group}.log",
    benchmark:
        "<benchmarks>/costs/{dataset}/{track}/{setup}-{mics}/{group}.tsv"
    params:
        code=code_digest("wavloc.evaluation.costs"),
        models=lambda wc, input: option("--models", pairs(models_of(wc), input.models)),
    shell:
        "wavloc costs --predictions {input.predictions:q} {params.models:q}"
        " --dataset {wildcards.dataset:q} --track {wildcards.track:q}"
        " --setup {wildcards.setup} --mics {wildcards.mics} --out {output:q} --log {log:q}"


rule counts:
    input:
        lambda wc: cell_frames(plan.cells_of(wc.table)),
    output:
        "<results>/metrics/{dataset}/{table}.csv",
    log:
        "<logs>/counts/{dataset}/{table}.log",
    benchmark:
        "<benchmarks>/counts/{dataset}/{table}.tsv"
    params:
        code=code_digest("wavloc.evaluation.counts"),
        frames=lambda wc, input: pairs(
            [cell.track for cell in plan.cells_of(wc.table)], input
        ),
        mics=lambda wc: plan.cells_of(wc.table)[0].mics,
    shell:
        "wavloc counts --frames {params.frames:q} --dataset {wildcards.dataset:q}"
        " --mics {params.mics} --out {output:q} --log {log:q}"


rule properties:
    input:
        frames="<results>/data/{dataset}/{track}",
        subset="<results>/data/subsets/{dataset}/{track}-{mics}.npy",
        models=lambda wc: measured_models(wc).values(),
    output:
        "<results>/metrics/{dataset}/{track}/{setup}-{mics}/properties.json",
    log:
        "<logs>/properties/{dataset}/{track}/{setup}-{mics}.log",
    benchmark:
        "<benchmarks>/properties/{dataset}/{track}/{setup}-{mics}.tsv"
    params:
        plan=PLAN_FILE,
        code=lambda wc: digest(
            [
                code_of("methods", method, "wavloc.evaluation.properties")
                for method in plan.measured[cell_of(wc)]
            ]
        ),
        reads=lambda wc: digest(jobs.properties(plan, cell_of(wc))),
        methods=lambda wc: plan.measured[cell_of(wc)],
        models=lambda wc, input: option(
            "--models", pairs(measured_models(wc), input.models)
        ),
    shell:
        "wavloc properties --config {params.plan:q} --methods {params.methods:q} {params.models:q}"
        " --frames {input.frames:q} --subset {input.subset:q} --out {output:q} --log {log:q}"


rule rank:
    input:
        frames=lambda wc: cell_frames(plan.cells_of(wc.table)),
        predictions=lambda wc: plan.ranked(wc.table).values(),
    output:
        "<results>/metrics/{table}.csv",
    log:
        "<logs>/rank/{table}.log",
    benchmark:
        "<benchmarks>/rank/{table}.tsv"
    params:
        plan=PLAN_FILE,
        code=code_digest("wavloc.evaluation.ranking"),
        reads=digest(jobs.evaluate(plan)),
        frames=lambda wc, input: pairs(
            [f"{cell.dataset}/{cell.track}" for cell in plan.cells_of(wc.table)],
            input.frames,
        ),
        predictions=lambda wc, input: pairs(plan.ranked(wc.table), input.predictions),
    shell:
        "wavloc rank --config {params.plan:q} --frames {params.frames:q}"
        " --predictions {params.predictions:q} --out {output:q} --log {log:q}"
