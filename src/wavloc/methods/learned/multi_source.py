"""The fault-tolerant network for several sources at once (preliminary in Yang et al. 2025).

One learned query per source that there may be: each gives a position and the probability that it
stands for a source. The loss is that of the best assignment of queries to sources. The paper gives
no details: see docs/deviations.md.
"""

import dataclasses
import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from wavloc import seeds
from wavloc.frames import Frames, concatenate
from wavloc.methods.learned import fault_tolerant, masking
from wavloc.methods.learned.base import Batch, DataStats, LearnedMethod
from wavloc.methods.learned.encoders import encoders
from wavloc.methods.learned.fault_tolerant import FaultTolerant, Output
from wavloc.methods.learned.layers import reconstruction_losses
from wavloc.methods.learned.ngcc_phat import PairCorrelations
from wavloc.simulation import mixtures
from wavloc.training.store import Feature


@dataclasses.dataclass(frozen=True)
class Options(fault_tolerant.Options):
    """Those of the fault-tolerant network (`mask_source` has no effect: no source is known)."""

    sources: int = 3  # queries: the most sources that can be estimated
    mixtures: int = 1  # made of each training frame, with 1 to ``sources`` sources
    presence_weight: float = 1.0  # of the loss of whether a query stands for a source


def assignments(values: Tensor) -> Tensor:
    """Sum of values (B, S, S) of queries and sources for each way to pair them: (B, S!)."""
    sources = torch.arange(values.shape[-1])
    ways = itertools.permutations(sources.tolist())
    return torch.stack([values[:, list(way), sources].sum(-1) for way in ways], dim=-1)


def matched_loss(
    places: Tensor, presence: Tensor, truth: Tensor, place_weight: float, presence_weight: float
) -> tuple[Tensor, Tensor]:
    """Losses of positions and of presence (B,) under the assignment that makes their sum smallest.

    places (B, S, 3) and presence (B, S) of the queries; truth (B, S, 3), NaN where there is no
    source: the queries that are left over should say so.
    """
    exists = torch.isfinite(truth).all(-1)[:, None]  # (B, 1, S)
    distance = (places[:, :, None] - truth.nan_to_num()[:, None]).square().mean(-1)
    count = exists.sum(-1, keepdim=True).clamp(min=1)
    place = place_weight * distance * exists / count  # (B, query, source)
    # softplus(-x) = -log sigmoid(x): cross-entropy of a query that stands for a source
    logit = torch.where(exists, -presence[..., None], presence[..., None])
    certain = presence_weight * functional.softplus(logit) / presence.shape[1]
    place, certain = assignments(place), assignments(certain)
    best = (place + certain).detach().argmin(dim=-1, keepdim=True)
    return place.gather(1, best)[:, 0], certain.gather(1, best)[:, 0]


