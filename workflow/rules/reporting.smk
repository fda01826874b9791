# Tables, figures and the report.


rule table:
    input:
        metrics=lambda wc: plan.metrics(wc.table),
        models=lambda wc: [folder for _, folder in plan.table_models(wc.table)],
        properties=lambda wc: plan.properties(wc.table),
        paper=local("config/paper_values.csv"),
    output:
        expand("<results>/tables/{{table}}.{kind}", kind=["csv", "md", "tex"]),
    log:
        "<logs>/tables/{table}.log",
    benchmark:
        "<benchmarks>/tables/{table}.tsv"
    params:
        plan=PLAN_FILE,
        code=code_digest("wavloc.reporting.tables"),
        reads=lambda wc: digest(jobs.table(plan, wc.table)),
        models=lambda wc, input: option(
            "--models",
            pairs((name for name, _ in plan.table_models(wc.table)), input.models),
        ),
        properties=lambda wc, input: option("--properties", input.properties),
        stem=lambda wc, output: output[0].removesuffix(".csv"),
    shell:
        "wavloc tables --config {params.plan:q} --table {wildcards.table:q}"
        " --metrics {input.metrics:q} --paper {input.paper:q} {params.models:q}"
        " {params.properties:q} --out {params.stem:q} --log {log:q}"


rule reproduction:
    input:
        plan.judged,
    output:
        expand("<results>/tables/reproduction.{kind}", kind=["csv", "md"]),
    log:
        "<logs>/tables/reproduction.log",
    benchmark:
        "<benchmarks>/tables/reproduction.tsv"
    params:
        plan=PLAN_FILE,
        code=code_digest("wavloc.reporting.tables.reproduction"),
        reads=digest(jobs.reproduction(plan)),
        stem=lambda wc, output: output[0].removesuffix(".csv"),
    shell:
        "wavloc reproduction --config {params.plan:q} --tables {input:q} --out {params.stem:q}"
        " --log {log:q}"


rule summary:
    input:
        plan.judged,
    output:
        "<results>/tables/summary.json",
    log:
        "<logs>/tables/summary.log",
    benchmark:
        "<benchmarks>/tables/summary.tsv"
    params:
        code=code_digest("wavloc.reporting.tables.summary"),
    shell:
        "wavloc summary --tables {input:q} --out {output:q} --log {log:q}"


rule figure:
    input:
        frames=lambda wc: cell_frames(plan.figure_cells(wc.figure)),
        predictions=lambda wc: plan.figure_predictions(wc.figure).values(),
        metrics=lambda wc: plan.curve_metrics(wc.figure),
    output:
        expand("<results>/figures/{{figure}}.{kind}", kind=["png", "pdf"]),
    log:
        "<logs>/figures/{figure}.log",
    benchmark:
        "<benchmarks>/figures/{figure}.tsv"
    params:
        plan=PLAN_FILE,
        code=lambda wc: code_digest(
            "wavloc.reporting.style",
            f"wavloc.reporting.figures.{config['figures'][wc.figure]['kind']}",
        ),
        reads=lambda wc: digest(jobs.figure(plan, wc.figure)),
        frames=lambda wc, input: option(
            "--frames",
            pairs([cell.track for cell in plan.figure_cells(wc.figure)], input.frames),
        ),
        predictions=lambda wc, input: option(
            "--predictions",
            pairs(plan.figure_predictions(wc.figure), input.predictions),
        ),
        metrics=lambda wc, input: option("--metrics", input.metrics),
        stem=lambda wc, output: output[0].removesuffix(".png"),
    shell:
        "wavloc figures --config {params.plan:q} --figure {wildcards.figure:q} {params.frames:q}"
        " {params.predictions:q} {params.metrics:q} --out {params.stem:q} --log {log:q}"


if plan.single_frames:

    rule single_frames:
        input:
            frames=cell_frames([plan.single_frames]),
            predictions=plan.predictions(
                plan.single_frames, config["single_frames"]["table"]
            ),
        output:
            plan.single_frames_page,
        log:
            "<logs>/figures/single_frames.log",
        benchmark:
            "<benchmarks>/figures/single_frames.tsv"
        params:
            plan=PLAN_FILE,
            code=code_digest("wavloc.reporting.html.single_frames"),
            reads=digest(jobs.single_frames(plan)),
            predictions=lambda wc, input: pairs(
                [Path(path).stem for path in input.predictions], input.predictions
            ),
        shell:
            "wavloc single-frames --config {params.plan:q} --frames {input.frames:q}"
            " --predictions {params.predictions:q} --out {output:q} --log {log:q}"


rule report:
    input:
        plan.table_files,
        plan.figure_files,
        list(plan.models),
        cell_frames(plan.viewed),
        [path for cell in plan.viewed for path in plan.predictions(cell)],
        deviations=local("docs/deviations.md"),
    output:
        "<results>/report.html",
    log:
        "<logs>/report.log",
    params:
        plan=PLAN_FILE,
        code=code_digest("wavloc.reporting.html"),
        reads=digest(jobs.report(plan)),
        results=lambda wc, output: Path(output[0]).parent,
    shell:
        "wavloc report --config {params.plan:q} --results {params.results:q}"
        " --deviations {input.deviations:q} --out {output:q} --log {log:q}"
