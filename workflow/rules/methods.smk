# One rule trains every model, one predicts for every method.


rule train:
    input:
        train=lambda wc: plan.training(model_of(wc), "train"),
        valid=lambda wc: plan.training(model_of(wc), "valid"),
        pretrained=lambda wc: plan.pretrained(model_of(wc)),
        start=lambda wc: plan.start(model_of(wc)),
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
        plan=PLAN_FILE,
        code=lambda wc: code_of(
            "methods", model_of(wc).method, "wavloc.training.engine"
        ),
        reads=lambda wc: digest(jobs.train(plan, model_of(wc).method)),
        method=lambda wc: model_of(wc).method,
        mics=lambda wc: option("--mics", str(model_of(wc).mics or "")),
        valid=lambda wc, input: option("--valid", input.valid),
        pretrained=lambda wc, input: option("--pretrained", input.pretrained),
        start=lambda wc, input: option("--start", input.start),
    shell:
        "wavloc train --config {params.plan:q} --method {params.method:q} {params.mics}"
        " --train {input.train:q} {params.valid:q} {params.pretrained:q} {params.start:q}"
        " --threads {threads} --out {output:q} --log {log:q}"


rule predict_cell:
    input:
        frames="<results>/data/{dataset}/{track}",
        subset="<results>/data/subsets/{dataset}/{track}-{mics}.npy",
        model=lambda wc: plan.models_of(cell_of(wc), [wc.method]).values(),
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
        plan=PLAN_FILE,
        code=lambda wc: code_of("methods", wc.method),
        reads=lambda wc: digest(jobs.predict(plan, wc.method)),
        model=lambda wc, input: option("--model", input.model),
        audio=lambda wc: ["--audio"] * plan.keeps_audio(cell_of(wc), wc.method),
    shell:
        "wavloc predict --config {params.plan:q} --method {wildcards.method:q} {params.model:q}"
        " --frames {input.frames:q} --setup {wildcards.setup} --subset {input.subset:q}"
        " {params.audio} --refusal-as-na --out {output:q} --log {log:q}"
