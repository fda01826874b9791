"""Clocks of recorders that nobody synchronised: offsets, and drifts, together with positions.

A source that moves tells them: at time t microphone i hears it, by its own clock, at

    a_i(t) = e(t) + |s(t) - r_i| / c + o_i + b_i t

with unknown emission e, position s, offset o and drift b. With M microphones each moment gives M
equations for four unknowns, and all moments share 2 (M - 1), since the clock of the first
microphone is the time of all.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from wavloc import seeds
from wavloc.audio import SAMPLE_RATE
from wavloc.errors import InputError
from wavloc.features.gcc import find_peaks, gcc_phat
from wavloc.geometry import SPEED_OF_SOUND, pairs
from wavloc.recordings import gate
from wavloc.recordings.positions import Locator
from wavloc.recordings.sound import Clocks, Recording

MOST_OFFSET_S = 5.0
SEGMENT_S = 10.0  # of sound for a first guess
ROUNDS = 2  # the second hears all microphones at the same time
NARROW_S = 0.002  # in which a correlation has more energy than elsewhere ...
CLEARLY = 1.5  # ... so many times at least
CLOSING = 0.5  # share of a microphone's pairs whose first guesses agree, at least
MOMENTS = 100  # that are fitted
AGREE_S = 6 / SAMPLE_RATE  # delays of three microphones close to this; the source moves
LEAST_AGREEING = 0.6  # share of a moment's delays
LEAST_HEARD = 0.4  # share of a microphone's delays in all moments
SCALE_M = 0.03  # of the soft-L1 loss
STARTS, FEW = 48, 30  # of the fit, and moments that decide among them
CERTAIN_S = 5e-4  # standard deviation of an offset above which it is not known
EXACT_M = 0.005  # no delay is more exact
SOFT_M = 0.1  # typical misfit, of all or of a microphone, above which no clocks explain the delays
OTHER_S = 1e-3  # clocks that differ by more are others ...
WORSE = 1.2  # ... and have so many times the cost, at least


@dataclasses.dataclass
class Estimate:
    """Clocks of M microphones and standard deviations (M,), as far as noise of the delays goes."""

    clocks: Clocks
    offset_deviation_s: np.ndarray
    drift_deviation_ppm: np.ndarray


def estimate(
    locator: Locator, recording: Recording, names: list[str], drift: bool, seed: int
) -> Estimate:
    """Offsets, and with ``drift`` drifts, of a recording of named microphones.

    Raises `InputError` where the sound does not tell them, or tells others nearly as well.
    """
    begin, across = recording.begin_s, np.ptp(locator.mics, axis=0).max() / locator.speed
    guess = _guess(recording, begin, across, names)
    rate, length = np.zeros(len(guess)), recording.end_s - begin - SEGMENT_S
    if drift and length > SEGMENT_S:
        later = _guess(recording, recording.end_s - SEGMENT_S, across, names) - guess
        # The source alone moves delays by twice the way across.
        rate = np.where(np.abs(later) > 2 * across, later / length, 0.0)
    clocks = _changed(recording.clocks, guess, rate, begin + SEGMENT_S / 2)
    for _ in range(ROUNDS):
        roughly = dataclasses.replace(recording, clocks=clocks)
        if roughly.end_s - roughly.begin_s < 1:
            raise InputError(
                "the recordings have less than a second in common: no offsets are found"
            )
        times, arrivals, weights = _arrivals(locator, roughly)
        _refuse(names, weights.mean(axis=0) < LEAST_HEARD, "agrees with no others in most moments")
        middle = float(times.mean())
        offset, rate, deviation = _fit(
            locator, times - middle, arrivals, weights, names, drift, seed
        )
        clocks = _changed(clocks, offset, rate, middle)
    return Estimate(clocks, *deviation)


def _refuse(names: list[str], wrong: np.ndarray, why: str) -> None:
    """Raise `InputError` with the names of the microphones that are wrong (M,)."""
    if wrong.any():
        shown = ", ".join(f"'{name}'" for name, bad in zip(names, wrong, strict=True) if bad)
        raise InputError(
            f"{shown} {why}: no offsets are found (another recording, more than "
            f"{MOST_OFFSET_S:g} s apart, or too much reverberation?)"
        )


def _changed(clocks: Clocks, offset: np.ndarray, rate: np.ndarray, zero_s: float) -> Clocks:
    """Clocks that were ``offset + rate (t - zero_s)`` seconds late (M,)."""
    start = (clocks.start_s - offset + rate * zero_s) / (1 + rate)
    return Clocks(start, clocks.drift_ppm + 1e6 * rate)


def _guess(recording: Recording, begin_s: float, across_s: float, names: list[str]) -> np.ndarray:
    """How much later than the first each microphone hears some seconds of sound: (M,) seconds.

    All pairs tell it; a microphone whose pairs do not agree, or have no clear delay, is refused.
    """
    seconds = min(SEGMENT_S, recording.end_s - begin_s)
    size = int(seconds * SAMPLE_RATE)
    sound = next(recording.cuts([(begin_s + seconds / 2, size)]))
    most = min(int(MOST_OFFSET_S * SAMPLE_RATE), size // 2)
    both, width = pairs(len(sound)), round(NARROW_S * SAMPLE_RATE)
    around = round(2 * across_s * SAMPLE_RATE) + width  # a source that moves has many tops
    delay, clear = np.empty(len(both)), np.empty(len(both), bool)
    for row, pair in enumerate(both):  # one at a time: each is long
        near = gcc_phat(
            sound[None, pair], np.array([[0, 1]]), most,
            sample_rate=SAMPLE_RATE, exponent=0.8, band=gate.BAND_HZ,
        )[0, 0]  # fmt: skip
        energy = np.cumsum(np.square(np.nan_to_num(near), dtype=float))
        energy = energy[width:] - energy[:-width]
        top = int(energy.argmax())
        away = np.abs(np.arange(len(energy)) - top) > around
        delay[row] = (top - most + width / 2) / SAMPLE_RATE
        clear[row] = energy[top] > CLEARLY * energy[away].max(initial=0)
    late, misfit = _consistent(delay[None], both, len(sound))
    agree = clear & (misfit[0] < 2 * across_s + NARROW_S)
    share = np.array([agree[(both == mic).any(axis=1)].mean() for mic in range(len(sound))])
    _refuse(names, share < CLOSING, "has no clear delay against the others")
    return late[0]


def _arrivals(locator: Locator, recording: Recording) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Moments (T,) in seconds at which most microphones agree, arrivals (T, M) and weights."""
    mics, across = locator.mics, np.ptp(locator.mics, axis=0).max() / locator.speed
    size = max(locator.size, round(8 * across * SAMPLE_RATE))
    times = recording.hops(0.064, size)
    times = times[np.unique(np.linspace(0, len(times) - 1, 8 * MOMENTS).round().astype(int))]
    band = gate.band_of(locator.method.options)
    power = np.array([gate.power(sound, band) for sound in recording.sounds(times, size)])
    loud = np.sort(np.argsort(power)[-3 * MOMENTS :])
    both = pairs(len(mics))
    most = int(4 * across * SAMPLE_RATE)
    delays = np.empty((len(loud), len(both)))
    for row, sound in enumerate(recording.sounds(times[loud], size)):
        gcc = gcc_phat(
            sound[None], both, most, sample_rate=SAMPLE_RATE, exponent=0.8, band=band, oversample=4
        )
        delays[row] = find_peaks(gcc, np.array(most - 1), 1, 4)[0][0, :, 0] / SAMPLE_RATE
    known = np.isfinite(delays).all(axis=1)
    arrivals, misfit = _consistent(delays[known], both, len(mics))
    agree = misfit < AGREE_S
    good = agree.mean(axis=1) >= LEAST_AGREEING
    order = np.argsort(-agree[good].mean(axis=1), kind="stable")[:MOMENTS]
    weights = np.stack(
        [agree[good][:, (both == mic).any(axis=1)].mean(axis=1) for mic in range(len(mics))], axis=1
    )
    if good.sum() < 2 * len(mics):
        raise InputError(
            f"the microphones agree on {int(good.sum())} of {len(loud)} loud moments, expected "
            f"{2 * len(mics)} or more: no offsets are found"
        )
    return times[loud][known][good][order], arrivals[good][order], weights[order]


