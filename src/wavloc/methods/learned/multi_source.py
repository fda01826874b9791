"""The fault-tolerant network for several sources at once (preliminary in Yang et al. 2025).

One learned query per source that there may be, each answering with a position and with how certain
it is that it stands for a source; the loss is that of the best assignment of queries to sources.
The paper gives no details: see docs/deviations.md.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from wavloc import seeds
from wavloc.errors import InputError
from wavloc.frames import Frames, concatenate
from wavloc.methods.learned import fault_tolerant
from wavloc.methods.learned.base import Facts
from wavloc.simulation import mixtures

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from wavloc.methods.learned.networks.fault_tolerant import Output


@dataclasses.dataclass(frozen=True)
class Options(fault_tolerant.Options):
    """As the fault-tolerant method; `mask_source` means nothing, no source's signal is known."""

    sources: int = 3  # queries: the most that can be answered
    mixtures: int = 1  # made of each training frame, with 1 to ``sources`` sources
    presence_weight: float = 1.0


class Method(fault_tolerant.Method):
    """Source queries, matched to the sources by the smallest loss."""

    label = "Fault-tolerant, several"
    setups = ("1a", "2a")
    Options = Options

    def __init__(self, options: dict[str, Any] | None = None, name: str = "", seed: int = 0):
        super().__init__(options, name, seed)
        for key, known in (("sources", (2, 3)), ("fresh", (False,))):
            if getattr(self.options, key) not in known:
                raise InputError(
                    f"methods.{self.name}.options.{key}: {getattr(self.options, key)}, expected "
                    f"{' or '.join(map(str, known))} where there are several sources"
                )

    def network_sizes(self, facts: Facts) -> dict[str, Any]:
        return super().network_sizes(facts) | {"sources": self.options.sources}

    # ----------------------------------------------------------------- data

    def fit(self, train: Frames, valid: Frames, run: Any) -> None:
        """As the base, on mixtures; the frames for validation are mixed among themselves."""
        super().fit(
            concatenate([self.mixture(train, f"train {k}") for k in range(self.options.mixtures)]),
            self.mixture(valid, "valid"),
            run,
        )

    def mixture(self, frames: Frames, what: str) -> Frames:
        """Each frame with 1 to ``sources`` sources, as many of each number."""
        rng = seeds.rng(self.seed, self.name, "counts", what)
        counts = rng.permutation(np.arange(len(frames)) % self.options.sources) + 1
        return mixtures.mixed(frames, frames, counts, self.seed, f"{self.name} {what}")

    def shown(self, audio: Tensor) -> Tensor:
        audio[:, 0] = float("nan")
        return audio

    def tensors(self, frames: Frames) -> dict[str, Tensor]:
        """Also ``sources`` (F, K, 3), all positions in metres, NaN where there are fewer."""
        import torch

        places = mixtures.positions(frames)
        lacking = self.options.sources - places.shape[1]
        places = np.pad(places, ((0, 0), (0, lacking), (0, 0)), constant_values=np.nan)
        return super().tensors(frames) | {"sources": torch.from_numpy(places.astype(np.float32))}

    def inputs(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        found = super().inputs(batch)
        return found | ({"sources": batch["sources"]} if "sources" in batch else {})

    # ----------------------------------------------------------------- training and answer

    def reconstruct(
        self, inputs: dict[str, Tensor], audio_known: Tensor, position_known: Tensor, **more: Any
    ) -> Output:
        """The base's output with a row for each source instead of one; no source is known."""
        import torch

        count = self.options.sources

        def repeated(values: Tensor) -> Tensor:
            return torch.cat([values[:, :1].repeat_interleave(count, dim=1), values[:, 1:]], dim=1)

        rows = {
            "embedding": repeated(self.embedding_of(inputs)),
            "positions": repeated(inputs["positions"]),
        }
        known = [repeated(part) for part in (audio_known, position_known)]
        for part in known:
            part[:, :count] = False
        return super().reconstruct(inputs | rows, *known, **more)

    def loss(
        self, inputs: dict[str, Tensor], generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        from wavloc.methods.learned.networks.fault_tolerant import matched_loss
        from wavloc.methods.learned.networks.wav2pos import loss_parts

        options, count = self.options, self.options.sources
        located = torch.isfinite(inputs["positions"]).all(-1)
        position_known, audio_known = self._masks(inputs["heard"], located, generator)
        output = self.reconstruct(inputs, audio_known, position_known)
        centre, spread = self._scale(inputs["positions"])
        matched = matched_loss(
            output.positions[:, :count],
            output.presence,
            (inputs["sources"] - centre) / spread,
            options.source_weight,
            options.presence_weight,
        )
        shown = inputs["labelled"] | (generator is None)
        place, presence = ((part * shown).sum() / shown.sum().clamp(min=1) for part in matched)
        positions = inputs["positions"].clone()
        positions[:, 0] = float("nan")  # the sources have been counted
        last = output._replace(
            positions=output.positions[:, count - 1 :], audio=output.audio[:, count - 1 :]
        )
        sound, _, mics = loss_parts(last, positions, inputs["clean"], audio_known, position_known)
        loss = place + presence + options.audio_weight * sound + options.mic_weight * mics
        parts = {"loss_audio": sound, "loss_source": place, "loss_mics": mics}
        parts["loss_presence"] = presence
        return loss, {name: value.detach() for name, value in parts.items()}

    def validate(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The criterion is the error per source under the best assignment, in metres."""
        import torch

        from wavloc.methods.learned.networks.fault_tolerant import assignments

        truth = inputs["sources"]
        there = torch.isfinite(truth).all(-1)
        apart = self.answer(inputs)["positions"][:, :, None] - truth.nan_to_num()[:, None]
        apart = apart.norm(dim=-1).clamp(max=3.0) * there[:, None]
        error = (assignments(apart).amin(-1) / there.sum(-1)).mean()
        loss, parts = self.loss(inputs, None)
        return {"criterion": error, "mae_m": error, "loss": loss, **parts}

    def answer(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """All sources, most certain first: ``positions`` (B, K, 3) and ``certainty`` (B, K)."""
        import torch

        count = self.options.sources
        known = torch.isfinite(inputs["positions"]).all(-1)
        output = self.reconstruct(inputs, inputs["heard"], known)
        centre, spread = self._scale(inputs["positions"])
        places = output.positions * spread + centre
        certainty, order = output.presence.float().sigmoid().sort(dim=1, descending=True)
        sources = places[:, :count].gather(1, order[..., None].expand(-1, -1, 3))
        given = inputs["positions"][:, 1:] * spread + centre
        return {
            "position": sources[:, 0],
            "positions": sources,
            "certainty": certainty,
            "mic_positions": torch.where(known[:, 1:, None], given, places[:, count:]),
        }
