"""DI-NN: raw sound and microphone positions through a convolutional recurrent network.

Grinstein et al. 2023, extended to 3-D as in Berg et al. 2024, Sec. IV. One model per number of
microphones; where a model has fewer than the training array, every example uses a random subset.
"""

import dataclasses
from itertools import pairwise
from typing import Any, Literal

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
    optimizer: Literal["adamw", "adam"] = "adam"
    weight_decay: float = 0.0
    schedule: Literal["cosine", "steps", "reference"] = "steps"
    milestones: tuple[float, ...] = (0.15, 0.4)
    mics: int = 0  # microphones of the model; 0 = all of the training array
    channels: tuple[int, ...] = (64, 128, 256, 512)
    recurrent: int = 256
    l1_loss: bool = False  # the public code's loss; the paper's is the square
    # Of the sound: one per frame keeps levels.
    scale: Literal["frame", "microphone"] = "frame"


class DINN(nn.Module):
    """Published sizes are the defaults: 3,573,831 parameters with 11 microphones."""

    def __init__(
        self, mics: int, channels: tuple[int, ...] = (64, 128, 256, 512), recurrent: int = 256
    ):
        super().__init__()
        metadata = 3 * mics
        self.input_norm, self.metadata_norm = nn.BatchNorm2d(mics), nn.BatchNorm1d(1)
        sizes = (mics, *channels)
        first, *others = (_block(a, b) for a, b in pairwise(sizes))
        self.convolutions = nn.Sequential(FirstBlock(*first), *others)
        # This memory layout is 1.5 times as fast on a CPU and gives the same numbers. The ignored
        # error: torch's annotation of this method lacks the argument.
        self.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
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
        size = self.recurrent.hidden_size
        weights = dict(self.recurrent.named_parameters())
        for gate in range(3):  # of the forward direction; the backward one keeps torch's default
            for name in ("weight_ih_l0", "weight_hh_l0"):
                part = weights[name].detach()[gate * size : (gate + 1) * size]
                if name == "weight_hh_l0" and gate == 2:
                    nn.init.orthogonal_(part)
                else:
                    bound = (3 / part.shape[1]) ** 0.5
                    nn.init.uniform_(part, -bound, bound)
        for name in ("bias_ih_l0", "bias_hh_l0"):
            nn.init.zeros_(weights[name])

    @staticmethod
    def spectrum(audio: Tensor) -> Tensor:
        """Audio (B, M, N) -> real and imaginary parts (B, M, T, 2 bins), without the DC bin."""
        window = torch.ones(FFT, device=audio.device)  # rectangular
        sound = audio.flatten(0, 1).float()
        bins = torch.stft(sound, FFT, HOP, window=window, normalized=True, return_complex=True)
        bins = bins[:, 1:]
        return torch.cat([bins.real, bins.imag], 1).transpose(1, 2).unflatten(0, audio.shape[:2])

    def forward(self, audio: Tensor, positions: Tensor) -> Tensor:
        """audio (B, M, N), microphone positions (B, M, 3) -> source position (B, 3)."""
        hidden = self.convolutions[0](self.spectrum(audio), self.input_norm)
        for block in list(self.convolutions)[1:]:
            hidden = block(hidden)
        hidden = hidden.mean(-1)
        hidden = self.recurrent(hidden.transpose(1, 2))[0].mean(1)
        metadata = self.metadata_norm(positions.flatten(1)[:, None])[:, 0]
        return self.fusion(torch.cat([hidden, self.metadata(metadata)], dim=1))


class FirstBlock(nn.Sequential):
    """A block with the normalisation of its input in its first convolution.

    Both are linear: the convolution takes the gains into its kernel, and the shifts pass it once
    for a whole batch. So nothing of the size of the input is computed or needs a gradient.
    """

    def forward(self, spectrum: Tensor, norm: Any) -> Tensor:  # type: ignore[override]
        """spectrum (B, M, T, 2 bins) from `DINN.spectrum`; norm: its `nn.BatchNorm2d`."""
        conv: Any = self[0]
        mean, variance = norm.running_mean, norm.running_var
        if self.training:
            with torch.no_grad():
                values = spectrum.transpose(2, 3).flatten(2)  # a view
                count = values.numel() // values.shape[1]
                mean = values.sum((0, 2)) / count
                norms = torch.linalg.vector_norm(values, dim=2)
                variance = (norms.square().sum(0) / count - mean.square()).clamp(min=0)
                norm.running_mean.lerp_(mean, norm.momentum)
                norm.running_var.lerp_(variance * count / (count - 1), norm.momentum)
                norm.num_batches_tracked += 1
        gain = (norm.weight * torch.rsqrt(variance + norm.eps))[:, None, None]
        shift = norm.bias[:, None, None] - mean[:, None, None] * gain
        spectrum = spectrum.contiguous(memory_format=torch.channels_last)
        shift = shift.expand(1, *spectrum.shape[1:])
        hidden = functional.conv2d(spectrum, conv.weight * gain, padding=conv.padding)
        hidden = hidden + functional.conv2d(shift, conv.weight, padding=conv.padding)
        for layer in list(self)[1:]:
            hidden = layer(hidden)
        return hidden


def _block(inputs: int, outputs: int) -> nn.Sequential:
    def rectifier() -> nn.ReLU:
        return nn.ReLU(inplace=True)  # nothing else asks for what it is given

    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 2, padding=1, bias=False), nn.BatchNorm2d(outputs), rectifier(),
        nn.Conv2d(outputs, outputs, 2, padding=1, bias=False), nn.BatchNorm2d(outputs), rectifier(),
        nn.AvgPool2d(2),
    )  # fmt: skip


class Method(LearnedMethod[DINN]):
    """Short-time spectra inside the network; positions relative to the mean training source."""

    setups = ("1a", "1b")
    Options = Options

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        if self.options.mics not in (0, self.stats.mics):
            self.stats = dataclasses.replace(self.stats, mics=self.options.mics)
            self.network = self.build(self.stats)

    def build(self, stats: DataStats) -> DINN:
        return DINN(stats.mics, self.options.channels, self.options.recurrent)

    def normalise(self, audio: Tensor) -> Tensor:
        if self.options.scale == "microphone":
            return super().normalise(audio)
        squares = audio[:, 1:].square()
        power = squares.mean((1, 2), keepdim=True)
        # The mean of what is heard, where a microphone has no sound.
        power = torch.where(power.isnan(), squares.nanmean((1, 2), keepdim=True), power)
        return audio / power.sqrt().clamp(min=1e-8)

    def inputs(self, batch: Batch) -> Batch:
        mics = batch["mics"] - batch["mics"].new_tensor(self.stats.position_mean)
        return batch | {"audio": batch["audio"][:, 1:].nan_to_num(), "mics": mics}

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
        count = frames.n_mics if setup.subset is None else setup.subset.shape[1]
        if not reason and self.trained and count != self.stats.mics:
            return f"{self.name} was trained for {self.stats.mics} microphones, got {count}"
        return reason
