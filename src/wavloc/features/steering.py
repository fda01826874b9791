"""Candidate positions from correlations, and what the aligned signals say at each; torch, batched.

B frames, M microphones, N samples, P pairs, R rows (correlations of each pair, weighted in several
ways), K candidates. A microphone without signal or position takes no part: ``present`` (B, M) says
which do. Positions are metres.
"""

import functools
import itertools
import math

import torch
from torch import Tensor
from torch.nn import functional

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
MOST_CELLS = 26_000  # of the coarse grid
FINEST_CELL_M = 0.16
GROWTH = 1.2  # of cells outside of the inner box, from one to the next
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
    samples = audio.shape[-1]
    whole = _whitened(audio, present)
    summed = _weighted(*whole, rate, WHITENED, BANDS)
    middle = _weighted(*whole, rate, None, MIDDLE)
    soft = _weighted(*whole, rate, SOFT, ())
    windows = audio.unfold(-1, samples // 2, samples // (PARTS + 1)).movedim(2, 1).flatten(0, 1)
    windowed = _whitened(windows, present.repeat_interleave(PARTS, 0))
    parts = _weighted(*windowed, rate, WHITENED, BANDS)
    parts = _scaled(parts.clamp(min=0).unflatten(0, (-1, PARTS)).sum(1))
    square = _scaled(summed.clamp(min=0).square())
    rows = [_cropped(row, max_lag) for row in (summed, parts, middle, soft, square)]
    return torch.stack(rows, dim=1)


def _scaled(correlation: Tensor) -> Tensor:
    """Zero mean and unit deviation over lags; 0 where all is 0."""
    centred = correlation - correlation.mean(-1, keepdim=True)
    return centred / centred.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-9)


