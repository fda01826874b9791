"""SRP-PHAT for several sources: locate the strongest, remove its peaks, locate the next one.

The de-emphasis of Brutti, Omologo and Svaizer 2010: the GCC of each pair is set to zero around the
delay of a located source, so that its side lobes do not hide a weaker one.
"""

import dataclasses

import numpy as np

from wavloc.frames import Frames
from wavloc.methods.base import Method as Base
from wavloc.methods.classical import srp_phat
from wavloc.methods.classical.solvers import steered
from wavloc.methods.classical.solvers.modes import status_and_covariance
from wavloc.methods.classical.solvers.steered import SteeredPower
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup


@dataclasses.dataclass(frozen=True)
class Options(srp_phat.Options):
    """The threshold was chosen on simulated training rooms."""

    sources: int = 3  # located in each frame
    threshold: float = 0.5  # power relative to the strongest source that gives certainty 0.5
    hidden_m: float = 0.1  # half-width of the range differences set to zero


def locate(
    frames: Frames, block: slice, options: Options
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions (B, K, 3) metres of some frames, power (B, K) of each, status (B,) of the first."""
    field = steered.of_frames(frames, block, options)
    positions, powers = [], []
    for number in range(options.sources):
        maximum = srp_phat.strongest(field, options)
        powers.append(field.power(maximum[:, None])[:, 0])
        position = field.refine_on_peaks(maximum, options.inlier_m)
        positions.append(position)
        if number == 0:  # while the problem holds the peaks of this source
            status, _ = status_and_covariance(field.problem, position, options.inlier_m)
        field = deemphasize(field, maximum, options.hidden_m)
    return np.stack(positions, axis=1), np.stack(powers, axis=1), status


def deemphasize(field: SteeredPower, position: np.ndarray, hidden_m: float) -> SteeredPower:
    """With a GCC of zero within ``hidden_m`` of the range differences of a position (n, 3)."""
    lag = field.problem.differences(position[:, None])[:, 0] / field.step  # (n, P)
    lags = np.arange(field.gcc.shape[-1]) - field.reach
    near = np.abs(lags - lag[..., None]) * field.step < hidden_m
    return dataclasses.replace(field, gcc=np.where(near, 0, field.gcc))


class Method(Base):
    """One maximum of the steered power per source, each after the last one was removed."""

    Options = Options

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        shape = (len(frames), self.options.sources)
        positions, power = np.full((*shape, 3), np.nan), np.zeros(shape)

        def of_block(block: slice) -> tuple[np.ndarray, np.ndarray]:
            positions[block], power[block], status = locate(frames, block, self.options)
            return positions[block, 0], status

        predictions = self.in_blocks(frames, self.options.block, of_block)
        relative = np.maximum(power, 0) / np.maximum(power[:, :1], 1e-12)
        predictions.positions = positions
        predictions.certainty = relative / (relative + self.options.threshold)
        return predictions
