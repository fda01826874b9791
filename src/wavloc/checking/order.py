"""Whether the channels are in the order of the microphones.

Under the right order the correlations of all pairs add up at the place of the source; under another
one they do not. The source stays or walks: the best path through the maps of steered power under
the stated order is compared with that under each swap of two channels, first on the grid, then, for
the likely swaps, with the exact places. The tops of the maps count as well, and most: they need no
path, of which echoes make several that are nearly as good.
"""

import dataclasses
import itertools

import numpy as np

from wavloc.checking.windows import FEWEST_WINDOWS, Correlations, Search, pair_rows

FEWEST_MICS = 5  # with fewer, another order fits the delays as well, from another place
MOST_WINDOWS = 48
MOST_CHANNELS = 12  # of a large array only the channels that fit worst are swapped
LIKELY = 6  # swaps that are looked at closely
PATH, EXACT, TOPS = 1 / 6, 1 / 6, 4 / 6  # weights: of the path, its exact places, the maps' tops
GAIN = 0.01  # of these together, from which on a swap is believed ...
LEAST = 0.003  # ... if the tops gain so much: two microphones to which a source is alike gain none
WORSE = -0.1  # if the exact places lose so much, cells are too coarse for tops to count


def order_of(heard: Correlations, search: Search) -> tuple[np.ndarray, np.ndarray]:
    """For each microphone the channel (M,) that is most likely its own: 0, 1, ... unless others
    fit clearly better; and how much better, as a share (M,), 0 where none was changed.

    The best swap is made, and the next one looked for, until none is better.
    """
    number = len(heard.mics)
    order, gains = np.arange(number), np.zeros(number)
    if number < FEWEST_MICS or len(heard.gcc) < FEWEST_WINDOWS:
        return order, gains
    chosen = np.linspace(0, len(heard.gcc) - 1, min(len(heard.gcc), MOST_WINDOWS)).astype(int)
    heard = dataclasses.replace(heard, gcc=heard.gcc[chosen], time_s=heard.time_s[chosen])
    seen = search.by_lag(heard)
    for _ in range(number - 1):
        swap, gain = best_swap(heard, search, seen, order)
        if gain < GAIN:
            break
        order[swap] = order[swap[::-1]]
        gains[swap] = np.maximum(gains[swap], gain)
    return order, gains


def best_swap(
    heard: Correlations, search: Search, seen: np.ndarray, order: np.ndarray
) -> tuple[list[int], float]:
    """The two microphones whose channels should rather be swapped, and what that gains as a share;
    none, and 0, if no swap gains anything.

    seen: of `Search.by_lag`; order: (M,) the channel of each microphone before the swap.
    """
    rows, turned = pair_rows(order)
    power = search.total(seen, rows, turned)
    stated_cells, stated = search.path(power)
    tops = power.max(axis=0).sum()
    found: list[tuple[float, list[int], np.ndarray, np.ndarray]] = []
    for swap in itertools.combinations(_worst(search, seen, power, rows, turned), 2):
        swapped = order.copy()
        swapped[list(swap)] = order[list(swap[::-1])]
        new_rows, new_turned = pair_rows(swapped)
        total = power.copy()
        for k in np.flatnonzero((new_rows != rows) | (new_turned != turned)).tolist():
            total += search.row(seen, k, new_rows[k], new_turned[k])
            total -= search.row(seen, k, rows[k], turned[k])
        higher = total.max(axis=0).sum() / tops - 1
        if higher <= LEAST:
            continue
        cells, best = search.path(total)
        gain = PATH * (best / stated - 1) + TOPS * higher
        found.append((float(gain), list(swap), swapped, search.starts(total, cells)))
        found = sorted(found, key=lambda entry: -entry[0])[:LIKELY]
    if not found:
        return [], 0.0
    exact = search.refined(heard.reordered(order), search.starts(power, stated_cells))[1].sum()
    best_gain, best_pair = 0.0, list[int]()
    for gain, pair, swapped, starts in found:
        closer = search.refined(heard.reordered(swapped), starts)[1].sum() / exact - 1
        if closer > WORSE and gain + EXACT * closer > best_gain:
            best_gain, best_pair = float(gain + EXACT * closer), pair
    return best_pair, best_gain


def _worst(
    search: Search, seen: np.ndarray, power: np.ndarray, rows: np.ndarray, turned: np.ndarray
) -> list[int]:
    """The microphones, `MOST_CHANNELS` at most, whose pairs give least at the tops of the maps."""
    number = len(search.problem.mics[0])
    if number <= MOST_CHANNELS:
        return list(range(number))
    top, window = power.argmax(axis=0), np.arange(power.shape[1])
    share = np.zeros(number)
    for k, ends in enumerate(zip(search.problem.first, search.problem.second, strict=True)):
        share[list(ends)] += search.row(seen, k, rows[k], turned[k])[top, window].mean()
    return sorted(share.argsort(kind="stable")[:MOST_CHANNELS].tolist())
