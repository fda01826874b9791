"""Multilat* of the wav2pos paper: the delays are NGCC-PHAT's, one per pair. Trains NGCC-PHAT too.

NGCC-PHAT (Berg et al. 2022) learns to classify the delay of random pairs of microphones over all
integer lags; other methods begin with this model.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from wavloc.features import delays as measured
from wavloc.features import gcc
from wavloc.frames import Frames
from wavloc.methods.base import blocks
from wavloc.methods.classical import multilat
from wavloc.methods.learned.base import Facts, LearnedMethod, Recipe
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from wavloc.methods.learned.ngcc_phat import NGCC


@dataclasses.dataclass(frozen=True)
class Options(Recipe):
    """Published sizes and recipe (public code of wav2pos), and the solver's options."""

    epochs: int = 30
    batch: int = 64
    learning_rate: float = 1e-3
    warmup: float = 0.17
    channels: int = 128
    taps: int = 1023
    dropout: float = 0.5
    max_lag: int = 0  # samples; 0 = what the training array allows
    group: int = 2  # microphones drawn per example; all of their pairs are trained on
    same_microphone: bool = False  # the public code may draw a microphone twice
    truncate_label: bool = False  # the public code cuts the delay instead of rounding it
    source_pairs: bool = True  # draw the source's signal too, as wav2pos may meet it
    peaks: int = 1  # candidates per pair
    limit_lags: bool = False  # score only the lags that each pair's distance allows
    draws: int = 100  # RANSAC draws
    inlier_m: float = 0.10
    paper_guards: bool = True


