"""DI-NN (Grinstein et al. 2023) in 3-D: STFT, convolutions, a recurrent layer, and coordinates."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

FFT, HOP = 1024, 256


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
        # Channels last in memory: one and a half times as fast on a CPU, the same numbers.
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
            rows = slice(gate * size, (gate + 1) * size)
            for name in ("weight_ih_l0", "weight_hh_l0"):
                weight = getattr(gru, name)
                with torch.no_grad():
                    if name == "weight_hh_l0" and gate == 2:
                        nn.init.orthogonal_(weight[rows])
                    else:
                        bound = (3 / weight.shape[1]) ** 0.5
                        nn.init.uniform_(weight[rows], -bound, bound)
        nn.init.zeros_(gru.bias_ih_l0)
        nn.init.zeros_(gru.bias_hh_l0)

    @staticmethod
    def spectrum(audio: Tensor) -> Tensor:
        """Audio (B, M, N) -> real and imaginary parts (B, M, T, 2 bins), without the DC bin."""
        window = torch.ones(FFT, device=audio.device)  # rectangular
        found = torch.stft(
            audio.flatten(0, 1).float(),
            FFT,
            HOP,
            window=window,
            center=True,
            normalized=True,
            return_complex=True,
        )[:, 1:]
        return torch.cat([found.real, found.imag], 1).transpose(1, 2).unflatten(0, audio.shape[:2])

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
