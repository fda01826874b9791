"""The wav2pos network (Berg et al. 2024, Sec. III): a masked autoencoder of audio and positions.

Index 0 is the source, 1 .. M are the microphones. Every signal is one token and every position is
one; what is not known is masked. All tokens stay in place and masked ones are left out of
attention, maxima and statistics, so a frame may miss anything and a batch may mix frames that miss
different things; leaving out a token and never having had it is the same.

Coordinates are normalised by mean and deviation of the training positions, signals to zero mean
and unit deviation.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from wavloc.features.gcc_torch import ordered_pairs
from wavloc.methods.learned.layers import Block, MaskedBatchNorm, masked_max

STD_FLOOR = 1e-8  # constant signals stay finite


class Output(NamedTuple):
    """positions (B, M + 1, 3) normalised; audio (B, M + 1, N) standardised; and, for checks, the
    encoder's and the decoder's tokens (B, 2 M + 2, width), coordinates before audio.
    """

    positions: Tensor
    audio: Tensor
    encoded: Tensor
    decoded: Tensor


def standardise(audio: Tensor) -> Tensor:
    """Zero mean and unit (unbiased) deviation along the last axis."""
    centred = audio - audio.mean(-1, keepdim=True)
    norm = torch.linalg.vector_norm(centred, dim=-1, keepdim=True)  # 10 x faster than std on a CPU
    return centred / (norm / (audio.shape[-1] - 1) ** 0.5).clamp(min=STD_FLOOR)


class CoordinateEmbedding(nn.Module):
    """Positions to tokens; batch statistics over the counted positions."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.first, self.norm1 = nn.Linear(3, hidden), MaskedBatchNorm(hidden)
        self.second, self.norm2 = nn.Linear(hidden, width), MaskedBatchNorm(width)

    def forward(self, positions: Tensor, counted: Tensor) -> Tensor:
        """positions (B, M + 1, 3), counted (B, M + 1) bool -> (B, M + 1, width)."""
        hidden = nn.functional.gelu(self.norm1(self.first(positions), counted))
        return self.norm2(self.second(hidden), counted)


class PositionHead(nn.Module):
    """Token and pooled features to a position."""

    def __init__(self, width: int, hidden: tuple[int, int]):
        super().__init__()
        self.first, self.norm1 = nn.Linear(width, hidden[0]), MaskedBatchNorm(hidden[0])
        self.second, self.norm2 = nn.Linear(hidden[0], hidden[1]), MaskedBatchNorm(hidden[1])
        self.last = nn.Linear(hidden[1], 3)

    def forward(self, tokens: Tensor, counted: Tensor | None = None) -> Tensor:
        """tokens (..., width) -> (..., 3)."""
        hidden = nn.functional.gelu(self.norm1(self.first(tokens), counted))
        return self.last(nn.functional.gelu(self.norm2(self.second(hidden), counted)))


class PairFeatures(nn.Module):
    """Correlation rows and the tokens of both ends of a pair to one vector per frame (q)."""

    def __init__(self, width: int, row: int, hidden: int):
        super().__init__()
        self.width = width
        self.first, self.norm = nn.Linear(2 * width + row, hidden), MaskedBatchNorm(hidden)
        self.second = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor, rows: Tensor, heard: Tensor) -> Tensor:
        """tokens (B, K, width), rows (B, K (K - 1), row), heard (B, K) bool -> (B, width).

        The first layer is linear, so the tokens' share is computed once per token, not per pair.
        """
        i, j = ordered_pairs(tokens.shape[1], tokens.device)
        counted = heard[:, i] & heard[:, j]
        of_i, of_j, of_row = self.first.weight.split(
            [self.width, self.width, self.first.in_features - 2 * self.width], dim=1
        )
        hidden = (tokens @ of_i.T)[:, i] + (tokens @ of_j.T)[:, j]
        hidden = hidden + rows.to(tokens.dtype) @ of_row.T + self.first.bias
        hidden = self.second(nn.functional.gelu(self.norm(hidden, counted)))
        return self.out(masked_max(hidden, counted, dim=1))


