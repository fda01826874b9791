# Downloads, dry sound, frames (simulated or recorded), microphone subsets.


rule download:
    output:
        f"{CACHE}/{{source}}/manifest.json",
    log:
        "<logs>/download/{source}.log",
    benchmark:
        "<benchmarks>/download/{source}.tsv"
    localrule: True  # compute nodes of a cluster may be off line
    resources:
        # Not parameters: another mirror or more patience must not run everything again.
        entry=lambda wc: json.dumps(DOWNLOADS[wc.source], sort_keys=True),
        network=NETWORK,
    params:
        archives=lambda wc: json.dumps(DOWNLOADS[wc.source]["archives"]),
        cache=CACHE,
    shell:
        "wavloc download {wildcards.source} --entry {resources.entry:q} --cache {params.cache:q}"
        " {resources.network} --log {log:q}"


rule corpus:
    input:
        lambda wc: fetched(config[wc.kind]),
    output:
        directory("<results>/data/corpus/{kind}"),
    log:
        "<logs>/corpus/{kind}.log",
    benchmark:
        "<benchmarks>/corpus/{kind}.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=provenance.code_digest("wavloc.datasets.sound"),
        source=lambda wc: config[wc.kind],
        options=lambda wc: json.dumps(sound_options(wc.kind), sort_keys=True),
        cache=config["cache"],
        seed=SEED,
    shell:
        "wavloc prepare --kind {wildcards.kind} --source {params.source:q}"
        " --options {params.options:q} --cache {params.cache:q} --seed {params.seed}"
        " --out {output:q} --log {log:q}"


rule simulate:
    input:
        sounds=lambda wc: sounds_of(wc.dataset).values(),
        recordings=lambda wc: fetched(wc.dataset),
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
        code=lambda wc: code_of("datasets", wc.dataset, "wavloc.simulation.render"),
        options=lambda wc: entry_of("datasets", wc.dataset),
        engine=config["simulation"]["engine"],
        sound=lambda wc, input: [
            word
            for kind, path in zip(sounds_of(wc.dataset), input.sounds, strict=True)
            for word in ("--sound", f"{kind}={path}")
        ],
        recordings=lambda wc: recordings_of(wc.dataset),
        seed=SEED,
    shell:
        "wavloc simulate --dataset {wildcards.dataset} --track {wildcards.track}"
        " --options {params.options:q} {params.sound:q} {params.recordings:q}"
        " --engine {params.engine:q} --seed {params.seed} --out {output:q} --log {log:q}"


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
        code=provenance.code_digest("wavloc.simulation.faults"),
        kind=lambda wc: config["faults"][wc.fault].get("kind", wc.fault),
        mics=lambda wc: config["faults"][wc.fault].get("mics", 1),
        seed=SEED,
    shell:
        "wavloc fault --frames {input:q} --kind {params.kind:q} --level {wildcards.level}"
        " --mics {params.mics} --dataset {wildcards.dataset}/{wildcards.track}"
        " --seed {params.seed} --out {output:q} --log {log:q}"


rule mix:
    input:
        frames="<results>/data/{dataset}/{track}",
        partners=lambda wc: [
            frames_of(wc.dataset, track) for track in partners_of(wc.dataset, wc.track)
        ],
    output:
        directory(f"<results>/data/{{dataset}}/{{track}}@{mixtures.KIND}-{{sources}}"),
    log:
        "<logs>/mix/{dataset}/{track}@{sources}.log",
    benchmark:
        "<benchmarks>/mix/{dataset}/{track}@{sources}.tsv"
    wildcard_constraints:
        track="[^/@]+",
    params:
        code=provenance.code_digest("wavloc.simulation.mixtures"),
        seed=SEED,
    shell:
        "wavloc mix --frames {input.frames:q} --partners {input.partners:q}"
        " --sources {wildcards.sources} --dataset {wildcards.dataset}/{wildcards.track}"
        " --seed {params.seed} --out {output:q} --log {log:q}"


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
        code=provenance.code_digest("wavloc.setups"),
        seed=SEED,
    shell:
        "wavloc subset --frames {input:q} --mics {wildcards.mics} --seed {params.seed}"
        " --dataset {wildcards.dataset}/{wildcards.track} --out {output:q} --log {log:q}"
