# Metrics beside those of the cells: by condition, gains, costs, counts, properties, ranks.


rule evaluate_conditions:
    input:
        frames="<results>/data/{dataset}/{track}",
        predictions=grouped_predictions,
    output:
        "<results>/metrics/{dataset}/{track}/{setup}-{mics}/{group}-conditions.csv",
    log:
        "<logs>/evaluate/{dataset}/{track}/{setup}-{mics}/{group}-conditions.log",
    benchmark:
        "<benchmarks>/evaluate/{dataset}/{track}/{setup}-{mics}/{group}-conditions.tsv"
    params:
        code=provenance.code_digest("wavloc.evaluation.conditions"),
        by=conditions_of,
        resamples=config["evaluation"]["resamples"],
        block=config["evaluation"]["block"],
        seed=SEED,
    shell:
        "wavloc evaluate --frames {input.frames:q} --predictions {input.predictions:q}"
        " --by {params.by:q} --dataset {wildcards.dataset} --track {wildcards.track}"
        " --setup {wildcards.setup} --mics {wildcards.mics} --resamples {params.resamples}"
        " --block {params.block} --seed {params.seed} --out {output:q} --log {log:q}"


rule evaluate_denoising:
    input:
        frames="<results>/data/{dataset}/{track}",
        clean=lambda wc: frames_of(wc.dataset, DENOISED[cell_of(wc)][1]),
        predictions=grouped_predictions,
    output:
        "<results>/metrics/{dataset}/{track}/{setup}-{mics}/{group}-denoising.csv",
    log:
        "<logs>/evaluate/{dataset}/{track}/{setup}-{mics}/{group}-denoising.log",
    benchmark:
        "<benchmarks>/evaluate/{dataset}/{track}/{setup}-{mics}/{group}-denoising.tsv"
    params:
        code=provenance.code_digest("wavloc.evaluation.denoising"),
        by=conditions_of,
        resamples=config["evaluation"]["resamples"],
        block=config["evaluation"]["block"],
        seed=SEED,
    shell:
        "wavloc evaluate --frames {input.frames:q} --clean {input.clean:q}"
        " --predictions {input.predictions:q} --by {params.by:q} --dataset {wildcards.dataset}"
        " --track {wildcards.track} --setup {wildcards.setup} --mics {wildcards.mics}"
        " --resamples {params.resamples} --block {params.block} --seed {params.seed}"
        " --out {output:q} --log {log:q}"


rule evaluate_detection:
    input:
        frames="<results>/data/{dataset}/{track}",
        predictions=grouped_predictions,
    output:
        "<results>/metrics/{dataset}/{track}/{setup}-{mics}/{group}-detection.csv",
    log:
        "<logs>/evaluate/{dataset}/{track}/{setup}-{mics}/{group}-detection.log",
    benchmark:
        "<benchmarks>/evaluate/{dataset}/{track}/{setup}-{mics}/{group}-detection.tsv"
    params:
        code=provenance.code_digest("wavloc.evaluation.detection"),
        resamples=config["evaluation"]["resamples"],
        block=config["evaluation"]["block"],
        seed=SEED,
    shell:
        "wavloc detect --frames {input.frames:q} --predictions {input.predictions:q}"
        " --dataset {wildcards.dataset} --track {wildcards.track} --setup {wildcards.setup}"
        " --mics {wildcards.mics} --resamples {params.resamples} --block {params.block}"
        " --seed {params.seed} --out {output:q} --log {log:q}"


rule evaluate_several:
    input:
        frames="<results>/data/{dataset}/{track}",
        predictions=grouped_predictions,
    output:
        "<results>/metrics/{dataset}/{track}/{setup}-{mics}/{group}-several.csv",
    log:
        "<logs>/evaluate/{dataset}/{track}/{setup}-{mics}/{group}-several.log",
    benchmark:
        "<benchmarks>/evaluate/{dataset}/{track}/{setup}-{mics}/{group}-several.tsv"
    params:
        code=provenance.code_digest("wavloc.evaluation.multi_source"),
        resamples=config["evaluation"]["resamples"],
        block=config["evaluation"]["block"],
        seed=SEED,
    shell:
        "wavloc several --frames {input.frames:q} --predictions {input.predictions:q}"
        " --dataset {wildcards.dataset} --track {wildcards.track} --setup {wildcards.setup}"
        " --mics {wildcards.mics} --resamples {params.resamples} --block {params.block}"
        " --seed {params.seed} --out {output:q} --log {log:q}"


