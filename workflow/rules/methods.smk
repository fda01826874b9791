# One rule trains every model, one makes it of published weights, one predicts for every method;
# steered is trained apart, once.


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
        reads=lambda wc: digest(jobs.train(plan, model_of(wc))),
        method=lambda wc: model_of(wc).method,
        options=lambda wc: option("--options", own_options(model_of(wc))),
        mics=lambda wc: option("--mics", str(model_of(wc).mics or "")),
        valid=lambda wc, input: option("--valid", input.valid),
        pretrained=lambda wc, input: option("--pretrained", input.pretrained),
        start=lambda wc, input: option("--start", input.start),
        store=lambda wc: f"{FEATURES}/{wc.dataset}/{wc.split}",
    shell:
        "wavloc train --config {params.plan:q} --method {params.method:q} {params.mics}"
        " {params.options:q}"
        " --train {input.train:q} {params.valid:q} {params.pretrained:q} {params.start:q}"
        " --store {params.store:q} --threads {threads} --out {output:q} --log {log:q}"


ruleorder: import_model > train


rule import_model:
    input:
        lambda wc: plan.imported(model_of(wc)) or ABSENT,
    output:
        directory("<results>/models/{dataset}/{split}/{model}"),
    log:
        "<logs>/train/{dataset}/{split}/{model}.log",
    params:
        code=code_digest("wavloc.checkpoints.imported"),
    shell:
        "wavloc import-checkpoint {input:q} --out {output:q} --log {log:q}"


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


rule steered_speech:
    output:
        directory("<results>/data/corpus/librispeech"),
    log:
        "<logs>/corpus/librispeech.log",
    params:
        plan=PLAN_FILE,
        code=code_digest("wavloc.datasets.sound"),
        reads=lambda wc: digest(jobs.prepare(plan, "speech", "librispeech")),
    shell:
        "wavloc prepare --config {params.plan:q} --kind speech --source librispeech"
        " --out {output:q} --log {log:q}"


rule train_steered:
    input:
        speech="<results>/data/corpus/speech",
        recorded=["<results>/data/corpus/librispeech"] * ("librispeech_root" in config),
        music="<results>/data/corpus/music",
    output:
        "<results>/models/steered/steered.safetensors",
    log:
        "<logs>/train/steered.log",
    threads: 2
    resources:
        mem_mb=4000,
        runtime=600,
    params:
        plan=PLAN_FILE,
        code=code_digest("wavloc.methods.learned.steered_training"),
        steps=config["steered"]["steps"],
        seed=config["steered"]["seed"],
        out=subpath(output[0], parent=True),
    shell:
        "wavloc train-steered --config {params.plan:q} --speech {input.recorded:q} {input.speech:q}"
        " --music {input.music:q} --steps {params.steps} --seed {params.seed}"
        " --out {params.out:q} --log {log:q}"
