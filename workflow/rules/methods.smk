# One rule trains every model, one predicts for every method, one evaluates a cell.


rule train:
    input:
        train=lambda wc: training_tracks(wc, "train"),
        valid=lambda wc: training_tracks(wc, "valid"),
        pretrained=pretrained_of,
        start=start_of,
    output:
        directory("<results>/models/{dataset}/{split}/{model}"),
    log:
        "<logs>/train/{dataset}/{split}/{model}.log",
    benchmark:
        "<benchmarks>/train/{dataset}/{split}/{model}.tsv"
    priority: 10  # the longest jobs first, or the last one runs alone
    threads: config["training"]["threads"]
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        code=lambda wc: code_of(
            "methods", trained_by(wc.model)[0], "wavloc.training.engine"
        ),
        method=lambda wc: trained_by(wc.model)[0],
        options=lambda wc: entry_of("methods", *trained_by(wc.model)),
        valid=lambda wc, input: ["--valid", *input.valid] if input.valid else [],
        pretrained=lambda wc, input: option("--pretrained", input.pretrained),
        start=lambda wc, input: option("--start", input.start),
        run=TRAINING,
        cache=config["cache"],
        seed=SEED,
    shell:
        "wavloc train --method {params.method:q} --options {params.options:q}"
        " --train {input.train:q} {params.valid:q} {params.pretrained:q} {params.start:q}"
        " {params.run:q}"
        " --threads {threads} --cache {params.cache:q} --seed {params.seed} --out {output:q}"
        " --log {log:q}"


rule predict_cell:
    input:
        frames="<results>/data/{dataset}/{track}",
        subset="<results>/data/subsets/{dataset}/{track}-{mics}.npy",
        model=lambda wc: model_of(cell_of(wc), wc.method) or [],
    output:
        "<results>/predictions/{dataset}/{track}/{setup}-{mics}/{method}.parquet",
    log:
        "<logs>/predict/{dataset}/{track}/{setup}-{mics}/{method}.log",
    benchmark:
        "<benchmarks>/predict/{dataset}/{track}/{setup}-{mics}/{method}.tsv"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=lambda wc: code_of("methods", wc.method),
        options=lambda wc: entry_of("methods", wc.method),
        model=lambda wc, input: option("--model", input.model),
        audio=lambda wc: (
            ["--audio"] * (wc.method in DENOISED.get(cell_of(wc), [[]])[0])
        ),
        seed=SEED,
    shell:
        "wavloc predict --method {wildcards.method} --options {params.options:q} {params.model:q}"
        " --frames {input.frames:q} --setup {wildcards.setup} --subset {input.subset:q}"
        " {params.audio:q} --refusal-as-na --seed {params.seed} --out {output:q} --log {log:q}"


rule evaluate_cell:
    input:
        frames="<results>/data/{dataset}/{track}",
        subset="<results>/data/subsets/{dataset}/{track}-{mics}.npy",
        predictions=grouped_predictions,
    output:
        "<results>/metrics/{dataset}/{track}/{setup}-{mics}/{group}.csv",
    log:
        "<logs>/evaluate/{dataset}/{track}/{setup}-{mics}/{group}.log",
    benchmark:
        "<benchmarks>/evaluate/{dataset}/{track}/{setup}-{mics}/{group}.tsv"
    params:
        code=provenance.code_digest("wavloc.evaluation.errors"),
        resamples=config["evaluation"]["resamples"],
        block=config["evaluation"]["block"],
        seed=SEED,
    shell:
        "wavloc evaluate --frames {input.frames:q} --predictions {input.predictions:q}"
        " --dataset {wildcards.dataset} --track {wildcards.track} --setup {wildcards.setup}"
        " --mics {wildcards.mics} --subset {input.subset:q} --resamples {params.resamples} --block {params.block}"
        " --seed {params.seed} --out {output:q} --log {log:q}"