rule costs:
    input:
        predictions=grouped_predictions,
        models=lambda wc: grouped_models(wc).values(),
    output:
        "<results>/metrics/{dataset}/{track}/{setup}-{mics}/{group}-costs.csv",
    log:
        "<logs>/costs/{dataset}/{track}/{setup}-{mics}/{group}.log",
    benchmark:
        "<benchmarks>/costs/{dataset}/{track}/{setup}-{mics}/{group}.tsv"
    params:
        code=provenance.code_digest("wavloc.evaluation.costs"),
        models=lambda wc, input: [
            f"{method}={path}"
            for method, path in zip(grouped_models(wc), input.models, strict=True)
        ],
    shell:
        "wavloc costs --predictions {input.predictions:q} --models {params.models:q}"
        " --dataset {wildcards.dataset} --track {wildcards.track} --setup {wildcards.setup}"
        " --mics {wildcards.mics} --out {output:q} --log {log:q}"


rule counts:
    input:
        lambda wc: [frames_of(*cell[:2]) for cell in cells_of(EXPERIMENTS[wc.table])],
    output:
        "<results>/metrics/{dataset}/{table}.csv",
    log:
        "<logs>/counts/{dataset}/{table}.log",
    benchmark:
        "<benchmarks>/counts/{dataset}/{table}.tsv"
    params:
        code=provenance.code_digest("wavloc.evaluation.counts"),
        frames=lambda wc, input: [
            f"{cell[1]}={path}"
            for cell, path in zip(cells_of(EXPERIMENTS[wc.table]), input, strict=True)
        ],
        mics=lambda wc: EXPERIMENTS[wc.table]["mics"][0],
    shell:
        "wavloc counts --frames {params.frames:q} --dataset {wildcards.dataset}"
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
        code=lambda wc: provenance.digest(
            [
                code_of("methods", method, "wavloc.evaluation.properties")
                for method in MEASURED[cell_of(wc)]
            ]
        ),
        methods=lambda wc: json.dumps(
            {
                name: json.loads(entry_of("methods", name))
                for name in MEASURED[cell_of(wc)]
            }
        ),
        models=lambda wc, input: [
            f"{method}={path}"
            for method, path in zip(measured_models(wc), input.models, strict=True)
        ],
        seed=SEED,
    shell:
        "wavloc properties --methods {params.methods:q} --models {params.models:q}"
        " --frames {input.frames:q} --subset {input.subset:q} --seed {params.seed}"
        " --out {output:q} --log {log:q}"


rule rank:
    input:
        frames=lambda wc: [
            frames_of(*cell[:2]) for cell in cells_of(EXPERIMENTS[wc.table])
        ],
        predictions=lambda wc: ranked_predictions(wc.table).values(),
    output:
        "<results>/metrics/{table}.csv",
    log:
        "<logs>/rank/{table}.log",
    benchmark:
        "<benchmarks>/rank/{table}.tsv"
    params:
        code=provenance.code_digest("wavloc.evaluation.ranking"),
        frames=lambda wc, input: [
            "{}/{}={}".format(*cell[:2], path)
            for cell, path in zip(
                cells_of(EXPERIMENTS[wc.table]), input.frames, strict=True
            )
        ],
        predictions=lambda wc, input: [
            f"{key}={path}"
            for key, path in zip(
                ranked_predictions(wc.table), input.predictions, strict=True
            )
        ],
        resamples=config["evaluation"]["resamples"],
        block=config["evaluation"]["block"],
        seed=SEED,
    shell:
        "wavloc rank --frames {params.frames:q} --predictions {params.predictions:q}"
        " --resamples {params.resamples} --block {params.block} --seed {params.seed}"
        " --out {output:q} --log {log:q}"
