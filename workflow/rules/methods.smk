# One rule for all methods, one for the evaluation of a cell.


rule predict_cell:
    input:
        frames="<results>/data/{dataset}/{track}",
        subset="<results>/data/subsets/{dataset}/{track}-{mics}.npy",
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
        seed=SEED,
    shell:
        "wavloc predict --method {wildcards.method} --options {params.options:q}"
        " --frames {input.frames:q} --setup {wildcards.setup} --subset {input.subset:q}"
        " --refusal-as-na --seed {params.seed} --out {output:q} --log {log:q}"


rule evaluate_cell:
    input:
        frames="<results>/data/{dataset}/{track}",
        predictions=expand(
            "<results>/predictions/{{dataset}}/{{track}}/{{setup}}-{{mics}}/{method}.parquet",
            method=METHODS,
        ),
    output:
        "<results>/metrics/{dataset}/{track}/{setup}-{mics}.csv",
    log:
        "<logs>/evaluate/{dataset}/{track}/{setup}-{mics}.log",
    benchmark:
        "<benchmarks>/evaluate/{dataset}/{track}/{setup}-{mics}.tsv"
    params:
        code=provenance.code_digest("wavloc.evaluation.metrics"),
        resamples=config["evaluation"]["resamples"],
        block=config["evaluation"]["block"],
        seed=SEED,
    shell:
        "wavloc evaluate --frames {input.frames:q} --predictions {input.predictions:q}"
        " --dataset {wildcards.dataset} --track {wildcards.track} --setup {wildcards.setup}"
        " --mics {wildcards.mics} --resamples {params.resamples} --block {params.block}"
        " --seed {params.seed} --out {output:q} --log {log:q}"
