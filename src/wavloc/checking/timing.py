"""Channels against one another: polarity, offset, drift, agreement, crosstalk.

Once the source of a window is known, so are the delays. Correlations that are moved by them and
summed over a channel's pairs have their peak at 0 where the channel is in step, elsewhere where it
is not, and none where it hears something else.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from wavloc.checking.windows import FEWEST_WINDOWS, RATE, Correlations, Search, pair_rows

FEWEST_MICS = 5  # with fewer, a channel that is out of step fits another place as well
IN_STEP_S = 0.8e-3  # the sound's way is 27 cm longer or shorter than stated
ON_LINE_S = 0.3e-3  # around the line of a channel that is out of step
MOST_DRIFT = 5e-4  # seconds a second
DRIFTING_S = 40.0  # a drift shows in recordings of a quarter of this length, or more
SHARE, TIMES = 0.3, 2.0  # windows that lie on such a line; as a multiple of those in step
BETTER = 0.04  # what putting it right adds to the share of windows in which others are in step ...
# ... or, one of many, which it hardly moves: it never is itself, and late as often as they are.
NEVER, AS_OFTEN = 0.1, 0.8
FAR_SHARE, TOGETHER = 0.8, 0.5  # windows: with impossible delays, within a range of the same width
INVERTED = 4.0  # deviations of a mean over windows
LEAN = -0.2  # and its size, from 1 to -1
MOVES_M = 0.2  # median change of a source's way to a microphone, against its ways to the others
CROSSTALK = 4.0  # deviations of a correlation at delay zero ...
CROSSTALK_STAYING = 12.0  # ... of a source that stays, whose echoes may happen to be there
SHARP = 0.5  # how much of a peak at zero is left one sample away
SAME = 0.9  # of the largest correlation that there can be: no room leaves two channels so alike
ELSEWHERE = 3  # samples between zero and the delay of the source


@dataclasses.dataclass
class Timing:
    """How channels fit one another.

    sign (M,): -1 of inverted channels; late_s (n, M): by how much each channel is late in each
    window; in_step (M,): share of windows in which it is not, once those that are late were moved;
    steady (M,): largest share of windows with delays on one line; offset_s, drift (M,): of those
    that are late, when the recording begins and in seconds a second, else 0.
    """

    sign: np.ndarray
    late_s: np.ndarray
    in_step: np.ndarray
    steady: np.ndarray
    offset_s: np.ndarray
    drift: np.ndarray


def signs(heard: Correlations) -> np.ndarray:
    """Polarity of each channel (M,): 1, or -1 where it is clearly inverted against the majority.

    The correlation of two channels of unlike polarity has its largest value below zero.
    """
    number = len(heard.mics)
    possible = heard.possible
    lean = _lean(possible, possible)  # (n, P)
    matrix = np.zeros((number, number))
    matrix[heard.first, heard.second] = lean.mean(axis=0)
    side = np.where(np.linalg.eigh(matrix + matrix.T)[1][:, -1] < 0, -1.0, 1.0)
    if side.sum() < 0:
        side = -side
    agreed = heard.by_channel(lean * (side[heard.first] * side[heard.second]))
    return np.where((_deviations(agreed) > INVERTED) & (side < 0), -1.0, 1.0)


def _lean(correlation: np.ndarray, near: np.ndarray) -> np.ndarray:
    """How positive (1) or negative (-1) the strongest value is along the last axis; ``near``: the
    part of the correlation in which an inverted one has it.
    """
    high, low = correlation.max(axis=-1), -near.min(axis=-1)
    return (high - low) / np.maximum(high + low, 1e-20)


def _deviations(values: np.ndarray) -> np.ndarray:
    """Mean over windows (n, ...) in terms of its own deviation; windows overlap by half."""
    return values.mean(axis=0) / np.maximum(values.std(axis=0) * np.sqrt(1.5 / len(values)), 1e-9)


def far_apart(heard: Correlations) -> np.ndarray:
    """By how many samples (M,) channels are late that are so far out of step that most of their
    delays are impossible; 0 for all others.

    Of each pair the delays of most windows lie in a range as wide as the possible ones.
    """
    number = len(heard.mics)
    top = heard.gcc.argmax(axis=-1) - heard.gcc.shape[-1] // 2  # (n, P)
    near = np.abs(top[:, None] - top) <= heard.limit  # (n, n, P)
    best = near.sum(axis=1).argmax(axis=0)
    together = near[best, :, np.arange(len(best))]  # (P, n)
    centre = np.array([np.median(row[own]) for row, own in zip(top.T, together, strict=True)])
    impossible = (np.abs(top) > heard.limit).mean(axis=0) >= FAR_SHARE
    far = impossible & (together.mean(axis=1) >= TOGETHER) & (np.abs(centre) > heard.limit)
    apart = np.zeros((number, number))
    apart[heard.first, heard.second] = np.where(far, centre, 0)
    apart -= apart.T
    late = np.rint(np.median(apart, axis=1)).astype(int)
    return np.where(2 * (apart != 0).sum(axis=1) >= number - 1, late, 0)


def timing(heard: Correlations, search: Search) -> Timing:
    """Which channels are inverted or out of step, and how.

    Each channel is compared with where the others say that the source is. The one that is most
    clearly wrong is put right before the next is looked for.
    """
    number = len(heard.mics)
    sign = np.ones(number)
    now = _against_others(heard, search)
    while number >= FEWEST_MICS and now.lean.any() and (sign < 0).sum() + 1 < number / 2:
        one = np.where(np.arange(number) == now.lean.argmin(), -1.0, 1.0)
        if (sign * one < 0).sum() < (sign < 0).sum():
            break
        sign *= one
        heard = heard.turned(one)
        now = _against_others(heard, search)
    late_s, offset, drift = now.late_s, np.zeros(number), np.zeros(number)
    while number >= FEWEST_MICS and ((offset != 0) | (drift != 0)).sum() + 1 < number / 2:
        known = (offset != 0) | (drift != 0)
        worst, line = _latest(heard.time_s, now.late_s, known)
        # With a source that stays where it is, a constant delay may be that of another place.
        if worst < 0 or not (now.moves or line[1]):
            break
        by = np.zeros(now.late_s.shape, int)
        by[:, worst] = np.rint((line[0] + line[1] * heard.time_s) * RATE)
        moved = heard.moved(by)
        then = _against_others(moved, search)
        before, others = _in_step(now.late_s), np.arange(number) != worst
        gain = (_in_step(then.late_s) - before)[others].mean()
        clear = before[worst] <= NEVER and line[2] >= AS_OFTEN * np.median(before[others])
        if gain < BETTER and not clear:
            break  # an echo that stays is no delay: with it, the others fit no better
        offset[worst], drift[worst] = line[:2] if now.moves else (0.0, line[1])
        heard, now = moved, then
    steady = np.array([_line(heard.time_s, late)[2] for late in late_s.T])
    return Timing(sign, late_s, _in_step(now.late_s), steady, offset, drift)


def _latest(
    time_s: np.ndarray, late_s: np.ndarray, known: np.ndarray
) -> tuple[int, tuple[float, float, float]]:
    """The channel that is most clearly out of step, -1 if none is, and the start and slope of the
    line that its delays (n, M) lie on, and their share; ``known`` ones (M,) are not looked at.
    """
    lines = [_line(time_s, late) for late in late_s.T]
    start, slope, share = np.array(lines).T
    furthest = np.abs(start + slope * time_s[[0, -1], None]).max(axis=0)
    clear = share - TIMES * _in_step(late_s)
    clear[known | (share < SHARE) | (furthest <= IN_STEP_S)] = -1
    worst = int(clear.argmax())
    return worst if clear[worst] > 0 else -1, lines[worst]


def _in_step(late_s: np.ndarray) -> np.ndarray:
    """Share of windows in which a channel is not late: (n, M) -> (M,)."""
    return (np.abs(late_s) <= IN_STEP_S).mean(axis=0)


class _Compared(NamedTuple):
    """Each channel against where the others say that the source is.

    late_s (n, M): by how many seconds it is late; lean (M,): how negative its correlation is, where
    it is clearly inverted, else 0; moves: whether the source is at several places.
    """

    late_s: np.ndarray
    lean: np.ndarray
    moves: bool


def _against_others(heard: Correlations, search: Search) -> _Compared:
    reach, most = heard.gcc.shape[-1] // 2, int(heard.limit.max())
    late = np.arange(most - reach, reach - most + 1)
    late_s = np.empty((len(heard.gcc), len(heard.mics)))
    lean, moves = np.empty_like(late_s), np.empty(len(heard.mics))
    near = np.abs(late) <= IN_STEP_S * RATE
    seen = search.by_lag(heard)
    power = search.total(seen, *pair_rows(np.arange(len(heard.mics))))
    for channel in range(len(heard.mics)):
        own = np.flatnonzero((heard.first == channel) | (heard.second == channel))
        others = power.copy()
        for pair in own.tolist():
            others -= search.row(seen, pair, pair, turned=False)
        starts = search.starts(others, search.path(others)[0])
        position = search.refined(heard.without(own), starts)[0]
        distance = np.linalg.norm(position[:, None] - heard.mics, axis=-1) / heard.step
        total = np.zeros((len(late_s), len(late)), np.float32)
        for pair in own.tolist():
            one, other = heard.first[pair], heard.second[pair]
            lag = np.rint(distance[:, one] - distance[:, other]).astype(int)
            row = np.take_along_axis(heard.gcc[:, pair], lag[:, None] + late + reach, 1)
            total += row if one == channel else row[:, ::-1]
        late_s[:, channel] = late[total.argmax(axis=-1)] / RATE
        # Where the source is not known to `IN_STEP_S`, a positive peak is elsewhere.
        lean[:, channel] = _lean(total, total[:, near])
        moves[channel] = _moved_m(position, heard.mics)
    inverted = (lean.mean(axis=0) < LEAN) & (_deviations(lean) < -INVERTED)
    return _Compared(
        late_s, np.where(inverted, lean.mean(axis=0), 0.0), bool(moves.min() > MOVES_M)
    )


def _moved_m(position: np.ndarray, mics: np.ndarray) -> float:
    """How far a source at positions (n, 3) is from where it mostly is, as delays tell: its distance
    from a far array does not count.
    """
    way = np.linalg.norm(position[:, None] - mics, axis=-1)
    way -= way.mean(axis=1, keepdims=True)
    return float(np.median(np.abs(way - np.median(way, axis=0)).max(axis=1)))


def _line(time_s: np.ndarray, late_s: np.ndarray) -> tuple[float, float, float]:
    """The line that most points (n,) lie on: its start and slope, and their share.

    All lines through two points are tried, and all without slope; the best is fitted to its points.
    """
    first, second = np.triu_indices(len(time_s), 1)
    gap = time_s[second] - time_s[first]
    slope = (late_s[second] - late_s[first]) / gap
    # Nearby points say little about a slope.
    good = (np.abs(slope) <= MOST_DRIFT) & (gap > max(DRIFTING_S, np.ptp(time_s)) / 4)
    slope = np.concatenate([np.zeros(len(time_s)), slope[good]])
    start = np.concatenate(
        [late_s, late_s[first[good]] - slope[len(time_s) :] * time_s[first[good]]]
    )
    near = np.abs(start[:, None] + slope[:, None] * time_s - late_s) <= ON_LINE_S
    on_line = near[near.sum(axis=1).argmax()]
    flat = near[: len(time_s)].sum(axis=1).max()
    if flat >= 0.8 * on_line.sum() and flat:  # a slope explains hardly more
        best = near[near[: len(time_s)].sum(axis=1).argmax()]
        return float(np.median(late_s[best])), 0.0, float(best.mean())
    fitted = np.polynomial.Polynomial.fit(time_s[on_line], late_s[on_line], 1).convert().coef
    return float(fitted[0]), float(fitted[1]), float(on_line.mean())


def crosstalk(heard: Correlations, position: np.ndarray) -> np.ndarray:
    """Correlation of channels at delay zero (M, M), in deviations, where it has a sharp peak that
    comes from no source; else 0.

    Only windows count in which the source's delay is another one, or the channels are the same. A
    common electrical signal has delay zero to a fraction of a sample, an echo hardly ever.
    """
    distance = np.linalg.norm(position[:, None] - heard.mics, axis=-1) / heard.step
    away = np.abs(distance[:, heard.first] - distance[:, heard.second]) > ELSEWHERE  # (n, P)
    middle = heard.gcc.shape[-1] // 2
    away |= heard.gcc[..., middle] > SAME * heard.largest
    count = np.maximum(away.sum(axis=0), 1)
    before, peak, after = (
        (heard.gcc[..., middle + k] * away).sum(axis=0) / count for k in (-1, 0, 1)
    )
    sharp = np.maximum(before, after) < SHARP * peak
    enough = away.sum(axis=0) >= max(FEWEST_WINDOWS, len(away) / 4)
    least = CROSSTALK if _moved_m(position, heard.mics) > MOVES_M else CROSSTALK_STAYING
    common = np.zeros((len(heard.mics), len(heard.mics)))
    common[heard.first, heard.second] = np.where(sharp & enough & (peak > least), peak, 0.0)
    return common + common.T
