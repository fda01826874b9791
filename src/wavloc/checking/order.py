"""Whether the channels are in the order of the microphones.

Under the right order the correlations of all pairs add up at the place of the source; under another
one they do not. The source stays or walks: the best path through the maps of steered power under
the stated order is compared with that under each swap of two channels, first on the grid, then, for
the likely swaps, with the exact places.
"""

import dataclasses
import itertools

import numpy as np

from wavloc.checking.windows import FEWEST_WINDOWS, Correlations, Search, pair_rows

FEWEST_MICS = 5  # with fewer, another order fits the delays as well, from another place
MOST_WINDOWS = 48
MOST_CHANNELS = 12  # of a large array only the channels that fit worst are swapped
LIKELY = 6  # swaps that are looked at closely
GAIN = 0.15  # of the power on the grid and of that at the exact places, together


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
    """The two microphones whose channels should rather be swapped, and what that gains.

    seen: of `Search.by_lag`; order: (M,) the channel of each microphone before the swap.
    """
    rows, turned = pair_rows(order)
    power = search.total(seen, rows, turned)
    cells, stated = search.path(power)
    exact = search.refined(heard.reordered(order), search.starts(power, cells))[1].sum()
    found: list[tuple[float, list[int], np.ndarray, np.ndarray]] = []
    for swap in itertools.combinations(_worst(search, seen, power, rows, turned), 2):
        swapped = order.copy()
        swapped[list(swap)] = order[list(swap[::-1])]
        new_rows, new_turned = pair_rows(swapped)
        total = power.copy()
        for k in np.flatnonzero((new_rows != rows) | (new_turned != turned)).tolist():
            total += search.row(seen, k, new_rows[k], new_turned[k])
            total -= search.row(seen, k, rows[k], turned[k])
        cells, best = search.path(total)
        found.append((best / stated - 1, list(swap), swapped, search.starts(total, cells)))
        found = sorted(found, key=lambda entry: -entry[0])[:LIKELY]
    gains = [
        gain + search.refined(heard.reordered(swapped), starts)[1].sum() / exact - 1
        for gain, _, swapped, starts in found
    ]
    best_place = int(np.argmax(gains))
    return found[best_place][1], float(gains[best_place])


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
