"""wav2pos (Berg et al. 2024): a masked autoencoder of signals and positions, with delay features.

Every row of the paper's ablation (Table IV) is a choice of `Options`. In setups 2 unknown positions
of microphones are estimated as well. Index 0 is the source, 1 .. M are the microphones.
"""

import dataclasses
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavloc.features.gcc_torch import ordered_pairs
from wavloc.methods.learned import masking
from wavloc.methods.learned.base import Batch, DataStats, LearnedMethod
from wavloc.methods.learned.layers import (
    Block,
    MaskedBatchNorm,
    PositionHead,
    ends_of_pairs,
    initialise,
    masked_max,
    reconstruction_losses,
    standardise,
)
from wavloc.methods.learned.ngcc_phat import PairCorrelations
from wavloc.training.recipe import Recipe
from wavloc.training.store import Feature


@dataclasses.dataclass(frozen=True)
class Options(Recipe):
    """Published sizes, switches and recipe."""

    embed_dim: int = 256
    encoder_depth: int = 4
    decoder_depth: int = 4
    heads: int = 4
    coordinate_hidden: int = 64
    pair_hidden: int = 512
    head_hidden: tuple[int, int] = (512, 256)
    pairwise_encoding: bool = True
    max_pooling: bool = True
    features: Literal["ngcc", "gcc", "none"] = "ngcc"  # of pairs
    # none: setup 1a; random: the paper; reference: the public code
    masking: Literal["none", "random", "reference"] = "none"
    mask_most: int = 3  # microphones that lose position or signal, each; 3 of 11 in the paper
    mask_shared: int = 5  # microphones that keep both
    mask_source: float = 0.5  # probability that the signal of the source is known
    max_lag: int = 0  # samples; 0 = what the training array allows (314 for LuViRA)
    audio_weight: float = 0.1  # of the reconstruction of signals
    loss_everywhere: bool = False  # known microphones' positions count too
    truth_in_statistics: bool = False  # batch statistics see masked positions, as public code


class Output(NamedTuple):
    """positions (B, M + 1, 3) normalised; audio (B, M + 1, N) standardised; and, for checks, the
    encoder's and the decoder's tokens (B, 2 M + 2, embed_dim), coordinates before audio.
    """

    positions: Tensor
    audio: Tensor
    encoded: Tensor
    decoded: Tensor


class CoordinateEmbedding(nn.Module):
    """Positions to tokens; batch statistics over the counted positions."""

    def __init__(self, embed_dim: int, hidden: int):
        super().__init__()
        self.first, self.norm1 = nn.Linear(3, hidden), MaskedBatchNorm(hidden)
        self.second, self.norm2 = nn.Linear(hidden, embed_dim), MaskedBatchNorm(embed_dim)

    def forward(self, positions: Tensor, counted: Tensor) -> Tensor:
        """positions (B, M + 1, 3), counted (B, M + 1) bool -> (B, M + 1, embed_dim)."""
        hidden = functional.gelu(self.norm1(self.first(positions), counted))
        return self.norm2(self.second(hidden), counted)


class PairFeatures(nn.Module):
    """Correlations of all pairs, with the tokens of both ends, to one vector per frame (q)."""

    def __init__(self, embed_dim: int, lags: int, hidden: int):
        super().__init__()
        self.sizes = [embed_dim, embed_dim, lags]
        self.first, self.norm = nn.Linear(sum(self.sizes), hidden), MaskedBatchNorm(hidden)
        self.second = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, embed_dim)

    def forward(self, tokens: Tensor, gcc: Tensor, has_audio: Tensor) -> Tensor:
        """tokens (B, K, embed_dim), gcc (B, K (K - 1), lags), has_audio (B, K): (B, embed_dim)."""
        i, j = ordered_pairs(tokens.shape[1], tokens.device)
        counted = has_audio[:, i] & has_audio[:, j]
        # The first layer is linear: tokens pass it once each and not once per pair.
        of_i, of_j, of_gcc = self.first.weight.split(self.sizes, dim=1)
        of_ends = torch.cat([tokens @ of_i.T, tokens @ of_j.T + self.first.bias], dim=1)
        pairs = ends_of_pairs(tokens.shape[1], tokens.device, of_ends.dtype)
        hidden = pairs @ of_ends + gcc.to(tokens.dtype) @ of_gcc.T
        hidden = self.second(functional.gelu(self.norm(hidden, counted)))
        return self.out(masked_max(hidden, counted, dim=1))


