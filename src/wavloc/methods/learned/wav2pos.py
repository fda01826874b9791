"""wav2pos (Berg et al. 2024): a masked autoencoder of signals and positions, with delay features.

Every row of the paper's ablation (Table IV) is a choice of `Options`. In setups 2 the positions of
the microphones that are not known are predicted as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavloc.errors import InputError
from wavloc.frames import Frames
from wavloc.methods.learned.base import Facts, LearnedMethod, Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from wavloc.methods.learned.networks.wav2pos import Wav2Pos
    from wavloc.methods.learned.ngcc_phat import NGCC


@dataclasses.dataclass(frozen=True)
class Options(Recipe):
    """Published sizes, switches and recipe."""

    width: int = 256
    encoder_depth: int = 4
    decoder_depth: int = 4
    heads: int = 4
    coordinate_hidden: int = 64
    pair_hidden: int = 512
    head_hidden: tuple[int, int] = (512, 256)
    pairwise_encoding: bool = True
    max_pooling: bool = True
    features: str = "ngcc"  # of pairs: ngcc, gcc or none
    masking: str = "none"  # none (setup 1a), random (paper) or reference (public code)
    mask_most: int = 3  # microphones that lose position or signal, each; 3 of 11 in the paper
    mask_shared: int = 5  # microphones that keep both
    mask_source: float = 0.5  # probability that the signal of the source is known
    max_lag: int = 0  # samples; 0 = what the training array allows (314 for LuViRA)
    audio_weight: float = 0.1  # of the reconstruction of signals
    loss_everywhere: bool = False  # known microphones' positions count too
    truth_in_statistics: bool = False  # batch statistics see masked positions, as public code


class Method(LearnedMethod):
    """Tokens of signals and positions; NGCC-PHAT features of all pairs; masks for the unknown."""

    label = "wav2pos"
    reference = "Berg et al. 2024 (wav2pos)"
    input_types = "raw audio, NGCC-PHAT, coordinates"
    reconstructs = True
    Options = Options

    def __init__(self, options: Mapping[str, Any] | None = None, name: str = "", seed: int = 0):
        super().__init__(options, name, seed)
        self.check_choice("features", ("ngcc", "gcc", "none"))
        self.check_choice("masking", ("none", "random", "reference"))
        self.ngcc: NGCC | None = None

    # ----------------------------------------------------------------- network

    @property
    def pretrained(self) -> bool:
        return self.options.features == "ngcc"

    def begin_with(self, folder: str | Path) -> None:
        """Take NGCC-PHAT from a model that `multilat_ngcc` trained."""
        if not self.pretrained:
            super().begin_with(folder)
        from wavloc.methods.learned.multilat_ngcc import Method as Pretrained

        self.ngcc = Pretrained.load(folder).network.requires_grad_(False)

    def start_from(self, folder: str | Path) -> None:
        """As the base; the model brings the NGCC-PHAT that its weights were trained with."""
        super().start_from(folder)
        self.ngcc = self.start.ngcc

    def lag(self, train: Frames) -> int:
        """As the base; a network that starts from a model is as wide as that model's lags.

        Where they do not reach as far as the array, the option has to say that it is meant so.
        """
        own = super().lag(train)
        if not self.start or self.options.features == "none":
            return own
        started = self.start.facts.max_lag
        if own > started or self.options.max_lag not in (0, started):
            raise InputError(
                f"methods.{self.name}.options.max_lag: {own}, as "
                f"{'stated' if self.options.max_lag else 'the microphones allow'}, but the model "
                f"{self.training_note['start']} has {started}; expected microphones that allow no "
                f"more, or max_lag: {started} (longer delays are then cut off)"
            )
        return started

    def prepare(self, train: Frames) -> None:
        if self.pretrained and self.ngcc is None:
            raise InputError(
                f"method '{self.name}' needs a trained NGCC-PHAT; give --pretrained FOLDER"
            )
        super().prepare(train)

    def build(self, facts: Facts) -> Wav2Pos:
        from wavloc.methods.learned.networks.wav2pos import Wav2Pos

        options = self.options
        return Wav2Pos(
            samples=facts.samples,
            width=options.width,
            encoder_depth=options.encoder_depth,
            decoder_depth=options.decoder_depth,
            heads=options.heads,
            row=0 if options.features == "none" else 2 * facts.max_lag + 1,
            pairwise_encoding=options.pairwise_encoding,
            max_pooling=options.max_pooling,
            coordinate_hidden=options.coordinate_hidden,
            pair_hidden=options.pair_hidden,
            head_hidden=options.head_hidden,
        )

    def parts(self) -> dict[str, nn.Module]:
        return super().parts() | ({"ngcc": self.ngcc} if self.ngcc is not None else {})

    def sizes(self) -> dict[str, Any]:
        return {"ngcc": self.ngcc.sizes} if self.ngcc is not None else {}

    def restore(self, weights: Mapping[str, Tensor], sizes: Mapping[str, Any], where: str) -> None:
        from wavloc.methods.learned.ngcc_phat import NGCC

        if "ngcc" in sizes:
            self.ngcc = NGCC(**sizes["ngcc"]).requires_grad_(False)
        super().restore(weights, sizes, where)

    # ----------------------------------------------------------------- data

    def shown(self, audio: Tensor) -> Tensor:
        """The signal of the source is taken away where no mask would ever show it."""
        if self.options.masking == "none" or not self.options.mask_source:
            audio[:, 0] = float("nan")
        return audio

    def features(self, audio: Tensor) -> dict[str, Tensor]:
        from wavloc.features.gcc_torch import gcc_features

        if self.options.features == "none":
            return {}
        sound, _ = self.heard(audio)
        if self.options.features == "gcc":
            return {"rows": gcc_features(sound, self.facts.max_lag)}
        return {"rows": self.ngcc.eval().all_pairs(sound, self.facts.max_lag)}

    def heard(self, audio: Tensor) -> tuple[Tensor, int]:
        """Signals with zeros for unknown ones, without the source's where no frame has it, and the
        index of the first: its pairs cost a sixth of all.
        """
        import torch

        known = torch.isfinite(audio).all(-1)
        first = 0 if bool(known[:, 0].any()) else 1
        return audio.masked_fill(~known[..., None], 0)[:, first:], first

    def inputs(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        import torch

        audio, mics = batch["audio"], batch["mics"]
        heard = torch.isfinite(audio).all(-1)
        source = batch.get("source", torch.full_like(mics[:, 0], float("nan")))
        centre, spread = self._scale(mics)
        found = {
            "audio": audio.masked_fill(~heard[..., None], 0),
            "heard": heard,
            "positions": (torch.cat([source[:, None], mics], dim=1) - centre) / spread,
        }
        return found | {k: batch[k] for k in ("rows", "source", "clean") if k in batch}

    def _scale(self, like: Tensor) -> tuple[Tensor, Tensor]:
        return like.new_tensor(self.facts.centre), like.new_tensor(self.facts.spread)

    def _masks(
        self, heard: Tensor, located: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Known positions and known signals (B, M + 1) of a training or validation batch."""
        from wavloc.methods.learned import masking

        options, count, mics = self.options, len(heard), heard.shape[1] - 1
        if generator is None or options.masking == "none":
            masks = masking.nothing_masked(count, mics, heard.device)
        elif options.masking == "random":
            masks = masking.paper(
                count, mics, options.mask_most, options.mask_shared, options.mask_source, generator
            )
        else:
            fewest = mics - options.mask_most
            masks = masking.reference(count, mics, fewest, options.mask_source, generator)
        return masks[0] & located, masks[1] & heard

    # ----------------------------------------------------------------- training and answer

    def reconstruct(
        self, inputs: dict[str, Tensor], audio_known: Tensor, position_known: Tensor, **more: Any
    ) -> Any:
        """The network's output where only some signals and positions (B, M + 1) are known."""
        return self.network(
            inputs["audio"],
            inputs["positions"],
            audio_known,
            position_known,
            inputs.get("rows"),
            **more,
        )

    def loss(
        self, inputs: dict[str, Tensor], generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        from wavloc.methods.learned.networks.wav2pos import losses

        located = torch.isfinite(inputs["positions"]).all(-1)
        position_known, audio_known = self._masks(inputs["heard"], located, generator)
        output = self.reconstruct(
            inputs,
            audio_known,
            position_known,
            counted=located if self.options.truth_in_statistics else None,
        )
        sound, place = losses(
            output,
            inputs["positions"],
            inputs["clean"],
            audio_known,
            position_known,
            self.options.loss_everywhere,
        )
        loss = self.options.audio_weight * sound + place
        return loss, {"loss_audio": sound.detach(), "loss_positions": place.detach()}

    def answer(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        import torch

        known = torch.isfinite(inputs["positions"]).all(-1)
        known[:, 0] = False  # never shown, not even where the truth is at hand
        output = self.reconstruct(inputs, inputs["heard"], known)
        centre, spread = self._scale(inputs["positions"])
        places = output.positions * spread + centre
        given = inputs["positions"][:, 1:] * spread + centre
        mics = torch.where(known[:, 1:, None], given, places[:, 1:])
        found = {"position": places[:, 0], "mic_positions": mics}
        return found | ({"audio": output.audio} if self.keep_audio else {})
