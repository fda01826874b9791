# Downloads, dry sound, frames (simulated or recorded), microphone subsets.


rule download:
    output:
        f"{config['cache']}/{{source}}/manifest.json",
    log:
        "<logs>/download/{source}.log",
    benchmark:
        "<benchmarks>/download/{source}.tsv"
    localrule: True  # compute nodes of a cluster may be off line
    params:
        plan=PLAN_FILE,
        reads=lambda wc: digest(jobs.download(plan, wc.source)),
    shell:
        "wavloc download {wildcards.source} --config {params.plan:q} --log {log:q}"


rule corpus:
    input:
        lambda wc: plan.fetched(config[wc.sound]),
    output:
        directory("<results>/data/corpus/{sound}"),
    log:
        "<logs>/corpus/{sound}.log",
    benchmark:
        "<benchmarks>/corpus/{sound}.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        plan=PLAN_FILE,
        code=code_digest("wavloc.datasets.sound"),
        reads=lambda wc: digest(jobs.prepare(plan, wc.sound)),
    shell:
        "wavloc prepare --config {params.plan:q} --kind {wildcards.sound} --out {output:q}"
        " --log {log:q}"


rule simulate:
    input:
        sounds=lambda wc: plan.sounds_of(wc.dataset).values(),
        recordings=lambda wc: plan.fetched(wc.dataset),
    output:
        directory("<results>/data/{dataset}/{track}"),
    log:
        "<logs>/simulate/{dataset}/{track}.log",
    benchmark:
        "<benchmarks>/simulate/{dataset}/{track}.tsv"
    wildcard_constraints:
        track="[^/@]+",
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        plan=PLAN_FILE,
        code=lambda wc: code_of("datasets", wc.dataset, "wavloc.simulation.render"),
        reads=lambda wc: digest(jobs.simulate(plan, wc.dataset)),
        sound=lambda wc, input: option(
            "--sound", pairs(plan.sounds_of(wc.dataset), input.sounds)
        ),
    shell:
        "wavloc simulate --config {params.plan:q} --dataset {wildcards.dataset:q}"
        " --track {wildcards.track:q} {params.sound:q} --out {output:q} --log {log:q}"


rule fault:
    input:
        "<results>/data/{dataset}/{track}",
    output:
        directory("<results>/data/{dataset}/{track}@{fault}-{level}"),
    log:
        "<logs>/fault/{dataset}/{track}@{fault}-{level}.log",
    benchmark:
        "<benchmarks>/fault/{dataset}/{track}@{fault}-{level}.tsv"
    wildcard_constraints:
        track="[^/@]+",
    params:
        plan=PLAN_FILE,
        code=code_digest("wavloc.simulation.faults"),
        reads=lambda wc: digest(jobs.fault(plan, wc.fault)),
    shell:
        "wavloc fault --config {params.plan:q} --frames {input:q} --fault {wildcards.fault:q}"
        " --level {wildcards.level} --dataset {wildcards.dataset:q}/{wildcards.track:q}"
        " --out {output:q} --log {log:q}"


rule mix:
    input:
        frames="<results>/data/{dataset}/{track}",
        partners=lambda wc: plan.partners(wc.dataset, wc.track),
    output:
        directory(f"<results>/data/{{dataset}}/{{track}}@{mixtures.KIND}-{{sources}}"),
    log:
        "<logs>/mix/{dataset}/{track}@{sources}.log",
    benchmark:
        "<benchmarks>/mix/{dataset}/{track}@{sources}.tsv"
    wildcard_constraints:
        track="[^/@]+",
    params:
        plan=PLAN_FILE,
        code=code_digest("wavloc.simulation.mixtures"),
        seed=plan.seed,
    shell:
        "wavloc mix --config {params.plan:q} --frames {input.frames:q}"
        " --partners {input.partners:q} --sources {wildcards.sources}"
        " --dataset {wildcards.dataset:q}/{wildcards.track:q} --out {output:q} --log {log:q}"


rule subset:
    input:
        "<results>/data/{dataset}/{track}",
    output:
        "<results>/data/subsets/{dataset}/{track}-{mics}.npy",
    log:
        "<logs>/subset/{dataset}/{track}-{mics}.log",
    benchmark:
        "<benchmarks>/subset/{dataset}/{track}-{mics}.tsv"
    params:
        plan=PLAN_FILE,
        code=code_digest("wavloc.setups"),
        seed=plan.seed,
    shell:
        "wavloc subset --config {params.plan:q} --frames {input:q} --mics {wildcards.mics}"
        " --dataset {wildcards.dataset:q}/{wildcards.track:q} --out {output:q} --log {log:q}"


rule croissant:
    input:
        lambda wc: plan.frames_of(wc.dataset).values(),
    output:
        "<results>/data/{dataset}.croissant.json",
    log:
        "<logs>/croissant/{dataset}.log",
    benchmark:
        "<benchmarks>/croissant/{dataset}.tsv"
    params:
        plan=PLAN_FILE,
        code=code_digest("wavloc.reporting.croissant"),
        reads=lambda wc: digest(jobs.croissant(plan, wc.dataset)),
        frames=lambda wc, input: pairs(plan.frames_of(wc.dataset), input),
    shell:
        "wavloc croissant --config {params.plan:q} --dataset {wildcards.dataset:q}"
        " --frames {params.frames:q} --out {output:q} --log {log:q}"
