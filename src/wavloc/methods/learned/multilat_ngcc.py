"""Multilat* of the wav2pos paper: RANSAC as in Multilat on the delays of NGCC-PHAT.

The delays are those of a model of `ngcc_phat`. The option ``solver`` puts Multilat+ in the place of
Multilat.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wavloc.errors import InputError
from wavloc.features import delays, gcc
from wavloc.frames import Frames
from wavloc.methods import base
from wavloc.methods.classical import multilat, multilat_plus
from wavloc.methods.learned import ngcc_phat
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup


@dataclasses.dataclass(frozen=True)
class Options:
    """Those of the solver; the model brings its own."""

    solver: str = "multilat"  # or multilat_plus, which does without the next three
    draws: int = 100  # RANSAC draws
    inlier_m: float = 0.10
    paper_guards: bool = True
    peaks: int = 1  # candidates per pair
    limit_lags: bool = False  # score only the lags that each pair's distance allows
    predict_batch: int = 16


class Method(base.Method):
    """One delay per pair by NGCC-PHAT; RANSAC with the paper's guards."""

    label = "Multilat*"
    reference = "Berg et al. 2024 (wav2pos), Multilat*; NGCC-PHAT: Berg et al. 2022"
    input_types = "NGCC-PHAT"
    learned = True
    permutation_invariant = False  # a pair is scored in one direction; the head is not symmetric
    Options = Options

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        name: str = "",
        seed: int = 0,
        seed_name: str = "",
    ):
        super().__init__(options, name, seed, seed_name)
        if self.options.solver not in ("multilat", "multilat_plus"):
            raise InputError(
                f"methods.{self.name}.options.solver: '{self.options.solver}', "
                "expected one of multilat, multilat_plus"
            )
        self.model = ngcc_phat.Method()

    def refusal(self, frames: Frames, setup: Setup) -> str | None:
        return super().refusal(frames, setup) or self.model.misfit(frames)

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        options, network = self.options, self.model.network

        def solve(block: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            scores = ngcc_phat.pair_scores(network, frames, block, options.limit_lags)
            limit = delays.limits(frames, block)
            return self.solve(frames, block, gcc.find_peaks(scores, limit, options.peaks)[0])

        return self.in_blocks(frames, options.predict_batch, solve)

    def solve(
        self, frames: Frames, block: slice, peaks: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position, status and covariance from delays (B, P, H) in samples."""
        mics = delays.mic_positions(frames, block)
        given = (peaks, mics, frames.sample_rate, frames.speed_of_sound)
        if self.options.solver == "multilat_plus":
            return multilat_plus.solve(*given, seed=self.seed, bounds=frames.room_bounds)
        options = multilat.Options(
            draws=self.options.draws,
            inlier_m=self.options.inlier_m,
            paper_guards=self.options.paper_guards,
        )
        return multilat.solve(*given, options, self.seed)

    # ----------------------------------------------------------------- its model

    @property
    def gpu(self) -> torch.device | None:
        return self.model.gpu

    def to(self, device: str | torch.device) -> Method:
        """Move the network."""
        self.model.to(device)
        return self

    def save(self, folder: str | Path) -> None:
        """The model alone."""
        self.model.save(folder)

    @classmethod
    def load(cls, folder: str | Path, options: Mapping[str, Any] | None = None) -> Method:
        """A solver with ``options`` on the model of `ngcc_phat` in the folder, with its seed."""
        model = ngcc_phat.Method.load(folder)
        method = cls(options, seed=model.seed)
        method.model = model
        return method
