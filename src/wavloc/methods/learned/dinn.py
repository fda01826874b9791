"""DI-NN: raw sound and microphone positions through a convolutional recurrent network.

Grinstein et al. 2023, extended to 3-D as in Berg et al. 2024, Sec. IV. One model per number of
microphones; where a model has fewer than the training array, every example uses a random subset.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavloc.frames import Frames
from wavloc.methods.learned.base import Batch, DataStats, LearnedMethod
from wavloc.setups import Setup
from wavloc.training.recipe import Recipe

FFT, HOP = 1024, 256


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


class DINN(nn.Module):
    """Published sizes are the defaults: 3,573,831 parameters with 11 microphones."""

    def __init__(
        self,
        mics: int,
        channels: tuple[int, ...] = (64, 128, 256, 512),
        recurrent: int = 256,
    ):
        super().__init__()
        metadata = 3 * mics
        self.input_norm, self.metadata_norm = nn.BatchNorm2d(mics), nn.BatchNorm1d(1)
        sizes = (mics, *channels)
        self.convolutions = nn.Sequential(*(_block(a, b) for a, b in pairwise(sizes)))
        # This memory layout is 1.5 times as fast on a CPU and gives the same numbers.
        self.convolutions.to(memory_format=torch.channels_last)
        self.recurrent = nn.GRU(channels[-1], recurrent, bidirectional=True, batch_first=True)
        self.metadata = nn.Sequential(
            nn.Linear(metadata, 2 * metadata), nn.ReLU(), nn.Linear(2 * metadata, metadata)
        )
        joined = 2 * recurrent + metadata
        self.fusion = nn.Sequential(nn.Linear(joined, joined), nn.ReLU(), nn.Linear(joined, 3))
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="leaky_relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)
        gru, size = self.recurrent, self.recurrent.hidden_size
        for gate in range(3):  # of the forward direction; the backward one keeps torch's default
            part = slice(gate * size, (gate + 1) * size)
            for name in ("weight_ih_l0", "weight_hh_l0"):
                weight = getattr(gru, name)
                with torch.no_grad():
                    if name == "weight_hh_l0" and gate == 2:
                        nn.init.orthogonal_(weight[part])
                    else:
                        bound = (3 / weight.shape[1]) ** 0.5
                        nn.init.uniform_(weight[part], -bound, bound)
        nn.init.zeros_(gru.bias_ih_l0)
        nn.init.zeros_(gru.bias_hh_l0)

    @staticmethod
    def spectrum(audio: Tensor) -> Tensor:
        """Audio (B, M, N) -> real and imaginary parts (B, M, T, 2 bins), without the DC bin."""
        window = torch.ones(FFT, device=audio.device)  # rectangular
        bins = torch.stft(
            audio.flatten(0, 1).float(),
            FFT,
            HOP,
            window=window,
            center=True,
            normalized=True,
            return_complex=True,
        )[:, 1:]
        return torch.cat([bins.real, bins.imag], 1).transpose(1, 2).unflatten(0, audio.shape[:2])

    def forward(self, audio: Tensor, positions: Tensor) -> Tensor:
        """audio (B, M, N), microphone positions (B, M, 3) -> source position (B, 3)."""
        spectrum = self.spectrum(audio).contiguous(memory_format=torch.channels_last)
        hidden = self.convolutions(self.input_norm(spectrum)).mean(-1)
        hidden = self.recurrent(hidden.transpose(1, 2))[0].mean(1)
        metadata = self.metadata_norm(positions.flatten(1)[:, None])[:, 0]
        return self.fusion(torch.cat([hidden, self.metadata(metadata)], dim=1))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in (inputs, outputs):
        layers += [
            nn.Conv2d(size, outputs, 2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AvgPool2d(2))


class Method(LearnedMethod[DINN]):
    """Short-time spectra inside the network; positions relative to the mean training source."""

    label = "DI-NN"
    reference = "Grinstein et al. 2023"
    input_types = "raw audio, coordinates"
    permutation_invariant = False
    variable_mics = False
    setups = ("1a", "1b")
    Options = Options

    def set_up(self) -> None:
        self.check_choice("scale", ("frame", "microphone"))

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        chosen = self.options.mics or self.stats.mics
        if chosen != self.stats.mics:
            self.stats = dataclasses.replace(self.stats, mics=chosen)
            self.network = self.build(self.stats)

    def build(self, stats: DataStats) -> DINN:
        return DINN(stats.mics, self.options.channels, self.options.recurrent)

    def normalise(self, audio: Tensor) -> Tensor:
        if self.options.scale == "microphone":
            return super().normalise(audio)
        power = audio[:, 1:].square().mean((1, 2), keepdim=True)
        return audio / power.sqrt().clamp(min=1e-8)

    def inputs(self, batch: Batch) -> Batch:
        mics = batch["mics"] - batch["mics"].new_tensor(self.stats.position_mean)
        given = {key: batch[key] for key in ("source",) if key in batch}
        return given | {"audio": batch["audio"][:, 1:].nan_to_num(), "mics": mics}

    def loss(self, inputs: Batch, generator: torch.Generator | None) -> tuple[Tensor, Batch]:
        position = self.estimate_batch(self._subset(inputs, generator))["position"]
        error = functional.l1_loss if self.options.l1_loss else functional.mse_loss
        return error(position, inputs["source"]), {}

    def validate(self, inputs: Batch) -> Batch:
        return super().validate(self._subset(inputs, None))

    def _subset(self, inputs: Batch, generator: torch.Generator | None) -> Batch:
        """As many microphones as the model has: a random choice per example, in their order."""
        audio, mics = inputs["audio"], inputs["mics"]
        if audio.shape[1] == self.stats.mics:
            return inputs
        if generator is None:  # validation: the same choice for the same place in the batch
            generator = torch.Generator(audio.device).manual_seed(len(audio))
        draw = torch.rand(audio.shape[:2], generator=generator, device=audio.device)
        chosen = draw.argsort(1)[:, : self.stats.mics].sort(1).values
        return inputs | {
            "audio": audio.gather(1, chosen[..., None].expand(-1, -1, audio.shape[-1])),
            "mics": mics.gather(1, chosen[..., None].expand(-1, -1, 3)),
        }

    def estimate_batch(self, inputs: Batch) -> Batch:
        offset = self.network(inputs["audio"], inputs["mics"])
        return {"position": offset + inputs["mics"].new_tensor(self.stats.position_mean)}

    def refusal(self, frames: Frames, setup: Setup) -> str | None:
        """Another number of microphones than the model has."""
        reason = super().refusal(frames, setup)
        if reason or self._stats is None:
            return reason
        count = frames.n_mics if setup.subset is None else setup.subset.shape[1]
        if count != self.stats.mics:
            return f"{self.name} was trained for {self.stats.mics} microphones, got {count}"
        return None
