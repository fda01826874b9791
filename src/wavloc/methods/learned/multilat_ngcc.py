"""Multilat* of the wav2pos paper: RANSAC as in Multilat, or Multilat+ (option ``solver``), on the
delays of a model of `ngcc_phat`.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch

from wavloc.features import delays, gcc
from wavloc.frames import Frames
from wavloc.methods import base
from wavloc.methods.classical import multilat, multilat_plus
from wavloc.methods.classical.delay_method import Solution, Solver, solve_problem
from wavloc.methods.classical.solvers.problem import from_frames
from wavloc.methods.learned import ngcc_phat
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup


@dataclasses.dataclass(frozen=True)
class Options:
    """Those of the solver; the model brings its own."""

    # multilat_plus does without the next three.
    solver: Literal["multilat", "multilat_plus"] = "multilat"
    draws: int = 100  # RANSAC draws
    inlier_m: float = 0.10
    paper_guards: bool = True
    peaks: int = 1  # candidates per pair
    limit_lags: bool = False  # score only the lags that each pair's distance allows
    predict_batch: int = 16


class Method(base.Method):
    """One delay per pair by NGCC-PHAT; RANSAC with the paper's guards."""

    Options = Options

    def set_up(self) -> None:
        self.model = ngcc_phat.Method()
        self.searches = self.options.solver == "multilat_plus"

    def refusal(self, frames: Frames, setup: Setup) -> str | None:
        return super().refusal(frames, setup) or self.model.misfit(frames)

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        self.model.require_model()
        options, network = self.options, self.model.network
        solver: tuple[Solver, Any] = multilat_plus.locate, multilat_plus.Options()
        if options.solver == "multilat":
            given = {key: getattr(options, key) for key in ("draws", "inlier_m", "paper_guards")}
            solver = multilat.locate, multilat.Options(**given)

        def solve(block: slice) -> Solution:
            scores = ngcc_phat.pair_scores(network, frames, block, options.limit_lags)
            peaks = gcc.find_peaks(scores, delays.limits(frames, block), options.peaks)[0]
            return solve_problem(solver[0], from_frames(frames, block, peaks), solver[1], self.seed)

        return self.in_blocks(frames, options.predict_batch, solve)

    # ----------------------------------------------------------------- its model

    @property
    def gpu(self) -> torch.device | None:
        return self.model.gpu

    def to(self, device: str | torch.device) -> Self:
        """Move the network."""
        self.model.to(device)
        return self

    def save(self, folder: str | Path) -> None:
        """The model alone."""
        self.model.save(folder)

    @classmethod
    def load(cls, folder: str | Path, options: Mapping[str, Any] | None = None) -> Self:
        """A solver with ``options`` on the model of `ngcc_phat` in the folder, with its seed."""
        model = ngcc_phat.Method.load(folder)
        method = cls(options, seed=model.seed)
        method.model = model
        return method
