"""SRP-PHAT for several sources: locate the strongest, remove its peaks, locate the next one.

The de-emphasis of Brutti, Omologo and Svaizer 2010: the GCC of each pair is set to zero around the
delay of a located source, so that its side lobes do not hide a weaker one.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.frames import Frames
from wavloc.methods.base import Method as Base
from wavloc.methods.classical import srp_phat
from wavloc.methods.classical.solvers import steered
from wavloc.methods.classical.solvers.modes import status_and_covariance
from wavloc.methods.classical.solvers.problem import Problem
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup


@dataclasses.dataclass(frozen=True)
class Options:
    """As in `srp_phat`; the threshold was chosen on simulated training rooms."""

    exponent: float = 0.75
    low_hz: float = 100.0
    high_hz: float = 7500.0
    oversample: int = 4
    spacing_m: float = 0.16
    finest_m: float = 0.0125
    starts: int = 160
    margin_m: float = 0.5
    floor_m: float = 1.0
    inlier_m: float = 0.04
    block: int = 8
    sources: int = 3  # located in each frame
    threshold: float = 0.5  # power relative to the strongest source that gives certainty 0.5
    hidden_m: float = 0.1  # half-width of the range differences set to zero


def solve(
    frames: Frames, block: slice, options: Options
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions (B, K, 3) metres of some frames, power (B, K) of each, status (B,) of the first."""
    problem, gcc, step = srp_phat.correlate(frames, block, options)
    positions, powers = [], []
    for number in range(options.sources):
        maximum = srp_phat.strongest(problem, gcc, step, options)
        powers.append(steered.power(problem, gcc, step, maximum[:, None])[:, 0])
        position = steered.refine_on_peaks(problem, gcc, step, maximum, options.inlier_m)
        positions.append(position)
        if number == 0:  # while the problem holds the peaks of this source
            status, _ = status_and_covariance(problem, position, options.inlier_m)
        gcc = deemphasize(problem, gcc, step, maximum, options.hidden_m)
    return np.stack(positions, axis=1), np.stack(powers, axis=1), status


def deemphasize(
    problem: Problem, gcc: np.ndarray, step: float, position: np.ndarray, hidden_m: float
) -> np.ndarray:
    """gcc (n, P, L), zero within ``hidden_m`` of the range differences of a position (n, 3)."""
    lag = problem.differences(position[:, None])[:, 0] / step  # (n, P)
    lags = np.arange(gcc.shape[-1]) - gcc.shape[-1] // 2
    return np.where(np.abs(lags - lag[..., None]) * step < hidden_m, 0, gcc)


class Method(Base):
    """One maximum of the steered power per source, each after the last one was removed."""

    label = "SRP-PHAT, several"
    reference = "Brutti, Omologo and Svaizer 2010"
    input_types = "GCC-PHAT"
    Options = Options

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        shape = (len(frames), self.options.sources)
        positions, power = np.full((*shape, 3), np.nan), np.zeros(shape)

        def of_block(block: slice) -> tuple[np.ndarray, np.ndarray]:
            positions[block], power[block], status = solve(frames, block, self.options)
            return positions[block, 0], status

        predictions = self.in_blocks(frames, self.options.block, of_block)
        relative = np.maximum(power, 0) / np.maximum(power[:, :1], 1e-12)
        predictions.positions = positions
        predictions.certainty = relative / (relative + self.options.threshold)
        return predictions
