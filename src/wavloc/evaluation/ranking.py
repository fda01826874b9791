"""The leaderboard: mean rank of each method over the cells of all datasets, with intervals."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy.stats

from wavloc import seeds
from wavloc.evaluation import bootstrap
from wavloc.evaluation.base import row, tidy

ALL = "all"  # dataset of the rows over all datasets


def leaderboard(
    errors: Mapping[tuple[str, str], Mapping[str, np.ndarray]],
    seed: int = 0,
    resamples: int = 2000,
    block: int = 1,
) -> pd.DataFrame:
    """Mean ranks by MAE (1 = best, ties share a rank), as rows of metrics.

    errors: (dataset, track) -> method -> capped errors (F,) in metres, NaN throughout where it
    refused and so comes last. Frames are resampled within each cell, the same for all methods;
    a dataset's rank is the mean over its cells, the overall one the mean over datasets.
    """
    methods = list(dict.fromkeys(name for cell in errors.values() for name in cell))
    ranks: dict[str, list[np.ndarray]] = {}
    frames: dict[str, int] = {}
    for (dataset, track), by_method in errors.items():
        count = len(next(iter(by_method.values())))
        refused = np.full(count, np.nan)
        values = np.stack([by_method.get(name, refused) for name in methods], axis=1)
        rng = seeds.rng(seed, "leaderboard", dataset, track)
        means = bootstrap.resampled(bootstrap.weighted_mean, values, rng, resamples, block)
        means = np.nan_to_num(means, nan=np.inf)  # (1 + R, K), the whole sample first
        ranks.setdefault(dataset, []).append(scipy.stats.rankdata(means, axis=1))
        frames[dataset] = frames.get(dataset, 0) + count
    by_dataset = {dataset: np.mean(cells, axis=0) for dataset, cells in ranks.items()}
    by_dataset = {ALL: np.mean(list(by_dataset.values()), axis=0), **by_dataset}
    frames[ALL] = sum(frames.values())
    rows = []
    for dataset, mean in by_dataset.items():
        cell = {"dataset": ALL, "track": dataset, "setup": "1a", "mics": 0}
        bounds = np.stack([mean[0], *np.percentile(mean[1:], bootstrap.TAILS, axis=0)], axis=1)
        rows += [
            row(cell, name, "mean_rank", frames[dataset], numbers)
            for name, numbers in zip(methods, bounds, strict=True)
        ]
    return tidy(rows)