def _consistent(delays: np.ndarray, both: np.ndarray, n_mics: int) -> tuple[np.ndarray, np.ndarray]:
    """Arrivals (T, M), the first 0, whose differences fit delays (T, P), and their misfit."""
    design = np.zeros((len(both), n_mics))
    design[np.arange(len(both)), both[:, 0]], design[np.arange(len(both)), both[:, 1]] = 1, -1
    design = design[:, 1:]
    weight = np.ones_like(delays)
    for _ in range(20):  # least absolute deviations
        weighted = design * weight[..., None]
        normal = np.matmul(weighted.swapaxes(1, 2), design) + 1e-9 * np.eye(n_mics - 1)
        right = np.matmul(weighted.swapaxes(1, 2), delays[..., None])
        arrivals = np.linalg.solve(normal, right)[..., 0]
        misfit = np.abs(delays - arrivals @ design.T)
        weight = 1 / np.maximum(misfit, 1e-5)
        weight /= weight.max(axis=1, keepdims=True)
    return np.pad(arrivals, ((0, 0), (1, 0))), misfit


def _fit(
    locator: Locator,
    times: np.ndarray,
    arrivals: np.ndarray,
    weights: np.ndarray,
    names: list[str],
    drift: bool,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Offsets (M,) s and rates (M,), both 0 for the first, and their standard deviations (s, ppm).

    Offsets come from some moments and many starts, the rest from all moments and the best of these.
    """
    n_mics, scale = len(locator.mics), max(float(np.ptp(times)), 1.0)
    task = _Task(locator.mics, arrivals * locator.speed, weights, times / scale)
    some = np.linspace(0, len(times) - 1, min(len(times), FEW)).astype(int)
    rng = seeds.rng(seed, "offsets")
    first = task.at(some).solve(task.starts(rng, np.zeros(0), len(some)), 1, 80)
    if first.rival < WORSE:
        raise InputError(
            "no offsets are found: others fit nearly as well (a source that moves among the "
            "microphones, longer, and little reverberation)"
        )
    place = task.solve(task.starts(rng, first.clock, len(times)), 0, 40).place
    found = task.solve((place[None], first.clock[None]), 1 + drift, 60)
    clock, cost, normal = found.clock, found.variance, found.normal
    _refuse(names, found.misfit > SOFT_M, "does not fit the positions of the source")
    normal += 1e-12 * np.trace(normal) * np.eye(len(normal))  # a source that stands
    deviation = np.sqrt(np.diag(np.linalg.inv(normal)) * max(cost, EXACT_M**2))
    known, spread = (
        np.pad(part.reshape(-1, n_mics - 1) / locator.speed, ((0, 0), (1, 0)))
        for part in (clock, deviation)
    )
    if np.sqrt(cost) > SOFT_M or spread[0].max() > CERTAIN_S:
        raise InputError(
            f"no offsets are found: the delays fit to {np.sqrt(cost):.3f} m, the offsets are known "
            f"to {1000 * spread[0].max():.2f} ms, expected {SOFT_M} m and {1000 * CERTAIN_S:g} ms "
            "(a source that moves among the microphones, and little reverberation)"
        )
    still = np.zeros(n_mics)
    rate, rate_spread = (known[1] / scale, spread[1] / scale) if drift else (still, still)
    return known[0], rate, (spread[0], 1e6 * rate_spread)


class _Solved(NamedTuple):
    """Positions (T, 4), clocks (C,), squared misfit in m^2, normal matrix of the clocks, misfit of
    each microphone (M,) in metres, and cost of the best other clocks in terms of that of these.
    """

    place: np.ndarray
    clock: np.ndarray
    variance: float
    normal: np.ndarray
    misfit: np.ndarray
    rival: float


@dataclasses.dataclass
class _Task:
    """Arrivals (T, M) in metres of path with weights, at times (T,) from -1 to 1 or so."""

    mics: np.ndarray
    heard: np.ndarray
    weights: np.ndarray
    times: np.ndarray

    def at(self, some: np.ndarray) -> _Task:
        """The task of some moments."""
        return _Task(self.mics, self.heard[some], self.weights[some], self.times[some])

    def starts(
        self, rng: np.random.Generator, clock: np.ndarray, moments: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions with emissions (S, T, 4), each in the box of the microphones; clocks (S, C)."""
        low, high = self.mics.min(axis=0) - 0.5, self.mics.max(axis=0) + 0.5
        place = np.zeros((STARTS, moments, 4))
        place[..., :3] = rng.uniform(low, high, (STARTS, moments, 3))
        if not len(clock):
            middle = rng.uniform(low, high, (STARTS, 1, 3))
            place[..., :3] = middle + 0.1 * (place[..., :3] - middle)
        return place, np.tile(clock, (STARTS, 1))

    def solve(self, start: tuple[np.ndarray, np.ndarray], terms: int, steps: int) -> _Solved:
        """The best of some starts.

        Levenberg and Marquardt, reweighted; positions are eliminated from the equations of the
        clocks, which have ``terms``: 0 as they are, 1 offsets, 2 rates too.
        """
        place, clock = start
        count, others = len(place), len(self.mics) - 1
        powers = np.stack([self.times**k for k in range(max(terms, 1))], axis=1)  # (T, terms)
        each = np.eye(others + 1)[:, 1:]
        shared = np.einsum("tk,mc->tmkc", powers, each).reshape(*self.heard.shape, -1)
        clock = np.pad(clock, ((0, 0), (0, shared.shape[2] - clock.shape[1])))
        damping, best = np.full(count, 1e-2), np.full(count, np.inf)
        kept = place, clock
        for _ in range(steps):
            misfit, unit = self._misfit(place, clock, shared)
            cost = (self.weights * np.sqrt(SCALE_M**2 + misfit**2)).sum(axis=(1, 2) if terms else 2)
            if not terms:  # each moment by itself
                best = np.broadcast_to(best[:, None], cost.shape) if best.ndim == 1 else best
                damping = np.broadcast_to(damping.reshape(count, -1), cost.shape)
            better = cost < best
            pick = better[:, None, None] if terms else better[..., None]
            best, damping = np.where(better, cost, best), np.where(better, damping / 3, damping * 5)
            damping = np.clip(damping, 1e-9, 1e3)
            kept_clock = np.where(better[:, None], clock, kept[1]) if terms else clock
            kept = np.where(pick, place, kept[0]), kept_clock
            place, clock = kept
            misfit, unit = self._misfit(place, clock, shared)
            step, moved, normal = _step(misfit, unit, shared, self.weights, damping, bool(terms))
            place, clock = place - step, clock - moved
        place, clock = kept
        if not terms:
            nothing = np.zeros(len(self.mics))
            return _Solved(_best_of_each(place, best), clock[0], 0.0, normal, nothing, np.inf)
        top = int(best.argmin())
        misfit, unit = self._misfit(place, clock, shared)
        undamped = np.zeros(count)
        normal = _step(misfit, unit, shared, self.weights, undamped, True)[2][top]
        freedom = max(1.0, self.weights.sum() - 4 * len(self.heard) - shared.shape[2])
        # The median makes it robust, 1.48 and the degrees of freedom make it a deviation.
        off = np.where(self.weights > 0, np.abs(misfit[top]), np.nan)
        spread = 1.48 * np.nanmedian(off)
        other = np.abs(clock - clock[top]).max(axis=1) > OTHER_S * SPEED_OF_SOUND
        least = SCALE_M * self.weights.sum()
        rival = (best[other].min(initial=np.inf) - least) / max(best[top] - least, 0.1 * least)
        return _Solved(
            place[top], clock[top], float(spread**2 * self.heard.size / freedom), normal,
            np.nanmedian(off, axis=0), float(rival),
        )  # fmt: skip

    def _misfit(
        self, place: np.ndarray, clock: np.ndarray, shared: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Misfit (S, T, M) in metres and its derivatives by position and emission (S, T, M, 4)."""
        offset = place[:, :, None, :3] - self.mics
        distance = np.maximum(np.linalg.norm(offset, axis=-1), 1e-6)
        said = distance + place[..., 3:] + np.einsum("tmc,sc->stm", shared, clock)
        unit = offset / distance[..., None]
        return said - self.heard, np.concatenate([unit, np.ones_like(unit[..., :1])], axis=-1)


def _best_of_each(place: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Positions (T, 4) of lowest cost (S, T) among starts (S, T, 4)."""
    return np.take_along_axis(place, cost.argmin(axis=0)[None, :, None], 0)[0]


def _step(
    misfit: np.ndarray,
    unit: np.ndarray,
    shared: np.ndarray,
    weights: np.ndarray,
    damping: np.ndarray,
    moves: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps of positions (S, T, 4) and clocks (S, C), and the normal matrix of the clocks."""
    weight = weights / np.sqrt(1 + np.square(misfit / SCALE_M))
    weighted = unit * weight[..., None]
    extra = damping.reshape(len(misfit), -1, 1, 1) + 1e-9
    normal = np.matmul(weighted.swapaxes(-1, -2), unit) + extra * np.eye(4)
    right = np.matmul(weighted.swapaxes(-1, -2), misfit[..., None])
    if not moves:
        own = np.linalg.solve(normal, right)[..., 0]
        none = np.zeros((len(misfit), shared.shape[2]))
        return _short(own), none, np.zeros((shared.shape[2],) * 2)
    cross = np.matmul(weighted.swapaxes(-1, -2), shared)  # (S, T, 4, C)
    solved = np.linalg.solve(normal, np.concatenate([cross, right], axis=-1))
    of_clock = np.einsum("tmc,stm,tmd->scd", shared, weight, shared)
    reduced = of_clock - np.einsum("stkc,stkd->scd", cross, solved[..., :-1])
    gradient = np.einsum("tmc,stm,stm->sc", shared, weight, misfit)
    gradient -= np.einsum("stkc,stk->sc", cross, solved[..., -1])
    size = np.eye(shared.shape[2])
    moved = np.linalg.solve(reduced + (extra[:, 0] + 1e-9) * size, gradient[..., None])[..., 0]
    own = solved[..., -1] - np.einsum("stkc,sc->stk", solved[..., :-1], moved)
    return _short(own), moved, reduced


def _short(step: np.ndarray) -> np.ndarray:
    """Steps (S, T, 4) of positions by a metre at most."""
    length = np.linalg.norm(step[..., :3], axis=-1, keepdims=True)
    return step / np.maximum(length, 1.0)
