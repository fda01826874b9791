from types import SimpleNamespace as N

K = {
    "si_sdr_gain": "denoising",
    "auc": "detection",
    "source_mae": "sources",
    "detection_rate": "sources",
    "false_alarms": "sources",
    "mean_rank": "ranks",
}
K |= dict.fromkeys(
    "train_hours ms_per_frame frames_per_s train_memory memory train_energy energy".split(), "costs"
)
K |= dict.fromkeys("speakers utterances frames".split(), "counts")
METRICS = {
    m: N(kind=K.get(m, "errors"))
    for m in ["mae", "median", "rmse", "acc30", "failure_rate", "difference_to_best", "mic_mae", *K]
}