def _cropped(correlation: Tensor, max_lag: int) -> Tensor:
    """Lags -max_lag .. max_lag of circular ones; 0 where signals have nothing in common."""
    reach = max_lag * OVERSAMPLE
    known = min(reach, correlation.shape[-1] // 2 - 1)
    gcc = torch.cat([correlation[..., -known:], correlation[..., : known + 1]], dim=-1)
    return functional.pad(gcc, (reach - known, reach - known)) if reach > known else gcc


def _whitened(audio: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Unit phases, 0 where absent, and magnitudes (B, M, N + 1) of audio (B, M, N)."""
    spectrum = torch.fft.rfft(audio - audio.mean(-1, keepdim=True), 2 * audio.shape[-1])
    magnitude = spectrum.abs()
    magnitude = magnitude.clamp(min=FLOOR * magnitude.amax(-1, keepdim=True) + 1e-20)
    return spectrum / magnitude * present[..., None], magnitude


def _weighted(
    phase: Tensor,
    magnitude: Tensor,
    rate: int,
    whitened: tuple[float, float, float, float] | None,
    bands: tuple[Band, ...],
) -> Tensor:
    """Sum (B, P, 4 N) of circular correlations of unit deviation: one inverse transform a pair."""
    size = 2 * (phase.shape[-1] - 1)
    frequency = torch.fft.rfftfreq(size, 1 / rate, device=phase.device)
    i, j = pair_index(phase.shape[1], phase.device)
    gain = torch.zeros_like(frequency)
    for low, high, of_band in bands:
        band = ((frequency >= low) & (frequency <= high)).float()
        gain = gain + of_band * band / band.mean().sqrt()
    total = sum(of_band for *_, of_band in bands)
    if whitened:
        exponent, low, high, weight = whitened
        soft = magnitude ** (1 - exponent) * ((frequency >= low) & (frequency <= high))
        soft = soft / soft.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-20)
        power = soft.square()
        deviation = (power @ power.mT / len(frequency)).sqrt()[:, i, j]  # of each correlation
        scale = (weight / deviation.clamp(min=1e-20))[..., None]
        gain = torch.addcmul(gain, soft[:, i] * scale, soft[:, j])
        total += weight
    correlation = torch.fft.irfft(phase[:, i] * phase[:, j].conj() * gain, size * OVERSAMPLE)
    return correlation * (size * OVERSAMPLE / (total * math.sqrt(2 * len(frequency))))


def distances(points: Tensor, mics: Tensor) -> Tensor:
    """Distances (B, K, M) in metres of points (B, K, 3) from microphones (B, M, 3)."""
    return torch.linalg.vector_norm(points[:, :, None] - mics[:, None], dim=-1)


def steered_power(gcc: Tensor, lags: Tensor, weight: Tensor, row: Tensor | int = 0) -> Tensor:
    """Mean correlation (B, K) of a row, or of rows (K,), of gcc (B, R, P, L) at lags (B, P, K),
    whole numbers from 0; weight (B, P) of pairs.
    """
    batch, _, pairs, length = gcc.shape
    first = torch.arange(pairs, device=gcc.device)[:, None] * length
    index = lags + (first + torch.as_tensor(row, device=gcc.device) * (pairs * length))
    value = gcc.reshape(batch, -1).gather(1, index.flatten(1)).view(lags.shape)
    return torch.einsum("bpk,bp->bk", value, weight) / weight.sum(1, keepdim=True).clamp(min=1)


def lags_of(
    points: Tensor, mics: Tensor, ends: tuple[Tensor, Tensor], per_m: float, length: int
) -> Tensor:
    """Lags (B, P, K) of points (B, K, 3), as places in correlations of a length."""
    apart = torch.linalg.vector_norm(mics[:, :, None] - points[:, None], dim=-1) * per_m
    lag = apart.index_select(1, ends[0]) - apart.index_select(1, ends[1])
    return lag.round_().add_(length // 2).clamp_(0, length - 1).long()


def widened(gcc: Tensor, lags: float) -> Tensor:
    """Correlation as seen from somewhere within a cell: its largest value within ``lags``."""
    half = int(lags / 2)
    if not half:
        return gcc
    return functional.max_pool1d(gcc.flatten(0, -2), 2 * half + 1, 1, half).view(gcc.shape)


def cells(low: float, high: float, inner: tuple[float, float], size: float) -> Tensor:
    """Middles and sizes (2, n) of the cells of an axis: alike within ``inner``, growing outside,
    where delays change ever less.
    """
    below, above = max(low, min(inner[0], high)), min(high, max(inner[1], low))
    count = max(1, round((above - below) / size))
    edges = [below + k * (above - below) / count for k in range(count + 1)]
    for end, sign in ((low, -1), (high, 1)):
        side, step = [edges[0] if sign < 0 else edges[-1]], size
        while sign * (end - side[-1]) > 1e-6:
            step *= GROWTH
            nearly = sign * (end - side[-1]) < 1.5 * step
            side.append(end if nearly else side[-1] + sign * step)
        edges = side[:0:-1] + edges if sign < 0 else edges + side[1:]
    edge = torch.tensor(edges)
    return torch.stack([(edge[1:] + edge[:-1]) / 2, edge.diff()])


def cell_size(low: Tensor, high: Tensor) -> float:
    """Side of the cells of the coarse grid, metres."""
    volume = float((high - low).clamp(min=FINEST_CELL_M).prod())
    return max(FINEST_CELL_M, (volume / MOST_CELLS) ** (1 / 3))


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
    ends = (i, j)
    weight = (present[:, ends[0]] & present[:, ends[1]]).to(gcc.dtype)
    spot = torch.where(present[..., None], mics, 0.0)
    inner = inner or (low, high)
    cell = cell_size(*inner)
    ends_of = zip(low.tolist(), high.tolist(), *(corner.tolist() for corner in inner), strict=True)
    axes = [cells(a, b, (c, d), cell).to(gcc) for a, b, c, d in ends_of]
    shape = [axis.shape[1] for axis in axes]
    grid = torch.cartesian_prod(*(axis[0] for axis in axes))
    size = torch.cartesian_prod(*(axis[1] for axis in axes)).amax(-1)
    score = _grid_power(widened(gcc, cell * per_m), grid, spot, ends, weight, per_m)
    score = score.view(*score.shape[:2], *shape)
    crest = score.where(score == _highest_around(score), -math.inf).flatten(2)
    best = [crest[:, k].topk(min(count, len(grid)), 1) for k, count in enumerate(tops)]
    row = torch.repeat_interleave(
        torch.arange(len(best), device=gcc.device),
        torch.tensor([value.indices.shape[1] for value in best], device=gcc.device),
    )
    chosen = torch.cat([value.indices for value in best], 1)
    points, wide = grid[chosen], size[chosen] / (1.3 * cell)  # rounding apart
    lost = torch.cat([value.values for value in best], 1).isinf()
    around = _neighbours(gcc.device)
    for number, step in enumerate(STEPS_M):
        own = row if number < 2 else torch.zeros_like(row)
        step = max(step, cell / 2 ** (number + 1)) if number < 2 else step
        steps = step * wide.clamp(min=1)[..., None, None] * around
        near = (points[:, :, None] + steps).clamp_(min=low, max=high)
        lags = lags_of(near.flatten(1, 2), spot, ends, per_m, gcc.shape[-1])
        seen = widened(gcc, step * per_m) if step * per_m >= 3 else gcc
        power = steered_power(seen, lags, weight, own.repeat_interleave(len(around)))
        place = power.view(*near.shape[:3]).argmax(-1)
        points = near.gather(2, place[..., None, None].expand(-1, -1, 1, 3))[:, :, 0]
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


def powers_at(gcc: Tensor, points: Tensor, mics: Tensor, present: Tensor, per_m: float) -> Tensor:
    """Steered power (B, K, R) of all rows at points (B, K, 3); the further rows may be missed by
    `SAME_M`.
    """
    i, j = pair_index(mics.shape[1], gcc.device)
    weight = (present[:, i] & present[:, j]).to(gcc.dtype)
    spot = torch.where(present[..., None], mics, 0.0)
    lags = lags_of(points, spot, (i, j), per_m, gcc.shape[-1])
    wide = widened(gcc[:, 1:], SAME_M * per_m)
    powers = [steered_power(gcc, lags, weight)]
    powers += [steered_power(wide, lags, weight, row) for row in range(wide.shape[1])]
    return torch.stack(powers, dim=-1)


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


def _grid_power(
    gcc: Tensor,
    grid: Tensor,
    mics: Tensor,
    ends: tuple[Tensor, Tensor],
    weight: Tensor,
    per_m: float,
) -> Tensor:
    """Steered power (B, R, G) of grid points (G, 3); fast where all frames share their array."""
    batch, rows, pairs, length = gcc.shape
    if bool((mics == mics[:1]).all()):
        lags = lags_of(grid[None], mics[:1], ends, per_m, length)[0]
        flat = (gcc * weight[:, None, :, None]).flatten(0, 1)
        by_frame = flat.permute(1, 2, 0).contiguous()  # (P, L, B R)
        total = torch.zeros(len(grid), batch * rows, dtype=gcc.dtype, device=gcc.device)
        for pair in range(pairs):  # each step treats all frames, rows and grid points
            total += by_frame[pair].index_select(0, lags[pair])
        total = total.T.reshape(batch, rows, -1)
        return total / weight.sum(1).clamp(min=1)[:, None, None]
    parts = []
    for part in grid.split(max(1, 400_000 // (batch * pairs))):
        lags = lags_of(part[None].expand(batch, -1, -1), mics, ends, per_m, length)
        parts.append(torch.stack([steered_power(gcc, lags, weight, k) for k in range(rows)], 1))
    return torch.cat(parts, dim=-1)


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
