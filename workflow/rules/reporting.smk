# Tables, figures and the report.


rule table:
    input:
        metrics=lambda wc: metrics_for(wc.table),
        models=lambda wc: table_models(wc.table).values(),
        properties=lambda wc: table_properties(wc.table),
        paper=local("config/paper_values.csv"),
    output:
        expand("<results>/tables/{{table}}.{kind}", kind=["csv", "md", "tex"]),
    log:
        "<logs>/tables/{table}.log",
    benchmark:
        "<benchmarks>/tables/{table}.tsv"
    params:
        code=provenance.code_digest("wavloc.reporting.tables"),
        spec=lambda wc: json.dumps(table_spec(wc.table)),
        methods=lambda wc: rows_json(wc.table),
        models=lambda wc, input: [
            f"{method}={path}"
            for method, path in zip(table_models(wc.table), input.models, strict=True)
        ],
        properties=lambda wc, input: (
            ["--properties", *input.properties] if input.properties else []
        ),
        caption=lambda wc: caption(table_spec(wc.table)),
        stem=lambda wc, output: output[0].removesuffix(".csv"),
    shell:
        "wavloc tables --table {wildcards.table} --spec {params.spec:q}"
        " --methods {params.methods:q} --metrics {input.metrics:q} --paper {input.paper:q}"
        " --models {params.models:q} {params.properties:q} --caption {params.caption:q} --out {params.stem:q} --log {log:q}"


rule reproduction:
    input:
        JUDGED,
    output:
        REPRODUCTION,
    log:
        "<logs>/tables/reproduction.log",
    benchmark:
        "<benchmarks>/tables/reproduction.tsv"
    params:
        code=provenance.code_digest("wavloc.reporting.tables.reproduction"),
        papers=[name for name in DATASETS if DATASETS[name].get("papers_data")],
        caption=made_by(),
        stem=lambda wc, output: output[0].removesuffix(".csv"),
    shell:
        "wavloc reproduction --tables {input:q} --papers-data {params.papers:q}"
        " --caption {params.caption:q} --out {params.stem:q} --log {log:q}"


rule summary:
    input:
        JUDGED,
    output:
        "<results>/tables/summary.json",
    log:
        "<logs>/tables/summary.log",
    benchmark:
        "<benchmarks>/tables/summary.tsv"
    params:
        code=provenance.code_digest("wavloc.reporting.tables.summary"),
    shell:
        "wavloc summary --tables {input:q} --out {output:q} --log {log:q}"


rule figure:
    input:
        frames=lambda wc: [
            frames_of(cell[0], cell[1]) for cell in figure_cells(wc.figure)
        ],
        predictions=lambda wc: figure_predictions(wc.figure).values(),
        metrics=lambda wc: (
            metrics_for(wc.figure) if "x" in EXPERIMENTS[wc.figure] else []
        ),
    output:
        expand("<results>/figures/{{figure}}.{kind}", kind=["png", "pdf"]),
    log:
        "<logs>/figures/{figure}.log",
    benchmark:
        "<benchmarks>/figures/{figure}.tsv"
    params:
        code=lambda wc: provenance.code_digest(
            "wavloc.reporting.style",
            f"wavloc.reporting.figures.{config['figures'][wc.figure]['kind']}",
        ),
        spec=lambda wc: json.dumps(figure_spec(wc.figure)),
        methods=lambda wc: rows_json(wc.figure),
        frames=lambda wc, input: [
            f"{cell[1]}={path}"
            for cell, path in zip(figure_cells(wc.figure), input.frames, strict=True)
        ],
        predictions=lambda wc, input: [
            f"{key}={path}"
            for key, path in zip(
                figure_predictions(wc.figure), input.predictions, strict=True
            )
        ],
        metrics=lambda wc, input: (
            ["--metrics", *input.metrics] if input.metrics else []
        ),
        stem=lambda wc, output: output[0].removesuffix(".png"),
    shell:
        "wavloc figures --spec {params.spec:q} --methods {params.methods:q}"
        " --frames {params.frames:q} --predictions {params.predictions:q} {params.metrics:q}"
        " --out {params.stem:q} --log {log:q}"


rule report:
    input:
        TABLE_FILES,
        FIGURE_FILES,
        MODELS.keys(),
        [frames_of(*cell[:2]) for cell in VIEWED],
        [path for cell in VIEWED for path in predictions_of(cell)],
        deviations=local("docs/deviations.md"),
    output:
        "<results>/report.html",
    log:
        "<logs>/report.log",
    params:
        code=provenance.code_digest("wavloc.reporting.html"),
        config=json.dumps(config, sort_keys=True),
        results=lambda wc, output: Path(output[0]).parent,
    shell:
        "wavloc report --results {params.results:q} --config {params.config:q}"
        " --deviations {input.deviations:q} --out {output:q} --log {log:q}"
