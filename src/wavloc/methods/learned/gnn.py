"""GNN: a relation network on GCC-PHAT of all pairs and the positions of both microphones.

Grinstein et al. 2023, extended to 3-D as in Berg et al. 2024, Sec. IV.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from wavloc.methods.learned.base import Facts, LearnedMethod, Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from wavloc.methods.learned.networks.gnn import RelationNet


@dataclasses.dataclass(frozen=True)
class Options(Recipe):
    """Published sizes and recipe; milestones keep the proportions of the public code."""

    batch: int = 128
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    weight_decay: float = 0.0
    schedule: str = "steps"
    milestones: tuple[float, ...] = (0.01, 0.03, 0.2)
    row: int = 1024  # lags of a correlation row
    width: int = 625
    all_pairs: bool = False  # both directions of each pair: permutation invariant
    zero_pad: bool = False  # linear instead of circular correlation
    he: bool = False  # first weights after He et al. 2015; the public code has the library's
    fewest_mics: int = 0  # training uses a random subset of this many or more; 0 = always all


class Method(LearnedMethod):
    """Pairs i < j; the mean over pairs; positions relative to the training centre."""

    label = "GNN"
    reference = "Grinstein et al. 2023"
    input_types = "GCC-PHAT, coordinates"
    permutation_invariant = False
    uses_sound = False
    min_mics = 2
    Options = Options

    def build(self, facts: Facts) -> RelationNet:
        from wavloc.methods.learned.networks.gnn import RelationNet

        options = self.options
        return RelationNet(options.row, options.width, options.all_pairs, options.he)

    def features(self, audio: Tensor) -> dict[str, Tensor]:
        import torch

        from wavloc.methods.learned.networks.gnn import pair_rows

        options = self.options
        heard = torch.isfinite(audio[:, 1:]).all(-1)
        sound = audio[:, 1:].masked_fill(~heard[..., None], 0)
        rows = pair_rows(sound, options.row, options.all_pairs, options.zero_pad)
        return {"rows": rows, "heard": heard}

    def inputs(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        import torch

        heard = batch["heard"] & torch.isfinite(batch["mics"]).all(-1)
        mics = batch["mics"] - batch["mics"].new_tensor(self.facts.centre)
        found = {"rows": batch["rows"], "mics": mics.masked_fill(~heard[..., None], 0)}
        return found | {"heard": heard} | {k: batch[k] for k in ("source",) if k in batch}

    def loss(
        self, inputs: dict[str, Tensor], generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        from torch.nn import functional

        if generator is not None and self.options.fewest_mics:
            inputs = inputs | {"heard": self._subset(inputs["heard"], generator)}
        return functional.mse_loss(self.answer(inputs)["position"], inputs["source"]), {}

    def _subset(self, heard: Tensor, generator: torch.Generator) -> Tensor:
        """A random number of microphones, at least ``fewest_mics``, chosen at random."""
        import torch

        count, device = heard.shape[1], heard.device
        low = min(self.options.fewest_mics, count)
        size = (len(heard), 1)
        kept = torch.randint(low, count + 1, size, generator=generator, device=device)
        draw = torch.rand(heard.shape, generator=generator, device=device)
        rank = draw.masked_fill(~heard, 2).argsort(1).argsort(1)
        return heard & (rank < kept)

    def answer(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        centre = inputs["mics"].new_tensor(self.facts.centre)
        found = self.network(inputs["rows"], inputs["mics"], inputs["heard"])
        return {"position": found + centre}
