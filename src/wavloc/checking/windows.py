"""Windows of a recording, the correlations of their pairs, and where their sound comes from.

Correlations are GCC-PHAT of onsets over delays far beyond the possible ones, so that channels that
are out of step are seen. Rows are in units of their deviation: a value of 5 is no chance.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.ndimage import label, maximum_filter1d

from wavloc import audio
from wavloc.features.gcc import gcc_phat
from wavloc.geometry import max_lag, pairs
from wavloc.methods.classical.solvers import problem
from wavloc.methods.classical.solvers.shells import GROWTH, Shells
from wavloc.methods.classical.solvers.steered import SteeredPower

RATE = audio.SAMPLE_RATE
SAMPLES = 4096  # of a window, 256 ms; more where the array is so large that delays do not fit
REACH_S = 0.1  # how far out of step a channel may be
BAND_HZ = (200.0, 7500.0)  # of the correlations: hum and rumble stay out
SHORT, HOP = 512, 128  # samples of the short spectra that tell onsets from reverberation
DIRECT = 3  # steps of the short spectra that count as direct
DECAY_S = 0.5  # by 60 dB: the reverberation that is taken out
MOST_SHORT = 2000
MOST_WINDOWS = 96
MOST_VALUES = 60_000_000  # of all correlations
FEWEST_WINDOWS = 6  # with fewer, nothing is said about channels against one another
SILENT_DB = 25.0
AROUND_M = 1.0  # searched around the array
CELLS = 12_000  # of the grid that is searched
OUTSIDE = 0.3  # share of windows at its border, from which on more is searched ...
FAR_M, FAR = np.array([10.0, 10.0, 3.0]), np.array([1.5, 1.5, 0.5])  # m, shares of the extent ...
MOST_CELLS = 16_000  # in so many cells
ALIKE, STARTS = 0.95, 32  # far away many cells have so much of a top; some of them are followed
FINEST_M = 0.0125
JUMP = 0.5  # what a jump of the source costs, in deviations of the correlations


@dataclasses.dataclass
class Correlations:
    """gcc (n, P, L) of n windows at lags -L // 2 .. L // 2 samples, time_s (n,) of the windows;
    mics (M, 3) metres, ``step`` metres of range difference between lags; largest: value of two
    channels that are the same.
    """

    gcc: np.ndarray
    time_s: np.ndarray
    mics: np.ndarray
    step: float
    largest: float

    def __post_init__(self) -> None:
        self.first, self.second = pairs(len(self.mics)).T
        span = np.linalg.norm(self.mics[self.first] - self.mics[self.second], axis=-1)
        self.limit = np.ceil(span / self.step).astype(int) + 2  # possible lags, (P,)

    @property
    def possible(self) -> np.ndarray:
        """The correlations (n, P, K) at lags that the array allows, 0 beyond those of a pair."""
        reach, most = self.gcc.shape[-1] // 2, int(self.limit.max()) + 1
        inner = self.gcc[..., reach - most : reach + most + 1]
        return np.where(np.abs(np.arange(-most, most + 1)) <= self.limit[:, None], inner, 0)

    def by_channel(self, values: np.ndarray) -> np.ndarray:
        """Mean over the pairs of each channel: values (..., P) -> (..., M)."""
        ends = np.zeros((len(self.first), len(self.mics)))
        ends[np.arange(len(ends)), self.first] = ends[np.arange(len(ends)), self.second] = 1
        return values @ ends / (len(self.mics) - 1)

    def reordered(self, order: np.ndarray) -> Correlations:
        """As if channel ``order[k]`` were that of microphone k."""
        row, turned = pair_rows(order)
        gcc = self.gcc[:, row]
        gcc[:, turned] = gcc[:, turned, ::-1]
        return dataclasses.replace(self, gcc=gcc)

    def moved(self, late: np.ndarray) -> Correlations:
        """As if each channel came earlier by so many samples, (n, M) or (1, M)."""
        shift = np.broadcast_to(late[:, self.first] - late[:, self.second], self.gcc.shape[:2])
        length = self.gcc.shape[-1]
        lag = np.arange(length) + shift[..., None]
        gcc = np.take_along_axis(self.gcc, np.clip(lag, 0, length - 1), -1)
        return dataclasses.replace(self, gcc=np.where((lag >= 0) & (lag < length), gcc, 0))

    def without(self, pairs: np.ndarray) -> Correlations:
        """As if some pairs had nothing in common."""
        gcc = self.gcc.copy()
        gcc[:, pairs] = 0
        return dataclasses.replace(self, gcc=gcc)

    def turned(self, sign: np.ndarray) -> Correlations:
        """As if each channel were multiplied by its sign (M,)."""
        factor = (sign[self.first] * sign[self.second]).astype(np.float32)
        return dataclasses.replace(self, gcc=self.gcc * factor[:, None])


def pair_rows(order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each pair i < j of microphones, the row (P,) of the pair of channels order[i], order[j],
    and whether (P,) these stand the other way round there.
    """
    first, second = pairs(len(order)).T
    row = np.zeros((len(order), len(order)), int)
    row[first, second] = row[second, first] = np.arange(len(first))
    one, other = order[first], order[second]
    return row[one, other], one > other