class Method(LearnedMethod[FaultTolerant]):
    """The fault-tolerant network with a query for each source, trained on mixtures of frames."""

    min_mics = 2
    setups = ("1a", "2a")
    Options = Options

    def set_up(self) -> None:
        super().set_up()
        fault_tolerant.check(self)
        if self.options.sources not in (2, 3):
            raise self.option_error("sources", "2 or 3 where there are several sources")
        if self.options.fresh:
            raise self.option_error("fresh", "False where there are several sources")
        self.correlations = PairCorrelations(self.options.features)
        self.encoder = encoders.SignalEncoder(self.options)
        self.components = (self.correlations, self.encoder)

    def build(self, stats: DataStats) -> FaultTolerant:
        return fault_tolerant.build_network(self, stats, self.options.sources)

    def fit(self, train: Frames, valid: Frames, run: Any) -> None:
        """As the base, on mixtures; the frames for validation are mixed among themselves."""
        super().fit(
            concatenate([self.mixture(train, f"train {k}") for k in range(self.options.mixtures)]),
            self.mixture(valid, "valid"),
            run,
        )

    def mixture(self, frames: Frames, part: str) -> Frames:
        """Each frame with 1 to ``sources`` sources, as many of each number."""
        rng = seeds.rng(self.seed, self.seed_name, "counts", part)
        counts = rng.permutation(np.arange(len(frames)) % self.options.sources) + 1
        return mixtures.mixed(frames, frames, counts, self.seed, f"{self.seed_name} {part}")

    def hide_source(self, audio: Tensor) -> Tensor:
        audio[:, 0] = float("nan")
        return audio

    def targets(self, frames: Frames) -> Batch:
        """Also ``sources`` (F, S, 3), all positions in metres, NaN where there are fewer."""
        places = mixtures.positions(frames)
        missing = self.options.sources - places.shape[1]
        places = np.pad(places, ((0, 0), (0, missing), (0, 0)), constant_values=np.nan)
        return super().targets(frames) | {
            "labelled": fault_tolerant.labelled(self, frames),
            "sources": torch.from_numpy(places.astype(np.float32)),
        }

    def kept_features(self) -> list[Feature]:
        return fault_tolerant.kept_features(self)

    def inputs(self, batch: Batch) -> Batch:
        return masking.inputs(batch, self.stats)

    def reconstruct(self, inputs: Batch, position_known: Tensor, audio_known: Tensor) -> Output:
        """The network's output (B, S + M) where only some microphones' (B, M + 1) are known."""
        count = self.options.sources

        def repeated(values: Tensor) -> Tensor:
            return torch.cat([values[:, :1].repeat_interleave(count, dim=1), values[:, 1:]], dim=1)

        position_known, audio_known = repeated(position_known), repeated(audio_known)
        position_known[:, :count] = audio_known[:, :count] = False  # no source is known
        return self.network(
            repeated(self.encoder.embeddings(inputs)),
            repeated(inputs["positions"]),
            audio_known,
            position_known,
            inputs["gcc"],
            inputs["agreement"],
        )

    def loss(self, inputs: Batch, generator: torch.Generator | None) -> tuple[Tensor, Batch]:
        options, count = self.options, self.options.sources
        position_known, audio_known = masking.draw(options, inputs, generator)
        output = self.reconstruct(inputs, position_known, audio_known)
        assert output.presence is not None
        matched = matched_loss(
            output.positions[:, :count],
            output.presence,
            self.stats.normalised(inputs["sources"]),
            options.source_weight,
            options.presence_weight,
        )
        used = inputs["labelled"] | (generator is None)
        place, presence = ((part * used).sum() / used.sum().clamp(min=1) for part in matched)
        last = output.positions[:, count - 1 :], output.audio[:, count - 1 :]
        truth = inputs["positions"].clone()
        truth[:, 0] = float("nan")  # the sources have been counted
        audio, _, mics = reconstruction_losses(
            *last, truth, inputs["clean"], position_known, audio_known
        )
        loss = place + presence + options.audio_weight * audio + options.mic_weight * mics
        terms = {"loss_audio": audio, "loss_source": place, "loss_mics": mics}
        terms["loss_presence"] = presence
        return loss, {name: value.detach() for name, value in terms.items()}

    def validate(self, inputs: Batch) -> Batch:
        """The criterion is the error per source under the best assignment, in metres."""
        truth = inputs["sources"]
        exists = torch.isfinite(truth).all(-1)
        estimates = self.estimate_batch(inputs)["positions"]
        distance = estimates[:, :, None] - truth.nan_to_num()[:, None]
        distance = distance.norm(dim=-1).clamp(max=3.0) * exists[:, None]
        error = (assignments(distance).amin(-1) / exists.sum(-1)).mean()
        loss, terms = self.loss(inputs, None)
        return {"criterion": error, "mae_m": error, "loss": loss, **terms}

    def estimate_batch(self, inputs: Batch) -> Batch:
        """All sources, most certain first: ``positions`` (B, S, 3) and ``certainty`` (B, S)."""
        count = self.options.sources
        position_known, audio_known = masking.granted(inputs)
        output = self.reconstruct(inputs, position_known, audio_known)
        assert output.presence is not None
        certainty, order = output.presence.float().sigmoid().sort(dim=1, descending=True)
        last = output.positions[:, count - 1 :]
        estimates = masking.estimates(last, inputs, position_known, self.stats)
        places = self.stats.in_metres(output.positions[:, :count])
        positions = places.gather(1, order[..., None].expand(-1, -1, 3))
        own = {"position": positions[:, 0], "positions": positions, "certainty": certainty}
        return estimates | own
