# What an earlier run has left under version control is taken as it is while its digest is that of
# this plan (wavloc.tracked). Where it is not, the input is absent and the other rule is taken.


ruleorder: recall_prediction > predict_cell
ruleorder: import_model > recall_model > train
ruleorder: recall_properties > properties
ruleorder: recall_denoising > evaluate_cell


rule recall_prediction:
    input:
        tracked=lambda wc: tracked.prediction(cell_of(wc), wc.method) or ABSENT,
        frames="<results>/data/{dataset}/{track}",
    output:
        "<results>/predictions/{dataset}/{track}/{setup}-{mics}/{method}.parquet",
    log:
        "<logs>/predict/{dataset}/{track}/{setup}-{mics}/{method}.log",
    params:
        digest=lambda wc: tracked.of_prediction(cell_of(wc), wc.method),
    shell:
        "wavloc recall {input.tracked:q} --frames {input.frames:q} --other-frames-as-na"
        " --out {output:q} --log {log:q}"


rule recall_model:
    input:
        lambda wc: tracked.model(model_of(wc)) or ABSENT,
    output:
        directory("<results>/models/{dataset}/{split}/{model}"),
    log:
        "<logs>/train/{dataset}/{split}/{model}.log",
    params:
        digest=lambda wc: tracked.of_model(model_of(wc)),
    shell:
        "wavloc recall {input:q} --out {output:q} --log {log:q}"


rule recall_properties:
    input:
        lambda wc: tracked.measured(
            cell_of(wc), f"{plan.results}/metrics/{cell_of(wc).path}/properties.json"
        )
        or ABSENT,
    output:
        "<results>/metrics/{dataset}/{track}/{setup}-{mics}/properties.json",
    log:
        "<logs>/properties/{dataset}/{track}/{setup}-{mics}.log",
    params:
        digest=lambda wc: tracked.of_measure(cell_of(wc), "properties.json"),
    shell:
        "wavloc recall {input:q} --out {output:q} --log {log:q}"


rule recall_denoising:
    input:
        lambda wc: tracked.measured(
            cell_of(wc),
            f"{plan.results}/metrics/{cell_of(wc).path}/{wc.group}-denoising.csv",
        )
        or ABSENT,
    output:
        "<results>/metrics/{dataset}/{track}/{setup}-{mics}/{group}-denoising.csv",
    log:
        "<logs>/evaluate/{dataset}/{track}/{setup}-{mics}/{group}-denoising.log",
    params:
        digest=lambda wc: tracked.of_measure(cell_of(wc), f"{wc.group}-denoising.csv"),
    shell:
        "wavloc recall {input:q} --out {output:q} --log {log:q}"