def correlate(
    channels: np.ndarray,
    mics: np.ndarray,
    speed: float,
    band_hz: float = RATE,
    most_windows: int = MOST_WINDOWS,
) -> Correlations:
    """Correlations of the windows of channels (M, n) at `RATE` in which most is heard, spread over
    the recording, at most so many.

    mics: (M, 3) metres; speed: of sound, m/s; band_hz: twice the highest frequency that there is.
    """
    lag = max_lag(mics, RATE, speed)
    size = max(SAMPLES, 2 ** math.ceil(math.log2(2 * lag + 1)))
    reach = min(lag + round(REACH_S * RATE), size - 2)
    number = len(pairs(len(mics)))
    most = max(8, min(most_windows, MOST_VALUES // (number * (2 * reach + 1))))
    start = _loud_windows(channels, size, most)
    noise = _noise(channels)
    high = min(BAND_HZ[1], 0.45 * band_hz)
    gcc = np.empty((len(start), number, 2 * reach + 1), np.float32)
    for place, k in enumerate(start):  # one at a time: spectra are larger than what is kept
        before = max(0, k - size)
        gcc[place] = gcc_phat(
            onsets(channels[:, before : k + size], noise)[None, :, k - before :],
            pairs(len(mics)),
            reach,
            sample_rate=RATE,
            band=(BAND_HZ[0], high),
        )[0]
    gcc = np.nan_to_num(gcc)
    gcc /= np.maximum(gcc.std(axis=-1, keepdims=True), 1e-20)
    # All energy is in one peak, as narrow as the band allows.
    largest = math.sqrt(gcc.shape[-1] * (high - BAND_HZ[0]) / (RATE / 2))
    return Correlations(gcc, (start + size / 2) / RATE, mics, speed / RATE, largest)


def _loud_windows(channels: np.ndarray, size: int, most: int) -> np.ndarray:
    """First samples of at most so many windows: the loudest of each part of the recording, by the
    median channel in the band, without the silent ones.
    """
    start = np.arange(0, channels.shape[1] - size + 1, size // 2)
    if len(start) == 0:
        return start
    inside = np.fft.rfftfreq(size, 1 / RATE) >= BAND_HZ[0]
    power = np.empty(len(start))
    for place, k in enumerate(start):
        spectrum = np.fft.rfft(channels[:, k : k + size])[:, inside]
        power[place] = np.median(np.square(np.abs(spectrum)).mean(axis=1))
    parts = np.array_split(np.arange(len(start)), min(most, len(start)))
    chosen = np.array([part[power[part].argmax()] for part in parts])
    return start[chosen[~audio.silent(power[chosen], SILENT_DB) & (power[chosen] > 0)]]


def _noise(channels: np.ndarray) -> np.ndarray:
    """Power (M, 1, F) that a tenth of the short spectra of channels (M, n) stay under."""
    last = max(1, channels.shape[1] - SHORT + 1)
    start = np.arange(0, last, max(HOP, last // MOST_SHORT))
    taper = np.hanning(SHORT + 1)[:-1].astype(np.float32)
    spectra = np.stack([np.fft.rfft(channels[:, k : k + SHORT] * taper) for k in start], axis=1)
    return np.percentile(np.square(np.abs(spectra)), 10, axis=1, keepdims=True)


def onsets(sound: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Channels (M, n) with what is new in them, without noise and reverberation: (M, n).

    Each cell of the short spectra keeps the share of its power that is above twice the noise
    (M, 1, F) and what earlier cells leave after a decay of `DECAY_S`. Direct sound comes first, so
    it is what remains (as by the precedence effect); phases are kept.
    """
    taper = np.hanning(SHORT + 1)[:-1].astype(np.float32)
    padded = np.pad(sound, ((0, 0), (SHORT, 2 * SHORT)))
    cut = np.lib.stride_tricks.sliding_window_view(padded, SHORT, axis=1)[:, ::HOP]
    spectra = np.fft.rfft(cut * taper)  # (M, T, F)
    power = np.square(np.abs(spectra))
    decay = 10 ** (-6 * HOP / RATE / DECAY_S)
    late, left = np.zeros_like(power), np.zeros_like(power[:, 0])
    for k in range(power.shape[1]):
        left = left * decay
        if k >= DIRECT:
            left = np.maximum(left, power[:, k - DIRECT] * decay**DIRECT)
        late[:, k] = left
    gain = np.clip(1 - (late + 2 * noise) / np.maximum(power, 1e-20), 0, None)
    pieces = np.fft.irfft(spectra * gain, SHORT)
    result = np.zeros(padded.shape, np.float32)
    for k in range(pieces.shape[1]):  # Hann windows a quarter apart add up to 2
        result[:, k * HOP : k * HOP + SHORT] += pieces[:, k] / 2
    return result[:, SHORT : SHORT + sound.shape[1]]


class Search:
    """A grid around an array, and where on it the correlations of windows add up to most.

    wide: it reaches far beyond the microphones, in cells that grow with the distance.
    """

    def __init__(self, heard: Correlations, wide: bool = False):
        low, high = heard.mics.min(axis=0), heard.mics.max(axis=0)
        core = low - AROUND_M, high + AROUND_M
        self.spacing = float((core[1] - core[0]).prod() / CELLS) ** (1 / 3)
        reach = np.maximum(FAR_M, FAR * np.ptp(heard.mics, axis=0).max()) * wide
        axes = _axes(core, reach, self.spacing)
        while wide and math.prod(map(len, axes)) > MOST_CELLS:
            self.spacing *= 1.1
            axes = _axes(core, reach, self.spacing)
        self.low, self.high = core[0] - reach, core[1] + reach
        self.shape = [len(axis) for axis in axes]
        self.points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        self.problem = problem.build(
            np.full((len(heard.gcc), len(heard.first)), np.nan),
            heard.mics,
            1,
            heard.step,
            (self.low, self.high),
        )
        self.problem.shells = Shells(*core) if wide else None
        most = int(heard.limit.max()) + 1
        lag = np.rint(self.problem.differences(self.points[None])[0] / heard.step).astype(int)
        self.lags = np.clip(lag + most, 0, 2 * most)  # (G, P)

    @property
    def at_border(self) -> np.ndarray:
        """Which cells (G,) are the outermost ones."""
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        return ((self.points == low) | (self.points == high)).any(axis=1)

    def by_lag(self, heard: Correlations) -> np.ndarray:
        """Correlations as seen from somewhere within a cell: (P, K, n), at possible lags."""
        size = 2 * int(self.spacing / heard.step / 2) + 1
        seen = maximum_filter1d(heard.possible, size, axis=-1, mode="constant")
        return np.ascontiguousarray(seen.transpose(1, 2, 0))

    def row(self, seen: np.ndarray, pair: int, channels: int, turned: bool) -> np.ndarray:
        """What a pair of microphones adds at each cell (G, n) by the row of a pair of channels."""
        lag = self.lags[:, pair]
        return seen[channels].take(2 * (seen.shape[1] // 2) - lag if turned else lag, axis=0)

    def total(self, seen: np.ndarray, rows: np.ndarray, turned: np.ndarray) -> np.ndarray:
        """Sum over all pairs (G, n) of the rows that `pair_rows` gives."""
        power = np.zeros((len(self.points), seen.shape[-1]), np.float32)
        for pair in range(len(rows)):
            power += self.row(seen, pair, rows[pair], turned[pair])
        return power

    def path(self, power: np.ndarray) -> tuple[np.ndarray, float]:
        """The cells (n,) of the best path through maps (G, n), and its sum.

        The source moves by a cell at most, or jumps for a price.
        """
        best, cells = power[:, 0], np.arange(len(power)).reshape(self.shape)
        came = []
        price = JUMP * len(self.problem.first)
        for now in power.T[1:]:
            near, where = _highest_near(best.reshape(self.shape), cells)
            top = int(best.argmax())
            jumps = best[top] - price > near
            came.append(np.where(jumps, top, where))
            best = np.where(jumps, best[top] - price, near) + now
        path = [int(best.argmax())]
        for where in reversed(came):
            path.append(int(where[path[-1]]))
        return np.array(path[::-1]), float(best.max())

    def starts(self, power: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Places (n, K, 3) near cells (n,) of maps (G, n), from which the exact one is looked for:
        of a wide grid some of all those that belong to the same top.
        """
        if self.problem.shells is None:
            return self.points[cells][:, None]
        chosen = np.empty((len(cells), STARTS), int)
        for row, cell, now in zip(chosen, cells, power.T, strict=True):
            high = (now >= ALIKE * now[cell]).reshape(self.shape)
            top = label(high, np.ones((3, 3, 3)))[0].ravel()
            same = np.flatnonzero(top == top[cell])
            row[:] = same[np.linspace(0, len(same) - 1, STARTS).astype(int)]
        return self.points[chosen]

    def positions(self, heard: Correlations) -> np.ndarray:
        """Where the sound of each window comes from: (n, 3) metres."""
        power = self.total(self.by_lag(heard), *pair_rows(np.arange(len(heard.mics))))
        return self.refined(heard, self.starts(power, self.path(power)[0]))[0]

    def refined(self, heard: Correlations, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where near some places (n, K, 3) the correlations of each window add up to most:
        positions (n, 3) metres, and that sum (n,).
        """
        field = SteeredPower(self.problem, heard.possible, heard.step)
        points = field.followed(starts, self.spacing, FINEST_M)
        points = field.maximum(points, FINEST_M)[:, None]
        return points[:, 0], field.power(points)[:, 0]


def searched(heard: Correlations) -> Search:
    """A grid around the array, a wide one where that does not hold the source."""
    near = Search(heard)
    path = near.path(near.total(near.by_lag(heard), *pair_rows(np.arange(len(heard.mics)))))[0]
    return Search(heard, wide=True) if near.at_border[path].mean() >= OUTSIDE else near


def _axes(
    core: tuple[np.ndarray, np.ndarray], reach: np.ndarray, spacing: float
) -> list[np.ndarray]:
    """Places of the cells of a grid along each axis: alike in the core, larger the farther out.

    As in `Shells`, but cells stand in rows, so that each has neighbours.
    """
    growth = GROWTH / float(np.linalg.norm(core[1] - core[0]))
    axes = []
    for low, high, most in zip(*core, reach, strict=True):
        count = max(1, math.ceil((high - low) / spacing))
        inner = low + (np.arange(count) + 0.5) * (high - low) / count
        edge, outer = 0.0, []
        while edge < most:
            size = spacing * (1 + growth * edge)
            outer.append(min(edge + size / 2, most))
            edge += size
        axes.append(np.concatenate([low - np.array(outer[::-1]), inner, high + np.array(outer)]))
    return axes


def _highest_near(values: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest of each cell's and its 26 neighbours' values, and where it is: flat (G,)."""
    for axis in range(3):
        shifted = [(values, cells)]
        for step in (-1, 1):
            moved = [np.roll(part, step, axis) for part in (values, cells)]
            edge = [slice(None)] * 3
            edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
            moved[0][tuple(edge)] = -np.inf
            shifted.append((moved[0], moved[1]))
        for other, place in shifted[1:]:
            higher = other > values
            values, cells = np.where(higher, other, values), np.where(higher, place, cells)
    return values.ravel(), cells.ravel()