class Wav2Pos(nn.Module):
    """Published sizes are the defaults: 9,758,342 parameters with pair features of 629 lags."""

    def __init__(
        self,
        samples: int = 2048,
        width: int = 256,
        encoder_depth: int = 4,
        decoder_depth: int = 4,
        heads: int = 4,
        row: int = 629,
        pairwise_encoding: bool = True,
        max_pooling: bool = True,
        coordinate_hidden: int = 64,
        pair_hidden: int = 512,
        head_hidden: tuple[int, int] = (512, 256),
    ):
        """row: length of a correlation row; 0 = no features of pairs."""
        super().__init__()
        self.pairwise_encoding, self.max_pooling, self.row = pairwise_encoding, max_pooling, row
        self.audio_in, self.audio_out = nn.Linear(samples, width), nn.Linear(width, samples)
        # Has no effect; the published network carries it, and its count includes it.
        self.unused_norm = nn.LayerNorm(samples)
        self.coordinates = CoordinateEmbedding(width, coordinate_hidden)
        self.encoder = nn.ModuleList(Block(width, heads) for _ in range(encoder_depth))
        self.decoder = nn.ModuleList(Block(width, heads) for _ in range(decoder_depth))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.bridge = nn.Linear(width, width)  # encoder to decoder
        self.pool = nn.Linear(width, width)  # before the maximum over tokens
        self.of_audio = nn.Sequential(  # pairwise encoding, audio to coordinate token
            nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(),
            nn.Linear(width, width), nn.LayerNorm(width),
        )  # fmt: skip
        self.of_position = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        for name in (
            "mask_source", "mask_position", "mask_audio",
            "encoder_audio", "encoder_position", "decoder_audio", "decoder_position",
        ):  # fmt: skip
            self.register_parameter(name, nn.Parameter(torch.empty(width)))
        if row:
            self.pairs = PairFeatures(width, row, pair_hidden)
        joined = width * (1 + max_pooling + bool(row))
        self.source_head = PositionHead(joined, head_hidden)
        self.mic_head = PositionHead(joined, head_hidden)
        self._initialise()

    def _initialise(self) -> None:
        """Linear layers N(0, 0.02) and zero bias; the audio embedding as a torch convolution."""
        for module in self.modules():
            if isinstance(module, nn.Linear) and module is not self.audio_in:
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        for parameter in self.parameters(recurse=False):
            nn.init.normal_(parameter, std=0.02)

    def forward(
        self,
        audio: Tensor,
        positions: Tensor,
        audio_known: Tensor,
        position_known: Tensor,
        rows: Tensor | None = None,
        counted: Tensor | None = None,
    ) -> Output:
        """Reconstruct everything from what is known.

        audio (B, M + 1, N) and positions (B, M + 1, 3), arbitrary (also NaN) where not known;
        audio_known, position_known (B, M + 1) bool, the source's position never known; rows:
        correlation rows of ordered pairs, of all M + 1 channels or of the M microphones alone
        (source audio then takes no part in them); counted (B, M + 1): positions that enter batch
        statistics, if others than the known ones.
        """
        known = torch.cat([position_known, audio_known], dim=1)
        count = positions.shape[1]
        counted = position_known if counted is None else counted
        positions = positions.masked_fill(~(counted | position_known)[..., None], 0)
        audio = audio.masked_fill(~audio_known[..., None], 0)
        tokens = torch.cat(
            [
                self.coordinates(positions, counted) + self.encoder_position,
                self.audio_in(standardise(audio)) + self.encoder_audio,
            ],
            dim=1,
        )
        for block in self.encoder:
            tokens = block(tokens, known)
        encoded = self.encoder_norm(tokens)
        bridged = self.bridge(encoded)

        mask = self.mask_position.expand(count - 1, -1)
        mask = torch.cat([self.mask_source[None], mask, self.mask_audio.expand(count, -1)])
        tokens = torch.where(known[..., None], bridged, mask.to(bridged.dtype))
        of_position, of_audio = tokens[:, :count], tokens[:, count:]
        if self.pairwise_encoding:
            tokens = tokens + torch.cat(
                [self.of_audio(of_audio), self.of_position(of_position)], dim=1
            )
        modality = torch.stack([self.decoder_position, self.decoder_audio])
        tokens = tokens + modality.repeat_interleave(count, dim=0)
        for block in self.decoder:
            tokens = block(tokens)
        decoded = self.decoder_norm(tokens)

        joined = [decoded[:, :count]]
        if self.max_pooling:
            pooled = masked_max(self.pool(bridged), known, dim=1)
            joined.append(pooled[:, None].expand(-1, count, -1))
        if self.row:
            first = 0 if rows.shape[1] == count * (count - 1) else 1
            vector = self.pairs(decoded[:, first:count], rows, audio_known[:, first:])
            joined.append(vector[:, None].expand(-1, count, -1))
        features = torch.cat(joined, dim=-1)
        predicted = torch.cat(
            [self.source_head(features[:, :1]), self.mic_head(features[:, 1:])], dim=1
        )
        return Output(predicted, self.audio_out(decoded[:, count:]), encoded, decoded)


def losses(
    output: Output,
    positions: Tensor,
    clean: Tensor,
    audio_known: Tensor,
    position_known: Tensor,
    everywhere: bool = False,
) -> tuple[Tensor, Tensor]:
    """Loss of the audio and of the positions (Sec. III-D, scaled as in the public code).

    positions (B, M + 1, 3) and clean (B, M + 1, N) are the truth, rows that are NaN do not count;
    everywhere: microphone positions count whether masked or not.
    """
    located = torch.zeros_like(position_known) if everywhere else position_known
    audio_loss, source_loss, mic_loss = loss_parts(output, positions, clean, audio_known, located)
    return audio_loss, source_loss + mic_loss


def loss_parts(
    output: Output, positions: Tensor, clean: Tensor, audio_known: Tensor, position_known: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses of the known signals, the source's position and the unknown microphones' positions."""
    heard = audio_known & torch.isfinite(clean).all(-1)
    error = (output.audio - standardise(clean.nan_to_num())).square().mean(-1)
    audio_loss = (error * heard).sum() / heard.sum().clamp(min=1)
    distance = (output.positions - positions.nan_to_num()).square().mean(-1)
    counted = torch.isfinite(positions).all(-1) & ~position_known
    source, mics = counted[:, 0], counted[:, 1:]
    source_loss = (distance[:, 0] * source).sum() / source.sum().clamp(min=1)
    mic_loss = (distance[:, 1:] * mics).sum() / mics.sum().clamp(min=1)
    return audio_loss, source_loss, mic_loss
