"""The one registry of metrics: what each is called, its unit, its arrow, and where it comes from.

A new metric of errors is one entry of `METRICS`; `config/experiments.yaml` says which tables and
figures show it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from wavloc.evaluation import bootstrap

CAP_M = 3.0  # errors are truncated here; a failed frame counts as this much
HIT_M = 0.30  # acc@30 cm


@dataclass(frozen=True)
class Errors:
    """Errors of K methods in F frames, from which metrics of kind ``errors`` are computed.

    error_m (F, K): capped, in metres; failed (F, K): no position; mic_error_m (F, K): as error_m,
    mean over the microphones with unknown positions, None where all are known.
    """

    methods: list[str]
    control: list[bool]
    error_m: np.ndarray
    failed: np.ndarray
    mic_error_m: np.ndarray | None = None

    def best_m(self) -> np.ndarray:
        """Errors (F, 1) of the method with the lowest mean, controls apart if there are others."""
        mean = self.error_m.mean(axis=0)
        competing = np.where(self.control, np.inf, mean)
        best = int(np.argmin(mean if all(self.control) else competing))
        return self.error_m[:, best : best + 1]


@dataclass(frozen=True)
class Metric:
    """One metric, where it comes from and how it is shown.

    kind: the evaluation that produces it. factor: from metres, shares or counts to ``unit``.
    per_frame: values (F, K) of errors whose ``statistic`` over frames is the metric, None where
    they lack it. all_failed: what a method scores that fails in every frame, in ``unit``.
    everywhere: in the csv of every table of errors, shown or not.
    """

    label: str
    unit: str
    better: Literal["lower", "higher"] | None
    kind: str = "errors"
    format: str = ".1f"
    factor: float = 1
    per_frame: Callable[[Errors], Any] = lambda _: None
    statistic: bootstrap.Statistic = bootstrap.weighted_mean
    all_failed: float | None = None
    everywhere: bool = False


_of_errors = functools.partial(Metric, kind="errors", factor=100, everywhere=True)

METRICS: dict[str, Metric] = {
    "mae": _of_errors(
        "MAE (cm)", "cm", "lower", per_frame=lambda e: e.error_m, all_failed=100 * CAP_M
    ),
    "median": _of_errors(
        "median (cm)", "cm", "lower", per_frame=lambda e: e.error_m,
        statistic=bootstrap.weighted_median, all_failed=100 * CAP_M,
    ),
    "rmse": _of_errors(
        "RMSE (cm)", "cm", "lower", per_frame=lambda e: e.error_m,
        statistic=bootstrap.root_mean, all_failed=100 * CAP_M,
    ),
    "acc30": _of_errors(
        "acc@30 (%)", "%", "higher", all_failed=0.0,
        per_frame=lambda e: ((e.error_m < HIT_M) & ~e.failed).astype(float),
    ),
    "failure_rate": _of_errors(
        "failures (%)", "%", "lower", per_frame=lambda e: e.failed.astype(float)
    ),
    "difference_to_best": _of_errors(
        "to best (cm)", "cm", "lower",
        per_frame=lambda e: e.error_m - e.best_m(),
    ),
    "mic_mae": Metric(
        "mic. MAE (cm)", "cm", "lower", factor=100, per_frame=lambda e: e.mic_error_m
    ),
    "si_sdr_gain": Metric("de-noising gain, SI-SDR (dB)", "dB", "higher", "denoising"),
    "source_mae": Metric("MAE per source (cm)", "cm", "lower", "sources", factor=100),
    "detection_rate": Metric("detected (%)", "%", "higher", "sources", factor=100),
    "false_alarms": Metric("false alarms per frame", "1/frame", "lower", "sources", ".2f"),
    "residual": Metric("residual (cm)", "cm", "lower", "delays", ".2f", 100),
    "residual_excess": Metric("above the bound (cm)", "cm", "lower", "delays", ".2f", 100),
    "agreement": Metric("to robust solution (cm)", "cm", "lower", "delays", factor=100),
    "auc": Metric("area under ROC curve", "share", "higher", "detection", ".3f"),
    "mean_rank": Metric("mean rank", "rank", "lower", "ranks", ".2f"),
    "train_hours": Metric("training (h)", "h", "lower", "costs", ".3g"),
    "ms_per_frame": Metric("inference (ms/frame)", "ms", "lower", "costs", ".3g"),
    "frames_per_s": Metric("frames/s", "1/s", "higher", "costs", ".0f"),
    "train_memory": Metric("training memory (MB)", "MB", "lower", "costs", ".0f"),
    "memory": Metric("memory (MB)", "MB", "lower", "costs", ".0f"),
    "train_energy": Metric("training energy (Wh)", "Wh", "lower", "costs", ".3g"),
    "energy": Metric("energy (mWh/frame)", "mWh", "lower", "costs", ".3g"),
    "speakers": Metric("speakers", "count", None, "counts", ".0f"),
    "utterances": Metric("utterances", "count", None, "counts", ".0f"),
    "frames": Metric("frames", "count", None, "counts", ".0f"),
}  # fmt: skip


def of_kind(kind: str) -> list[str]:
    """Names of the metrics that an evaluation of this kind produces."""
    return [name for name, metric in METRICS.items() if metric.kind == kind]
