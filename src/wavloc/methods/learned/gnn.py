"""GNN: a relation network on GCC-PHAT of all pairs and the positions of both microphones.

Grinstein et al. 2023, extended to 3-D as in Berg et al. 2024, Sec. IV: an MLP on every pair, their
mean, another MLP.
"""

import dataclasses
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavloc.features import gcc_torch as correlation
from wavloc.methods.learned.base import Batch, DataStats, LearnedMethod, finite, known_signals
from wavloc.training.recipe import Recipe
from wavloc.training.store import Feature

EPS = 1e-7
LOWEST_PEAK = 1e-6  # of a correlation that is divided by its maximum


@dataclasses.dataclass(frozen=True)
class Options(Recipe):
    """Published sizes and recipe; milestones keep the proportions of the public code."""

    batch: int = 128
    learning_rate: float = 1e-3
    optimizer: Literal["adamw", "adam"] = "adam"
    weight_decay: float = 0.0
    schedule: Literal["cosine", "steps", "reference"] = "steps"
    milestones: tuple[float, ...] = (0.01, 0.03, 0.2)
    lags: int = 1024  # of a correlation function
    hidden_dim: int = 625
    all_pairs: bool = False  # both directions of each pair: permutation invariant
    zero_pad: bool = False  # linear instead of circular correlation
    he: bool = False  # initial weights after He et al. 2015; the public code has the library's
    fewest_mics: int = 0  # training uses a random subset of this many or more; 0 = always all


def _mlp(inputs: int, hidden_dim: int) -> list[nn.Module]:
    return [nn.Linear(inputs, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, hidden_dim), nn.ReLU()]


class RelationNet(nn.Module):
    """Published sizes are the defaults: 2,211,253 parameters."""

    def __init__(
        self, lags: int = 1024, hidden_dim: int = 625, all_pairs: bool = False, he: bool = False
    ):
        super().__init__()
        self.all_pairs = all_pairs
        self.edge = nn.Sequential(
            *_mlp(lags + 6, hidden_dim), nn.Linear(hidden_dim, hidden_dim), nn.ReLU()
        )
        self.fusion = nn.Sequential(*_mlp(hidden_dim, hidden_dim), nn.Linear(hidden_dim, 3))
        if he:
            for layer in (*self.edge, *list(self.fusion)[:-1]):
                if isinstance(layer, nn.Linear):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)

    def forward(self, gcc: Tensor, positions: Tensor, present: Tensor) -> Tensor:
        """gcc (B, P, lags) of `pair_correlations`, positions (B, M, 3), present (B, M) bool.

        Returns the position of the source (B, 3).
        """
        count = positions.shape[1]
        index = correlation.ordered_pairs if self.all_pairs else correlation.pair_index
        i, j = index(count, positions.device)
        counted = (present[:, i] & present[:, j])[..., None]
        # The first layer is linear: correlations pass it as they lie, not copied beside positions.
        layers: Any = self.edge
        first, ends = layers[0], torch.cat([positions[:, i], positions[:, j]], dim=-1)
        of_gcc, of_ends = first.weight.split([gcc.shape[-1], ends.shape[-1]], dim=1)
        hidden = gcc.to(positions.dtype) @ of_gcc.T + functional.linear(ends, of_ends, first.bias)
        hidden = layers[1:](hidden) * counted  # those that do not count are finite
        return self.fusion(hidden.sum(1) / counted.sum(1).clamp(min=1))


def pair_correlations(
    audio: Tensor, lags: int, all_pairs: bool = False, zero_pad: bool = False
) -> Tensor:
    """GCC-PHAT of all pairs at lags -lags / 2 .. lags / 2 - 1, divided by its largest value.

    audio (B, M, N) -> (B, P, lags). Circular as published; zero_pad: linear. Silence gives zeros.
    """
    gcc = correlation.gcc_phat(audio, lags // 2, EPS, zero_pad)
    gcc = gcc / gcc.amax(-1, keepdim=True).clamp(min=LOWEST_PEAK)
    if all_pairs:
        gcc = correlation.both_directions(gcc, gcc.flip(-1))
    return gcc[..., :lags]


class Method(LearnedMethod[RelationNet]):
    """Pairs i < j; the mean over pairs; positions relative to the mean of the training sources."""

    uses_sound = False
    min_mics = 2
    Options = Options

    def build(self, stats: DataStats) -> RelationNet:
        return RelationNet(**self.options_of(RelationNet))

    def kept_features(self) -> list[Feature]:
        options = self.options
        how = (options.lags, options.all_pairs, options.zero_pad)

        def gcc(audio: Tensor, _: Batch) -> Tensor:
            sound = audio[:, 1:]
            return pair_correlations(sound.masked_fill(~finite(sound)[..., None], 0), *how)

        return [Feature("gcc", lambda: ["relation", *how], gcc)]

    def inputs(self, batch: Batch) -> Batch:
        present = known_signals(batch)[:, 1:] & torch.isfinite(batch["mics"]).all(-1)
        mics = batch["mics"] - batch["mics"].new_tensor(self.stats.position_mean)
        return batch | {"mics": mics.masked_fill(~present[..., None], 0), "present": present}

    def loss(self, inputs: Batch, generator: torch.Generator | None) -> tuple[Tensor, Batch]:
        if generator is not None and self.options.fewest_mics:
            inputs = inputs | {"present": self._subset(inputs["present"], generator)}
        return functional.mse_loss(self.estimate_batch(inputs)["position"], inputs["source"]), {}

    def _subset(self, present: Tensor, generator: torch.Generator) -> Tensor:
        """A random number of microphones, at least ``fewest_mics``, chosen at random."""
        count, device = present.shape[1], present.device
        low = min(self.options.fewest_mics, count)
        size = (len(present), 1)
        kept = torch.randint(low, count + 1, size, generator=generator, device=device)
        draw = torch.rand(present.shape, generator=generator, device=device)
        rank = draw.masked_fill(~present, 2).argsort(1).argsort(1)
        return present & (rank < kept)

    def estimate_batch(self, inputs: Batch) -> Batch:
        offset = self.network(inputs["gcc"], inputs["mics"], inputs["present"])
        return {"position": offset + inputs["mics"].new_tensor(self.stats.position_mean)}
