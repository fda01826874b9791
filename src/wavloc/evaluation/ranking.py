"""The leaderboard: mean rank of each method over the cells of all datasets, with intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy.stats

from wavloc import seeds
from wavloc.evaluation import bootstrap
from wavloc.evaluation.metrics import COLUMNS

ALL = "all"  # dataset of the rows over all datasets


def leaderboard(
    errors: Mapping[tuple[str, str], Mapping[str, np.ndarray]],
    seed: int = 0,
    resamples: int = 2000,
    block: int = 1,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Mean ranks by MAE (1 = best, equals share), in the columns of the metrics.

    errors: (dataset, track) -> method -> capped errors (F,) in metres, NaN throughout where it
    refused: it then comes last. Frames are resampled within each cell, the same for all methods;
    a dataset's rank is the mean over its cells, the overall one the mean over datasets.
    """
    methods = list(dict.fromkeys(name for found in errors.values() for name in found))
    ranks: dict[str, list[np.ndarray]] = {}
    frames: dict[str, int] = {}
    for (dataset, track), found in errors.items():
        count = len(next(iter(found.values())))
        lost = np.full(count, np.nan)
        values = np.stack([found.get(name, lost) for name in methods], axis=1)
        rng = seeds.rng(seed, "leaderboard", dataset, track)
        means = bootstrap.resampled(bootstrap.weighted_mean, values, rng, resamples, block)
        means = np.nan_to_num(means, nan=np.inf)  # (1 + R, K), the whole sample first
        ranks.setdefault(dataset, []).append(scipy.stats.rankdata(means, axis=1))
        frames[dataset] = frames.get(dataset, 0) + count
    by_dataset = {dataset: np.mean(found, axis=0) for dataset, found in ranks.items()}
    by_dataset = {ALL: np.mean(list(by_dataset.values()), axis=0), **by_dataset}
    frames[ALL] = sum(frames.values())
    tail = 50 * (1 - confidence)
    rows = []
    for dataset, found in by_dataset.items():
        low, high = np.percentile(found[1:], [tail, 100 - tail], axis=0)
        for k, name in enumerate(methods):
            rows.append(
                {
                    "dataset": ALL, "track": dataset, "setup": "1a", "mics": 0, "method": name,
                    "metric": "mean_rank", "unit": "rank", "value": found[0, k],
                    "ci_low": low[k], "ci_high": high[k], "n_frames": frames[dataset], "note": "",
                }
            )  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=COLUMNS)
