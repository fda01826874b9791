"""Microphone-fault-tolerant localization (Yang et al. 2025): frozen encoder, coherent pairs, masks.

Builds on wav2pos: the same masks, normalisation and pretrained NGCC-PHAT. The paper names BEATs as
the encoder; its checkpoint is taken where a path is given (`encoder_file`), else an encoder whose
weights lie in a pip package. Which one it was stands in the model folder and in the tables.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wavloc.errors import InputError
from wavloc.frames import Frames
from wavloc.methods.learned import wav2pos
from wavloc.methods.learned.base import Facts, Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from wavloc.methods.learned.encoders.encoders import Encoder
    from wavloc.methods.learned.networks.fault_tolerant import FaultTolerant


@dataclasses.dataclass(frozen=True)
class Options(Recipe):
    """Our choices where the paper is silent: sizes and recipe as in wav2pos."""

    width: int = 256
    encoder_depth: int = 4
    decoder_depth: int = 4
    heads: int = 4
    pair_hidden: int = 512
    head_hidden: tuple[int, int] = (512, 256)
    encoder: str = "auto"  # auto (beats where a file is given, else aisfx), beats, aisfx, ...
    encoder_file: str = ""  # checkpoint of the encoder; empty = out of its pip package
    encoder_trained: bool = False  # with the rest, not frozen
    features: str = "ngcc"  # of pairs: ngcc or gcc
    coherence: str = "adaptive"  # or magnitude_squared, phase, none
    alpha: float = 1.0  # power of the coherence; 0 = all pairs alike
    alpha_learned: bool = False
    share: float = 0.3  # of pairs that are kept (top-T); 1 = dense attention
    keep: str = "query"  # by each query its largest weights, or by the frame the most coherent
    masking: str = "random"  # or none (setup 1a)
    mask_most: int = 3  # microphones that lose position or signal, each
    mask_shared: int = 5  # microphones that keep both
    mask_source: float = 0.5  # probability that the signal of the source is known
    unlabelled: float = 0.0  # share of training frames whose source position is not shown
    max_lag: int = 0  # samples; 0 = what the training array allows
    audio_weight: float = 0.1  # of the reconstruction of signals
    mic_weight: float = 1.0  # of the positions of masked microphones
    source_weight: float = 1.0  # of the position of the source


class Method(wav2pos.Method):
    """Tokens of signals, positions and pairs; sparse attention to coherent pairs; masks."""

    label = "Fault-tolerant"
    reference = "Yang et al. 2025"
    min_mics = 2
    Options = Options

    def __init__(self, options: Mapping[str, Any] | None = None, name: str = "", seed: int = 0):
        from wavloc.features.coherence import KINDS
        from wavloc.methods.learned.encoders import encoders

        super().__init__(options, name, seed)
        self.check_choice("features", ("ngcc", "gcc"))
        self.check_choice("masking", ("none", "random"))
        self.check_choice("coherence", KINDS)
        self.check_choice("keep", ("query", "frame"))
        self.check_choice("encoder", encoders.KINDS)
        for key, low, high in (("share", 1e-6, 1), ("alpha", 0, 4), ("unlabelled", 0, 0.99)):
            if not low <= getattr(self.options, key) <= high:
                raise InputError(
                    f"methods.{self.name}.options.{key}: {getattr(self.options, key)}, "
                    f"expected a number from {low:g} to {high:g}"
                )
        if self.options.keep == "frame" and self.options.coherence == "none":
            raise InputError(
                f"methods.{self.name}.options.coherence: 'none', expected a metric to choose the "
                "pairs of a frame by (keep: frame)"
            )
        self.encoder: Encoder | None = None

    # ----------------------------------------------------------------- network

    @property
    def inputs_note(self) -> str:
        """With the encoder by name."""
        from wavloc.methods.learned.encoders.encoders import NAMES

        rows = {"ngcc": "NGCC-PHAT", "gcc": "GCC-PHAT"}[self.options.features]
        trained = ", trained" * self.options.encoder_trained
        return f"raw audio ({NAMES[self.encoder.kind]}{trained}), {rows}, coordinates"

    def prepare(self, train: Frames) -> None:
        from wavloc import seeds
        from wavloc.methods.learned.encoders import encoders

        if self.encoder is None:
            seed = int(seeds.sequence(self.seed, self.name, "encoder").generate_state(1)[0])
            options = self.options
            self.encoder = encoders.load(options.encoder, options.encoder_file, self.cache, seed)
        super().prepare(train)

    def build(self, facts: Facts) -> FaultTolerant:
        from wavloc.methods.learned.networks.fault_tolerant import FaultTolerant

        network = FaultTolerant(self.encoder.dim, **self.network_sizes(facts))
        if self.options.encoder_trained:  # of the network: its optimizer and its best epoch
            network.acoustic = self.encoder.thaw()
        return network

    def network_sizes(self, facts: Facts) -> dict[str, Any]:
        """What the network is made with, besides the size of an embedding."""
        chosen = (
            *("width", "encoder_depth", "decoder_depth", "heads", "pair_hidden", "head_hidden"),
            *("share", "keep", "alpha", "alpha_learned"),
        )
        sizes = {name: getattr(self.options, name) for name in chosen}
        return sizes | {"samples": facts.samples, "row": 2 * facts.max_lag + 1}

    def parts(self) -> dict[str, nn.Module]:
        apart = self.encoder is not None and not self.options.encoder_trained
        return super().parts() | ({"encoder": self.encoder} if apart else {})

    def sizes(self) -> dict[str, Any]:
        return super().sizes() | {"encoder": self.encoder.sizes}

    def restore(self, weights: Mapping[str, Tensor], sizes: Mapping[str, Any], where: str) -> None:
        from wavloc.methods.learned.encoders.encoders import Encoder

        if "encoder" not in sizes:
            raise InputError(f"{where}: the model folder does not say which encoder it used")
        self.encoder = Encoder(**sizes["encoder"])
        super().restore(weights, sizes, where)

    # ----------------------------------------------------------------- data

    def tensors(self, frames: Frames) -> dict[str, Tensor]:
        """Also ``labelled`` (F,): frames whose source position may be shown in training."""
        import torch

        from wavloc import seeds

        draw = seeds.rng(self.seed, self.name, "labelled").random(len(frames))
        labelled = torch.from_numpy(draw >= self.options.unlabelled)
        return super().tensors(frames) | {"labelled": labelled}

    def features(self, audio: Tensor) -> dict[str, Tensor]:
        """Correlation rows, coherence of pairs, embeddings of signals by a frozen encoder."""
        from wavloc.features.coherence import coherence, delays

        rows = super().features(audio)["rows"]
        sound, first = self.heard(audio)
        agreement = coherence(sound, delays(rows), self.options.coherence, self.facts.sample_rate)
        found = {"rows": rows, "agreement": agreement}
        if self.options.encoder_trained:  # in every step, see `reconstruct`
            return found
        return found | {"embedding": self.embedded(sound, first)}

    def embedded(self, sound: Tensor, first: int) -> Tensor:
        """Embeddings (B, 1 + M, dim) of signals from the ``first`` on; zeros before."""
        from torch.nn import functional

        return functional.pad(self.encoder(sound), (0, 0, first, 0))

    def inputs(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        found = super().inputs(batch)
        return found | {k: batch[k] for k in ("agreement", "embedding", "labelled") if k in batch}

    # ----------------------------------------------------------------- training and answer

    def reconstruct(
        self, inputs: dict[str, Tensor], audio_known: Tensor, position_known: Tensor, **more: Any
    ) -> Any:
        return self.network(
            self.embedding_of(inputs),
            inputs["positions"],
            audio_known,
            position_known,
            inputs["rows"],
            inputs["agreement"],
        )

    def embedding_of(self, inputs: dict[str, Tensor]) -> Tensor:
        """Embeddings (B, 1 + M, dim), made here where the encoder is trained."""
        if "embedding" in inputs:
            return inputs["embedding"]
        first = 0 if bool(inputs["heard"][:, 0].any()) else 1
        return self.embedded(inputs["audio"][:, first:], first)

    def loss(
        self, inputs: dict[str, Tensor], generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        from wavloc.methods.learned.networks.wav2pos import loss_parts

        options, truth = self.options, inputs["positions"]
        located = torch.isfinite(truth).all(-1)
        position_known, audio_known = self._masks(inputs["heard"], located, generator)
        output = self.reconstruct(inputs, audio_known, position_known)
        if generator is not None and options.unlabelled:  # semi-supervised: nothing to compare
            truth = truth.clone()
            truth[~inputs["labelled"], 0] = float("nan")
        sound, source, mics = loss_parts(
            output, truth, inputs["clean"], audio_known, position_known
        )
        loss = (
            options.audio_weight * sound
            + options.source_weight * source
            + options.mic_weight * mics
        )
        parts = {"loss_audio": sound, "loss_source": source, "loss_mics": mics}
        return loss, {name: value.detach() for name, value in parts.items()}

    def answer(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Positions as wav2pos, and how far each microphone can be relied on."""
        from wavloc.features.coherence import delays
        from wavloc.features.gcc_torch import pair_index
        from wavloc.features.reliability import reliability

        found = super().answer(inputs)
        heard, delay, agreement = inputs["heard"], delays(inputs["rows"]), inputs["agreement"]
        if delay.shape[1] == heard.shape[1] * (heard.shape[1] - 1) // 2:  # with the source's pairs
            of_mics = pair_index(heard.shape[1], heard.device)[0] > 0
            delay, agreement = delay[:, of_mics], agreement[:, of_mics]
        found["reliability"] = reliability(
            delay,
            agreement.float(),
            found["position"],
            found["mic_positions"],
            heard[:, 1:],
            self.facts.sample_rate / self.facts.speed_of_sound,
        )
        return found
