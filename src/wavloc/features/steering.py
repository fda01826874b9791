"""Candidate positions from correlations, and what the aligned signals say at each; torch, batched.

B frames, M microphones, N samples, P pairs, R rows (correlations of each pair, weighted in several
ways), K candidates. A microphone without signal or position takes no part: ``present`` (B, M) says
which do. Positions are metres.
"""

import functools
import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from wavloc.features.cells import Cells, Corner, fill
from wavloc.features.gcc_torch import pair_index

OVERSAMPLE = 2  # lags per sample
Band = tuple[float, float, float]  # Hz, Hz, weight
# Of the summed row: whitening exponent and band (Hz) of a less whitened part, its weight; bands.
WHITENED = (0.75, 100.0, 7500.0, 1.0)
BANDS: tuple[Band, ...] = ((100.0, 1500.0, 1.0), (1500.0, 4000.0, 1.0), (4000.0, 7500.0, 0.5))
MIDDLE: tuple[Band, ...] = ((1500.0, 4000.0, 1.0),)
SOFT = (0.5, 100.0, 7500.0, 1.0)
PARTS = 3  # half-overlapping windows of a frame
ROWS = 5  # of `correlate`
FLOOR = 1e-6  # of the largest bin
# What fits into the cache.
PAIRS_AT_ONCE, CELLS_AT_ONCE = 28, 4096
MOST_LAGS = 2**20  # of cells that are treated at once
STEPS_M = (0.08, 0.04, 0.02, 0.01)  # of the climb; the last two on the first row
SAME_M = 0.03  # candidates this near are one
WINDOW, HOP = 256, 128  # of the short spectra
GRAIN = 8  # samples between stored short spectra; what remains of a delay is a phase
FRACTIONS = 16  # of a sample, at which phases are tabulated
MAPS = 6  # of `aligned_maps`


def correlate(audio: Tensor, present: Tensor, rate: int, max_lag: int) -> Tensor:
    """Correlations (B, R, P, L) of pairs at lags -L // 2 .. L // 2 of 1 / `OVERSAMPLE` sample.

    Rows: a sum of PHAT-weighted correlations of several bands and a less whitened one; the sum of
    its positive parts in three windows of half the frame, where the direct path may be alone for a
    while; the middle band; a soft whitening; the square of the first. Each finds tops that the
    others miss. All have unit deviation. Positive lag: i hears later than j.
    """
    frames = zip(audio.split(1), present.split(1), strict=True)  # the cache holds one
    return torch.cat([_correlated(*frame, rate, max_lag) for frame in frames])


def _correlated(audio: Tensor, present: Tensor, rate: int, max_lag: int) -> Tensor:
    samples = audio.shape[-1]
    reach = max_lag * OVERSAMPLE
    phase, magnitude = _whitened(audio, present)
    windows = audio.unfold(-1, samples // 2, samples // (PARTS + 1)).movedim(2, 1).flatten(0, 1)
    phases, magnitudes = _whitened(windows, present.repeat_interleave(PARTS, 0))
    summed_by = _weighting(magnitude, rate, WHITENED, BANDS)
    middle_by = _weighting(magnitude, rate, None, MIDDLE)
    soft_by = _weighting(magnitude, rate, SOFT, ())
    parts_by = _weighting(magnitudes, rate, WHITENED, BANDS)
    found = []
    for pair in pair_index(audio.shape[1], audio.device).split(PAIRS_AT_ONCE, 1):
        cross = _crossed(phase, pair)
        summed = summed_by.correlation(cross, pair)
        middle = middle_by.correlation(cross, pair, reach)
        soft = soft_by.correlation(cross, pair, reach)
        parts = parts_by.correlation(_crossed(phases, pair), pair).clamp_(min=0)
        parts = _scaled(parts.unflatten(0, (-1, PARTS)).sum(1), reach)
        square = _scaled(summed.clamp(min=0).square_(), reach)
        found.append(torch.stack([_cropped(summed, reach), parts, middle, soft, square], dim=1))
    return torch.cat(found, dim=2)


def _scaled(correlation: Tensor, reach: int) -> Tensor:
    """Zero mean and unit deviation over all lags, 0 where all is 0; lags -reach .. reach."""
    correlation = correlation - correlation.mean(-1, keepdim=True)
    deviation = correlation.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-9)
    return _cropped(correlation, reach) / deviation


