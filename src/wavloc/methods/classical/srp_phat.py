"""SRP-PHAT (DiBiase 2000): steered response power on a grid, then finer around its tops."""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.features import delays as measured
from wavloc.frames import Frames
from wavloc.methods.classical.solvers import robust, steered
from wavloc.methods.classical.solvers.delay_method import DelayMethod
from wavloc.methods.classical.solvers.problem import Problem, build


@dataclasses.dataclass(frozen=True)
class Options:
    """Whitening exponent and band were chosen on simulated training rooms, not on test data."""

    exponent: float = 0.75  # of the whitening; 1 = PHAT
    low_hz: float = 100.0
    high_hz: float = 7500.0
    oversample: int = 4
    spacing_m: float = 0.16  # of the first grid
    finest_m: float = 0.0125  # spacing from which the raw power is climbed
    starts: int = 160  # cells of the first grid that are followed
    margin_m: float = 0.5  # search box around the microphones if the room is unknown ...
    floor_m: float = 1.0  # ... and below the lowest one
    width_m: float = 0.04  # how far a pair's own peak may be from the power's maximum
    block: int = 8


class Method(DelayMethod):
    """Power steered over a grid through an integer lag table; coarse to fine; peaks at the end."""

    label = "SRP-PHAT"
    reference = "DiBiase 2000"
    Options = Options

    def locate_block(
        self, frames: Frames, block: slice
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        options = self.options
        rows, problem, step = correlated(frames, block, options)
        position = strongest(problem, rows, step, options)
        position = steered.settle(problem, rows, step, position, options.width_m)
        return position, *robust.verdict(problem, position, options.width_m)


def strongest(problem: Problem, rows: np.ndarray, step: float, options: Options) -> np.ndarray:
    """Where the steered power of rows (B, P, L) is highest in the box: (B, 3)."""
    places = steered.coarse_to_fine(
        problem, rows, step, options.spacing_m, options.starts, options.finest_m
    )
    return steered.top(problem, rows, step, places, options.finest_m)


def correlated(frames: Frames, block: slice, options: object) -> tuple[np.ndarray, Problem, float]:
    """Correlation rows (B, P, L) of some frames, 0 for pairs that say nothing; the empty problem
    they belong to; metres a lag. options: exponent, band, oversample, margin_m, floor_m.
    """
    rows, limit = measured.rows(frames, block, options)
    rows = measured.possible(rows, limit, options.oversample)
    problem = build(
        np.zeros((*rows.shape[:2], 1)),
        measured.positions(frames, block),
        frames.sample_rate,
        frames.speed_of_sound,
        options.margin_m,
        options.floor_m,
        frames.room_bounds,
    )
    step = frames.speed_of_sound / frames.sample_rate / options.oversample
    return rows, problem, step
