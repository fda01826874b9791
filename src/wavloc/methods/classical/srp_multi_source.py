"""SRP-PHAT for several sources: find the strongest, take its peaks away, find the next one.

The de-emphasis of Brutti, Omologo and Svaizer 2010: what the found source explains of each pair's
correlation is set to zero, so that its own side lobes do not hide a weaker source.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.frames import Frames
from wavloc.methods.classical import srp_phat
from wavloc.methods.classical.solvers import robust, steered
from wavloc.methods.classical.solvers.problem import Problem
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup


@dataclasses.dataclass(frozen=True)
class Options(srp_phat.Options):
    """As SRP-PHAT; the threshold was chosen on simulated training rooms."""

    sources: int = 3  # that are looked for
    threshold: float = 0.5  # power of a further source over that of the first
    hidden_m: float = 0.1  # of delays around those of a found source


class Method(srp_phat.Method):
    """As many steered power maxima as there may be sources, each after the last was removed."""

    label = "SRP-PHAT, several"
    reference = "Brutti, Omologo and Svaizer 2010"
    Options = Options

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        shape = (len(frames), self.options.sources)
        places, power = np.full((*shape, 3), np.nan), np.zeros(shape)

        def of_block(block: slice) -> tuple[np.ndarray, np.ndarray]:
            places[block], power[block], status = self.several(frames, block)
            return places[block, 0], status

        found = self.in_blocks(frames, self.options.block, of_block)
        share = np.maximum(power, 0) / np.maximum(power[:, :1], 1e-12)
        found.positions = places
        found.certainty = share / (share + self.options.threshold)
        return found

    def several(self, frames: Frames, block: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions (B, K, 3) of some frames, the power (B, K) that each had, and the status (B,)
        of the first.
        """
        options = self.options
        rows, problem, step = srp_phat.correlated(frames, block, options)
        places, power = [], []
        for _ in range(options.sources):  # each depends on what the last one left
            position = srp_phat.strongest(problem, rows, step, options)
            power.append(steered.power(problem, rows, step, position[:, None])[:, 0])
            places.append(steered.settle(problem, rows, step, position, options.width_m))
            if len(places) == 1:  # the problem holds the peaks of the last one that was settled
                status, _ = robust.verdict(problem, places[0], options.width_m)
            rows = without(problem, rows, step, position, options.hidden_m)
        return np.stack(places, axis=1), np.stack(power, axis=1), status


def without(
    problem: Problem, rows: np.ndarray, step: float, position: np.ndarray, width: float
) -> np.ndarray:
    """Rows (n, P, L), zero within ``width`` metres of the delays of a position (n, 3)."""
    lag = problem.differences(position[:, None])[:, 0] / step  # (n, P)
    at = np.arange(rows.shape[-1]) - rows.shape[-1] // 2
    return np.where(np.abs(at - lag[..., None]) * step < width, 0, rows)