class Method(LearnedMethod):
    """One delay per pair by NGCC-PHAT; RANSAC as in Multilat, with the paper's guards."""

    label = "Multilat*"
    reference = "Berg et al. 2024 (wav2pos), Multilat*; NGCC-PHAT: Berg et al. 2022"
    input_types = "NGCC-PHAT"
    permutation_invariant = False  # a pair is scored in one direction; the head is not symmetric
    min_mics = 5
    Options = Options

    # ----------------------------------------------------------------- training of NGCC-PHAT

    def build(self, facts: Facts) -> NGCC:
        from wavloc.methods.learned.ngcc_phat import NGCC

        options = self.options
        return NGCC(
            options.channels, options.taps, dropout=options.dropout, sample_rate=facts.sample_rate
        )

    def parameter_groups(self) -> list[dict[str, Any]]:
        """No weight decay for the two numbers of each band-pass filter either."""
        bank = {id(parameter) for parameter in self.network.bank.parameters()}
        decayed, free = super().parameter_groups()
        kept = [parameter for parameter in decayed["params"] if id(parameter) not in bank]
        return [
            decayed | {"params": kept},
            free | {"params": [*free["params"], *self.network.bank.parameters()]},
        ]

    def inputs(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        import torch

        audio = batch["audio"]
        known = torch.isfinite(audio).all(-1)
        found = {"audio": audio.masked_fill(~known[..., None], 0), "known": known}
        if "source" in batch:
            distance = (batch["source"][:, None] - batch["mics"]).norm(dim=-1)
            distance = torch.cat([torch.zeros_like(distance[:, :1]), distance], dim=1)
            found["arrival"] = distance * (self.facts.sample_rate / self.facts.speed_of_sound)
            found["source"] = batch["source"]
        return found

    def loss(
        self, inputs: dict[str, Tensor], generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        from torch.nn import functional

        logits, delay = self._pairs(inputs, generator)
        return functional.cross_entropy(logits, self._labels(delay), ignore_index=-1), {}

    def _pairs(
        self, inputs: dict[str, Tensor], generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Logits (n, lags) and true delays (n,) of the pairs among a few channels per example."""
        import torch

        from wavloc.features.gcc_torch import pair_index, whitened

        options, known = self.options, inputs["known"]
        batch, count = known.shape
        if generator is None:  # validation: the same channels for the same place in the batch
            generator = torch.Generator(known.device).manual_seed(batch)
        draw = torch.rand(known.shape, generator=generator, device=known.device)
        draw = draw.masked_fill(~known, 2)
        if not options.source_pairs:
            draw[:, 0] = 3
        group = min(options.group, count - 1)
        chosen = draw.argsort(1)[:, :group]
        if options.same_microphone:
            size = (batch, group)
            chosen = torch.randint(1, count, size, generator=generator, device=known.device)
        audio = inputs["audio"].gather(
            1, chosen[..., None].expand(-1, -1, inputs["audio"].shape[-1])
        )
        spectrum = self.network.spectra(audio.flatten(0, 1)).unflatten(0, chosen.shape)
        i, j = pair_index(group, known.device)
        rows = whitened(spectrum[:, i].flatten(0, 1), spectrum[:, j].flatten(0, 1), self._lag)
        arrival = inputs["arrival"].gather(1, chosen)
        usable = known.gather(1, chosen)
        delay = (arrival[:, i] - arrival[:, j]).masked_fill(~(usable[:, i] & usable[:, j]), 1e9)
        return self.network.score(rows), delay.flatten()

    @property
    def _lag(self) -> int:
        return self.facts.max_lag

    def _labels(self, delay: Tensor) -> Tensor:
        """Class of each delay; -1 (not counted) where it lies beyond the largest lag."""
        shifted = delay + self._lag
        label = shifted.trunc() if self.options.truncate_label else shifted.round()
        return label.masked_fill((label < 0) | (label > 2 * self._lag), -1).long()

    def validate(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        from torch.nn import functional

        logits, delay = self._pairs(inputs, None)
        labels = self._labels(delay)
        counted = labels >= 0
        error = (logits.argmax(-1) - self._lag - delay).abs()[counted]
        within = {f"within_{k}": (error <= k + 0.5).float().mean() for k in (1, 3)}
        return {
            "criterion": 1 - within["within_1"],
            "loss": functional.cross_entropy(logits, labels, ignore_index=-1),
            "mae_samples": error.clamp(max=self._lag).mean(),
            **within,
        }

    def fit(self, train: Frames, valid: Frames, run: Any) -> None:
        super().fit(train, valid, run)
        self.training_note["delays"] = self.compare(valid)

    def compare(self, frames: Frames, most: int = 200) -> dict[str, dict[str, float]]:
        """NGCC-PHAT and GCC-PHAT on all pairs of (evenly spread) frames with true positions.

        Share of delays within 1 and 3 samples, mean absolute error in samples.
        """
        from wavloc.geometry import pairs, tdoa

        index = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).astype(int))
        frames = frames.select(index)
        truth = tdoa(
            frames.source_position, frames.mics(), frames.sample_rate, frames.speed_of_sound
        )
        found: dict[str, list[np.ndarray]] = {"ngcc": [], "gcc": []}
        lag = int(measured.limits(frames, slice(None)).max()) + 2
        for block in blocks(len(frames), self.options.predict_batch, "delays"):
            limit = measured.limits(frames, block)
            plain = gcc.gcc_phat(
                frames.window(block),
                pairs(frames.n_mics),
                lag,
                sample_rate=frames.sample_rate,
            )
            for name, rows in (("ngcc", self.rows(frames, block)), ("gcc", plain)):
                found[name].append(gcc.find_peaks(rows, limit, 1)[0][..., 0])
        figures = {"pairs": int(truth.size)}
        for name, parts in found.items():
            error = np.minimum(np.nan_to_num(np.abs(np.concatenate(parts) - truth), nan=1e9), 629)
            figures[name] = {
                "within_1": float((error <= 1).mean()),
                "within_3": float((error <= 3).mean()),
                "mae_samples": float(error.mean()),
            }
        return figures

    # ----------------------------------------------------------------- localization

    def rows(self, frames: Frames, block: slice) -> np.ndarray:
        """Scores (B, P, 2 K + 1) of all lags of all pairs; NaN where a signal is missing.

        K is the largest lag of these microphones; the network serves any.
        """
        import torch

        from wavloc.features.gcc_torch import pair_index

        device = next(self.network.parameters()).device
        self.network.eval()
        with torch.inference_mode():
            audio = torch.from_numpy(frames.window(block).astype(np.float32)).to(device)
            known = torch.isfinite(audio).all(-1)
            audio = self.normalise(audio).masked_fill(~known[..., None], 0)
            lag = int(measured.limits(frames, slice(None)).max()) + 2
            limits = None
            if self.options.limit_lags:  # and one beyond, for the parabola through a peak
                limits = (measured.limits(frames, block).max(axis=0) + 1).astype(int)
            logits = self.network.all_pairs(audio, lag, directions=1, limits=limits)
            i, j = pair_index(audio.shape[1], device)
            logits[~(known[:, i] & known[:, j])] = float("nan")
        return logits.float().cpu().numpy()

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        self.require_model()
        covariance = np.full((len(frames), 3, 3), np.nan)

        def of_block(block: slice) -> tuple[np.ndarray, np.ndarray]:
            limit = measured.limits(frames, block)
            delays = gcc.find_peaks(self.rows(frames, block), limit, self.options.peaks)[0]
            position, status, covariance[block] = self.solve(frames, block, delays)
            return position, status

        found = self.in_blocks(frames, self.options.predict_batch, of_block)
        found.covariance = covariance
        return found

    def solve(
        self, frames: Frames, block: slice, delays: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position, status and covariance from delays (B, P, H) in samples."""
        options = multilat.Options(
            draws=self.options.draws,
            inlier_m=self.options.inlier_m,
            paper_guards=self.options.paper_guards,
        )
        return multilat.solve(
            delays,
            measured.mic_positions(frames, block),
            frames.sample_rate,
            frames.speed_of_sound,
            options,
            self.seed,
        )