class Wav2Pos(nn.Module):
    """A masked autoencoder (Sec. III): every signal is one token and every position is one.

    Masked tokens stay in place and are left out of attention, maxima and statistics, so each frame
    may miss something else, and leaving out a token is the same as never having had it. Published
    sizes are the defaults: 9,758,342 parameters with pair features of 629 lags.
    """

    def __init__(
        self,
        samples: int = 2048,
        embed_dim: int = 256,
        encoder_depth: int = 4,
        decoder_depth: int = 4,
        heads: int = 4,
        lags: int = 629,
        pairwise_encoding: bool = True,
        max_pooling: bool = True,
        coordinate_hidden: int = 64,
        pair_hidden: int = 512,
        head_hidden: tuple[int, int] = (512, 256),
    ):
        """lags: of a correlation function; 0 = no features of pairs."""
        super().__init__()
        self.pairwise_encoding, self.max_pooling, self.lags = pairwise_encoding, max_pooling, lags
        self.audio_in, self.audio_out = nn.Linear(samples, embed_dim), nn.Linear(embed_dim, samples)
        # Has no effect; the published network carries it, and its count includes it.
        self.unused_norm = nn.LayerNorm(samples)
        self.coordinates = CoordinateEmbedding(embed_dim, coordinate_hidden)
        self.encoder = nn.ModuleList(Block(embed_dim, heads) for _ in range(encoder_depth))
        self.decoder = nn.ModuleList(Block(embed_dim, heads) for _ in range(decoder_depth))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.bridge = nn.Linear(embed_dim, embed_dim)  # encoder to decoder
        self.pool = nn.Linear(embed_dim, embed_dim)  # before the maximum over tokens
        self.of_audio = nn.Sequential(  # pairwise encoding, audio to coordinate token
            nn.Linear(embed_dim, embed_dim), nn.LayerNorm(embed_dim), nn.GELU(),
            nn.Linear(embed_dim, embed_dim), nn.LayerNorm(embed_dim),
        )  # fmt: skip
        self.of_position = nn.Sequential(nn.Linear(embed_dim, embed_dim), nn.LayerNorm(embed_dim))
        self.mask_source, self.mask_position, self.mask_audio = (
            nn.Parameter(torch.empty(embed_dim)) for _ in range(3)
        )
        self.encoder_audio, self.encoder_position, self.decoder_audio, self.decoder_position = (
            nn.Parameter(torch.empty(embed_dim)) for _ in range(4)
        )
        if lags:
            self.pairs = PairFeatures(embed_dim, lags, pair_hidden)
        joined = embed_dim * (1 + max_pooling + bool(lags))
        self.source_head = PositionHead(joined, head_hidden)
        self.mic_head = PositionHead(joined, head_hidden)
        initialise(self, self.audio_in)  # the audio embedding as a torch convolution

    def forward(
        self,
        audio: Tensor,
        positions: Tensor,
        audio_known: Tensor,
        position_known: Tensor,
        gcc: Tensor | None = None,
        counted: Tensor | None = None,
    ) -> Output:
        """Reconstruct everything from what is known.

        audio (B, M + 1, N) and positions (B, M + 1, 3), arbitrary (also NaN) where not known;
        audio_known, position_known (B, M + 1) bool, the source's position never known; gcc:
        correlations of ordered pairs, of all M + 1 channels or of the M microphones alone; counted
        (B, M + 1): positions that enter batch statistics, if others than the known ones.
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
        if self.lags:
            assert gcc is not None
            first = 0 if gcc.shape[1] == count * (count - 1) else 1
            vector = self.pairs(decoded[:, first:count], gcc, audio_known[:, first:])
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

    As `reconstruction_losses`; everywhere: positions of microphones count whether masked or not.
    """
    excluded = torch.zeros_like(position_known) if everywhere else position_known
    audio, source, mics = reconstruction_losses(
        output.positions, output.audio, positions, clean, excluded, audio_known
    )
    return audio, source + mics


class Method(LearnedMethod[Wav2Pos]):
    """wav2pos with its pair features and its masks."""

    reconstructs = True
    Options = Options

    def set_up(self) -> None:
        super().set_up()
        self.correlations = PairCorrelations(self.options.features)
        self.components = (self.correlations,)

    def build(self, stats: DataStats) -> Wav2Pos:
        lags = 0 if self.options.features == "none" else 2 * stats.max_lag + 1
        return Wav2Pos(stats.samples, lags=lags, **self.options_of(Wav2Pos))

    def hide_source(self, audio: Tensor) -> Tensor:
        return masking.hide_source(self.options, audio)

    def kept_features(self) -> list[Feature]:
        if self.options.features == "none":
            return []
        return [self.correlations.feature(self.stats.max_lag)]

    def inputs(self, batch: Batch) -> Batch:
        return masking.inputs(batch, self.stats)

    def loss(self, inputs: Batch, generator: torch.Generator | None) -> tuple[Tensor, Batch]:
        options, positions = self.options, inputs["positions"]
        position_known, audio_known = masking.draw(options, inputs, generator)
        counted = torch.isfinite(positions).all(-1) if options.truth_in_statistics else None
        output = self.network(
            inputs["audio"], positions, audio_known, position_known, inputs.get("gcc"), counted
        )
        truth = positions, inputs["clean"], audio_known, position_known
        audio_loss, position_loss = losses(output, *truth, options.loss_everywhere)
        loss = options.audio_weight * audio_loss + position_loss
        return loss, {"loss_audio": audio_loss.detach(), "loss_positions": position_loss.detach()}

    def estimate_batch(self, inputs: Batch) -> Batch:
        position_known, audio_known = masking.granted(inputs)
        output = self.network(
            inputs["audio"], inputs["positions"], audio_known, position_known, inputs.get("gcc")
        )
        estimates = masking.estimates(output.positions, inputs, position_known, self.stats)
        return estimates | ({"audio": output.audio} if self.keep_audio else {})
