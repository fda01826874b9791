"""DI-NN: raw sound and microphone positions through a convolutional recurrent network.

Grinstein et al. 2023, extended to 3-D as in Berg et al. 2024, Sec. IV. One model per number of
microphones; where a model has fewer than the training array, every example uses a random subset.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wavloc.methods.learned.base import Facts, LearnedMethod, Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from wavloc.frames import Frames
    from wavloc.methods.learned.networks.dinn import DINN


@dataclasses.dataclass(frozen=True)
class Options(Recipe):
    """Published sizes and recipe; milestones keep the proportions of the public code."""

    batch: int = 32
    learning_rate: float = 1e-4
    optimizer: str = "adam"
    weight_decay: float = 0.0
    schedule: str = "steps"
    milestones: tuple[float, ...] = (0.15, 0.4)
    mics: int = 0  # microphones of the model; 0 = all of the training array
    channels: tuple[int, ...] = (64, 128, 256, 512)
    recurrent: int = 256
    l1_loss: bool = False  # the public code's loss; the paper's is the square
    scale: str = "frame"  # of the sound: one per frame keeps levels, or one per microphone


class Method(LearnedMethod):
    """Short-time spectra inside the network; positions relative to the training centre."""

    label = "DI-NN"
    reference = "Grinstein et al. 2023"
    input_types = "raw audio, coordinates"
    permutation_invariant = False
    variable_mics = False
    setups = ("1a", "1b")
    Options = Options

    def __init__(self, options: Mapping[str, Any] | None = None, name: str = "", seed: int = 0):
        super().__init__(options, name, seed)
        self.check_choice("scale", ("frame", "microphone"))

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        chosen = self.options.mics or self.facts.mics
        if chosen != self.facts.mics:
            self.facts = dataclasses.replace(self.facts, mics=chosen)
            self.network = self.build(self.facts)

    def build(self, facts: Facts) -> DINN:
        from wavloc.methods.learned.networks.dinn import DINN

        return DINN(facts.mics, self.options.channels, self.options.recurrent)

    def normalise(self, audio: Tensor) -> Tensor:
        if self.options.scale == "microphone":
            return super().normalise(audio)
        power = audio[:, 1:].square().mean((1, 2), keepdim=True)
        return audio / power.sqrt().clamp(min=1e-8)

    def inputs(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        centre = batch["mics"].new_tensor(self.facts.centre)
        found = {"audio": batch["audio"][:, 1:].nan_to_num(), "mics": batch["mics"] - centre}
        return found | {k: batch[k] for k in ("source",) if k in batch}

    def loss(
        self, inputs: dict[str, Tensor], generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        from torch.nn import functional

        predicted = self.answer(self._subset(inputs, generator))["position"]
        kind = functional.l1_loss if self.options.l1_loss else functional.mse_loss
        return kind(predicted, inputs["source"]), {}

    def validate(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return super().validate(self._subset(inputs, None))

    def _subset(
        self, inputs: dict[str, Tensor], generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Microphones that the model has: a random choice per example, in their order."""
        import torch

        audio, mics = inputs["audio"], inputs["mics"]
        count = audio.shape[1]
        if count == self.facts.mics:
            return inputs
        if generator is None:  # validation: the same choice for the same place in the batch
            generator = torch.Generator(audio.device).manual_seed(len(audio))
        draw = torch.rand(audio.shape[:2], generator=generator, device=audio.device)
        chosen = draw.argsort(1)[:, : self.facts.mics].sort(1).values
        return inputs | {
            "audio": audio.gather(1, chosen[..., None].expand(-1, -1, audio.shape[-1])),
            "mics": mics.gather(1, chosen[..., None].expand(-1, -1, 3)),
        }

    def answer(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        centre = inputs["mics"].new_tensor(self.facts.centre)
        return {"position": self.network(inputs["audio"], inputs["mics"]) + centre}
