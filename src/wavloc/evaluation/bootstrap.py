"""Bootstrap intervals for all metrics and methods at once, on the same resamples of frames."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

# Resampled weights held at a time: bounds memory to about 64 MB whatever the number of frames.
ELEMENTS = 8_000_000
TAILS = [50 * (1 - 0.95), 100 - 50 * (1 - 0.95)]  # percentiles at the ends of the 95 % interval

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]


def weighted_mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean over frames: weights (R, F), values (F, K) -> (R, K)."""
    return weights @ values / weights.sum(axis=1, keepdims=True)


def weighted_median(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Exact median of the multiset given by integer weights: (R, F), (F, K) -> (R, K)."""
    half = weights.sum(axis=1, keepdims=True) / 2
    medians = np.empty((len(weights), values.shape[1]))
    for k, column in enumerate(values.T):
        order = np.argsort(column, kind="stable")
        cumulated = np.cumsum(weights[:, order], axis=1)
        low = (cumulated < half).sum(axis=1)
        high = (cumulated <= half).sum(axis=1)
        ranked = column[order]
        medians[:, k] = (ranked[low] + ranked[np.minimum(high, len(ranked) - 1)]) / 2
    return medians


def root_mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Root of the mean of squares: (R, F), (F, K) -> (R, K)."""
    return np.sqrt(weighted_mean(weights, values**2))


def intervals(
    statistic: Statistic,
    values: np.ndarray,
    rng: np.random.Generator,
    resamples: int = 2000,
    block: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value and ends of the 95 % interval of a statistic: values (F, ...) -> three arrays (K,)."""
    estimates = resampled(statistic, values, rng, resamples, block)
    return estimates[0], *np.percentile(estimates[1:], TAILS, axis=0)


def resampled(
    statistic: Statistic, values: np.ndarray, rng: np.random.Generator, resamples: int, block: int
) -> np.ndarray:
    """The statistic of the sample itself and of each resample: values (F, K) -> (1 + R, K)."""
    weights = [np.ones((1, len(values)))], _weights(len(values), rng, resamples, block)
    return np.concatenate([statistic(part, values) for part in itertools.chain(*weights)])


def _weights(
    count: int, rng: np.random.Generator, resamples: int, block: int
) -> Iterator[np.ndarray]:
    """How often each frame is drawn: (R, F) in chunks of resamples."""
    groups = -(-count // block)
    member = np.arange(count) // block
    step = max(1, ELEMENTS // count)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=size)
        yield drawn[:, member].astype(np.float64)