def _cropped(correlation: Tensor, reach: int) -> Tensor:
    """Lags -reach .. reach of circular ones; 0 where signals have nothing in common."""
    known = min(reach, correlation.shape[-1] // 2 - 1)
    gcc = torch.cat([correlation[..., -known:], correlation[..., : known + 1]], dim=-1)
    return functional.pad(gcc, (reach - known, reach - known)) if reach > known else gcc


def _whitened(audio: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Unit phases, 0 where absent, and magnitudes (B, M, N + 1) of audio (B, M, N)."""
    spectrum = torch.fft.rfft(audio - audio.mean(-1, keepdim=True), 2 * audio.shape[-1])
    magnitude = spectrum.abs()
    magnitude = magnitude.clamp(min=FLOOR * magnitude.amax(-1, keepdim=True) + 1e-20)
    return spectrum / magnitude * present[..., None], magnitude


def _crossed(phase: Tensor, pair: Tensor) -> Tensor:
    """Phases (B, p, F) of pairs (2, p) of microphones (B, M, F)."""
    return phase[:, pair[0]] * phase[:, pair[1]].conj()


@functools.lru_cache(maxsize=16)
def _bands(bands: tuple[Band, ...], size: int, rate: int, device: torch.device) -> Tensor:
    """Weight of each frequency of a spectrum (size / 2 + 1,): unit deviation in each band."""
    frequency = torch.fft.rfftfreq(size, 1 / rate, device=device)
    gain = torch.zeros_like(frequency)
    for low, high, weight in bands:
        band = ((frequency >= low) & (frequency <= high)).float()
        gain = gain + weight * band / band.mean().sqrt()
    return gain


class Weighting(NamedTuple):
    """Weight of each frequency: of bands (F,), and of a less whitened part, if any, the magnitudes
    (B, M, F) that remain and what the correlation of two of them is multiplied by (B, M, M); the
    sum of all weights.
    """

    bands: Tensor
    soft: Tensor | None
    scale: Tensor | None
    total: float

    def correlation(self, cross: Tensor, pair: Tensor, reach: int = 0) -> Tensor:
        """Circular correlations (B, p, 4 N) of unit deviation of pairs (2, p) with phases (B, p,
        N + 1): one inverse transform each; reach: of them the lags -reach .. reach alone.
        """
        size, (i, j), gain = 2 * (cross.shape[-1] - 1), pair, self.bands
        if self.soft is not None and self.scale is not None:
            scale = self.scale[:, i, j, None]
            gain = torch.addcmul(gain, self.soft[:, i] * scale, self.soft[:, j])
        correlation = torch.fft.irfft(cross * gain, size * OVERSAMPLE)
        if reach:
            correlation = _cropped(correlation, reach)
        return correlation * (size * OVERSAMPLE / (self.total * math.sqrt(size + 2)))


def _weighting(
    magnitude: Tensor,
    rate: int,
    whitened: tuple[float, float, float, float] | None,
    bands: tuple[Band, ...],
) -> Weighting:
    """Weights of spectra with magnitudes (B, M, N + 1)."""
    count = magnitude.shape[-1]
    about = 2 * (count - 1), rate, magnitude.device
    gain, total = _bands(bands, *about), sum(weight for *_, weight in bands)
    if not whitened:
        return Weighting(gain, None, None, total)
    exponent, low, high, weight = whitened
    soft = magnitude ** (1 - exponent) * (_bands(((low, high, 1.0),), *about) > 0)
    soft = soft / soft.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-20)
    power = soft.square()
    deviation = (power @ power.mT / count).sqrt()  # of each correlation
    return Weighting(gain, soft, weight / deviation.clamp(min=1e-20), total + weight)


def distances(points: Tensor, mics: Tensor) -> Tensor:
    """Distances (B, K, M) in metres of points (B, K, 3) from microphones (B, M, 3)."""
    return torch.linalg.vector_norm(points[:, :, None] - mics[:, None], dim=-1)


def steered_power(gcc: Tensor, lags: Tensor, weight: Tensor, row: Tensor | None = None) -> Tensor:
    """Mean correlation (K,) of rows (K,), or the first, of gcc (R, P, L) at lags (P, K), whole
    numbers from 0; weight (P,) of pairs.
    """
    _, pairs, length = gcc.shape
    first = length * torch.arange(pairs, dtype=lags.dtype, device=gcc.device)
    index = lags + first[:, None]
    if row is not None:
        index += (pairs * length * row).to(index.dtype)
    value = gcc.flatten().index_select(0, index.flatten()).view(lags.shape)
    return weight @ value / weight.sum().clamp(min=1)


def lags_of(points: Tensor, mics: Tensor, per_m: float, length: int) -> Tensor:
    """Lags (P, K) of points (K, 3), as places in correlations of a length; whole numbers."""
    apart = torch.linalg.vector_norm(mics[:, None] - points, dim=-1) * per_m
    lag = torch.cat([apart[i] - apart[i + 1 :] for i in range(len(mics) - 1)])
    return lag.round_().add_(length // 2).clamp_(0, length - 1).int()


def widened(gcc: Tensor, lags: float) -> Tensor:
    """Correlation as seen from somewhere within a cell: its largest value within ``lags``."""
    half = int(lags / 2)
    if not half:
        return gcc
    return functional.max_pool1d(gcc.flatten(0, -2), 2 * half + 1, 1, half).view(gcc.shape)


def candidates(
    gcc: Tensor,
    mics: Tensor,
    present: Tensor,
    low: Tensor,
    high: Tensor,
    per_m: float,
    tops: tuple[int, ...],
    inner: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Positions (B, K, 3), K = sum of ``tops``, where the rows have their highest tops, and the
    steered power (B, K, R) of all rows there, -inf where there are fewer or one stands twice.

    ``tops`` (R,) separate tops of a coarse map of the box from low to high (3,), which all frames
    share, are each climbed; per_m: lags a metre. inner: corners outside of which cells grow.
    """
    i, j = pair_index(mics.shape[1], gcc.device)
    weight = (present[:, i] & present[:, j]).to(gcc.dtype)
    spot = torch.where(present[..., None], mics, 0.0)
    corners = tuple(tuple(corner.tolist()) for corner in (low, high, *(inner or (low, high))))
    coarse = fill(corners, gcc.device)
    score = _grid_power(gcc, corners, spot, per_m)
    found = []
    for score_, rows, array, own in zip(score, gcc, spot, weight, strict=True):
        cell, row, lost = _crests(score_.unflatten(-1, coarse.shape), tops)
        found.append((_climbed(rows, array, own, per_m, coarse, cell, row, low, high), lost))
    points, lost = (torch.stack(parts) for parts in zip(*found, strict=True))
    powers = powers_at(gcc, points, spot, present, per_m)
    order = powers[..., 0].masked_fill(lost, -math.inf).argsort(1, descending=True)
    points, powers = (v.gather(1, order[..., None].expand_as(v)) for v in (points, powers))
    lost = lost.gather(1, order)
    near = torch.cdist(points, points) < SAME_M
    lost |= (near & torch.ones_like(near).tril(-1)).any(-1)
    powers = powers.masked_fill(lost[..., None], -math.inf)
    lacking = sum(tops) - points.shape[1]  # in a small box
    points = functional.pad(points, (0, 0, 0, lacking))
    return points, functional.pad(powers, (0, 0, 0, lacking), value=-math.inf)


def _crests(score: Tensor, tops: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row of score (R, X, Y, Z) so many of the highest cells that no neighbour exceeds:
    cells (K,), rows (K,), and where (K,) there was none.
    """
    crest = score.where(score == _highest_around(score), -math.inf).flatten(1)
    best = [row.topk(min(count, len(row))) for row, count in zip(crest, tops, strict=True)]
    rows = [torch.full_like(found.indices, number) for number, found in enumerate(best)]
    value, cell = (torch.cat(parts) for parts in zip(*best, strict=True))
    return cell, torch.cat(rows), value.isinf()


def _climbed(
    gcc: Tensor,
    mics: Tensor,
    weight: Tensor,
    per_m: float,
    coarse: Cells,
    cell: Tensor,
    row: Tensor,
    low: Tensor,
    high: Tensor,
) -> Tensor:
    """Where steps from the middles of cells (K,) lead on rows (K,) of gcc (R, P, L): (K, 3)."""
    points, wide = coarse.middles[cell], coarse.sides[cell] / (1.3 * coarse.side)  # rounding apart
    around = _neighbours(gcc.device)
    for number, step in enumerate(STEPS_M):
        own = row.repeat_interleave(len(around)) if number < 2 else None
        step = max(step, coarse.side / 2 ** (number + 1)) if number < 2 else step
        steps = step * wide.clamp(min=1)[:, None, None] * around
        near = (points[:, None] + steps).clamp_(min=low, max=high)
        lags = lags_of(near.flatten(0, 1), mics, per_m, gcc.shape[-1])
        seen = widened(gcc, step * per_m) if step * per_m >= 3 else gcc
        power = steered_power(seen, lags, weight, own).view(near.shape[:2])
        points = near[torch.arange(len(near), device=near.device), power.argmax(-1)]
    return points


def powers_at(gcc: Tensor, points: Tensor, mics: Tensor, present: Tensor, per_m: float) -> Tensor:
    """Steered power (B, K, R) of all rows at points (B, K, 3); the further rows may be missed by
    `SAME_M`.
    """
    i, j = pair_index(mics.shape[1], gcc.device)
    weight = (present[:, i] & present[:, j]).to(gcc.dtype)
    spot = torch.where(present[..., None], mics, 0.0)
    found = []
    for rows, place, array, own in zip(gcc, points, spot, weight, strict=True):
        lags = lags_of(place, array, per_m, gcc.shape[-1])
        seen = torch.cat([rows[:1], widened(rows[1:], SAME_M * per_m)])
        powers = [steered_power(row[None], lags, own) for row in seen]
        found.append(torch.stack(powers, dim=-1))
    return torch.stack(found)


def _highest_around(score: Tensor) -> Tensor:
    """The largest of each cell and its 26 neighbours: (..., X, Y, Z)."""
    for axis in (-1, -2, -3):
        inner = score.shape[axis] - 1
        before, after = score.narrow(axis, 0, inner), score.narrow(axis, 1, inner)
        score = score.clone()
        for first, beside in ((0, after), (1, before)):
            part = score.narrow(axis, first, inner)
            torch.maximum(part, beside, out=part)
    return score


@functools.cache
def _neighbours(device: torch.device) -> Tensor:
    """The place itself and the 26 around it: (27, 3)."""
    step = torch.tensor([-1.0, 0.0, 1.0], device=device)
    return torch.cartesian_prod(step, step, step)


@functools.lru_cache(maxsize=64)
def _bags(
    corners: tuple[Corner, ...],
    first: int,
    last: int,
    mics: tuple[Corner, ...],
    per_m: float,
    length: int,
    device: torch.device,
) -> Tensor:
    """Rows (g, P) of a table (P L, n) of correlations: the lags of some cells."""
    cell = fill(corners, device).middles[first:last]
    lags = lags_of(cell, torch.tensor(mics, device=device), per_m, length)
    lags += torch.arange(len(lags), dtype=lags.dtype, device=device)[:, None] * length
    return lags.T.contiguous()


def _grid_power(gcc: Tensor, corners: tuple[Corner, ...], mics: Tensor, per_m: float) -> Tensor:
    """Steered power (B, R, G) of the cells of a box, times the number of pairs.

    Each sum treats all rows of all frames that share their array.
    """
    batch, rows, pairs, length = gcc.shape
    cell = fill(corners, gcc.device)
    step = min(CELLS_AT_ONCE, max(1, MOST_LAGS // pairs))
    score = gcc.new_empty(batch, rows, len(cell.middles))
    shared = bool((mics == mics[:1]).all())
    for part in [slice(None)] if shared else [slice(k, k + 1) for k in range(batch)]:
        columns = score[part].flatten(0, 1)
        table = gcc.new_empty(pairs, length, len(columns))
        for pair, own in enumerate(table):  # in the cache
            own.copy_(widened(gcc[part, :, pair], cell.side * per_m).flatten(0, 1).T)
        array = tuple(map(tuple, mics[part][0].tolist()))
        for k in range(0, len(cell.middles), step):
            bags = _bags(corners, k, k + step, array, per_m, length, gcc.device)
            sums = functional.embedding_bag(bags, table.flatten(0, 1), mode="sum")
            columns[:, k : k + step] = sums.T
    return score


def short_spectra(audio: Tensor) -> tuple[Tensor, Tensor]:
    """Spectra of windows every `GRAIN` samples: unit phases and magnitudes (B, M, S, F).

    Each microphone's sound has unit power over the frame.
    """
    audio = audio - audio.mean(-1, keepdim=True)
    audio = audio / audio.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-12)
    window = torch.hann_window(WINDOW, device=audio.device)
    spectrum = torch.fft.rfft(audio.unfold(-1, WINDOW, GRAIN) * window)
    power = _square(spectrum)
    inverse = power.clamp(min=1e-18).rsqrt()
    return spectrum * inverse, power * inverse


@functools.cache
def _phases(device: torch.device) -> Tensor:
    """Phases (R, F) that advance by -GRAIN / 2 .. GRAIN / 2 samples in steps of 1 / FRACTIONS."""
    reach = GRAIN * FRACTIONS // 2
    shift = torch.arange(-reach, reach + 1, device=device) / FRACTIONS
    frequency = torch.arange(WINDOW // 2 + 1, device=device) / WINDOW
    return torch.exp(2j * math.pi * shift[:, None] * frequency)


def aligned_maps(
    unit: Tensor, magnitude: Tensor, delay: Tensor, present: Tensor
) -> tuple[Tensor, Tensor]:
    """What aligned microphones have in common, over time and frequency, for each candidate.

    unit, magnitude: of `short_spectra`; delay (B, K, M) samples from the candidate. Returns maps
    (B, K, `MAPS`, T, F): coherence of phases and of energy (0 = chance, 1 = one common signal),
    the former again with microphones weighted by their agreement, log energy, its rise, and the
    share of microphones whose window lies in the frame; and that agreement (B, K, M, 4) in four
    bands of frequency, -1 to 1.
    """
    batch, mics, windows, bins = unit.shape
    delay = torch.where(present[:, None], delay, 1e9)
    delay = delay - delay.amin(-1, keepdim=True)
    frames = (windows - 1) * GRAIN // HOP + 1
    start = (delay / GRAIN).round()
    rest = ((delay - start * GRAIN) * FRACTIONS).round() + GRAIN * FRACTIONS // 2
    time = torch.arange(frames, device=unit.device) * (HOP // GRAIN)
    index = start.clamp(max=2 * windows).long()[..., None] + time  # (B, K, M, T)
    valid = (index < windows) & present[:, None, :, None]
    index = index.clamp(max=windows - 1)
    base = (torch.arange(batch, device=unit.device)[:, None] * mics).add(
        torch.arange(mics, device=unit.device)
    ) * windows
    index = (index + base[:, None, :, None]).flatten()
    turn = _phases(unit.device)[rest.clamp(0, GRAIN * FRACTIONS).long()]  # (B, K, M, F)
    turned = unit.reshape(-1, bins).index_select(0, index).view(*valid.shape, bins)
    turned = turned * turn[..., None, :] * valid[..., None]
    loud = magnitude.reshape(-1, bins).index_select(0, index).view(*valid.shape, bins)
    loud = loud * valid[..., None]
    number = valid.sum(2)[..., None].to(loud.dtype)  # (B, K, T, 1)
    spare = (number - 1).clamp(min=1)
    together = turned.sum(2)
    phase = (_square(together) / number.clamp(min=1) - 1) / spare
    beam = (turned * loud).sum(2)
    energy = loud.square().sum(2)
    shared = (_square(beam) / energy.clamp(min=1e-12) - 1) / spare
    # Agreement of each microphone with the others, where there is energy.
    others = together[:, :, None] - turned
    agree = (turned.real * others.real + turned.imag * others.imag) * loud
    agree = _by_band(agree.sum(3)) / _by_band(loud.sum(3)).clamp(min=1e-9)
    agree = agree / (number.mean(2, keepdim=True) - 1).clamp(min=1)
    trust = agree.mean(-1).clamp(min=0) + 0.02
    trust = (trust * present[:, None])[..., None, None] * valid[..., None]
    chosen = (trust * turned).sum(2)
    first, second = trust.sum(2), trust.square().sum(2)
    weighted = (_square(chosen) - second) / (first.square() - second).clamp(min=1e-9)
    level = torch.log(energy / number.clamp(min=1) + 1e-4 * WINDOW)
    rise = functional.pad(level[..., 1:, :] - level[..., :-1, :], (0, 0, 1, 0))
    share = (number / present.sum(1)[:, None, None, None].clamp(min=1)).expand_as(level)
    maps = torch.stack([2 * phase, 2 * shared, 2 * weighted, level / 4 - 1, rise / 3, share], dim=2)
    return maps, agree


def _square(value: Tensor) -> Tensor:
    return value.real.square() + value.imag.square()


def _by_band(value: Tensor) -> Tensor:
    """Sums (..., 4) over four bands of (..., F): to 1, 2, 4 and 8 kHz at 16 kHz."""
    edges = (1, 16, 32, 64, value.shape[-1])
    return torch.stack([value[..., a:b].sum(-1) for a, b in itertools.pairwise(edges)], dim=-1)
