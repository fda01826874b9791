"""The microphone-fault-tolerant network (Yang et al. 2025): three streams and a masked autoencoder.

The acoustic stream has one embedding of a frozen encoder per signal, the coordinate stream one
token per position and one per pair of signals (its delays, weighted by coherence); the joint stream
lets signals and positions attend to each other, then both to the pairs, and reconstructs what is
masked. As in wav2pos, index 0 is the source, whose position is never known: a learned query stands
for it. All tokens stay in place; unknown ones are learned and are no keys, so a frame may miss
anything. What the paper leaves open is chosen here: docs/deviations.md.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wavloc.features import coherence
from wavloc.features.gcc_torch import ordered_pairs
from wavloc.methods.learned.attention import CrossAttention, at_least_one, strongest
from wavloc.methods.learned.layers import Block, MaskedBatchNorm, masked_max
from wavloc.methods.learned.networks.wav2pos import PositionHead


class Output(NamedTuple):
    """positions (B, S + M, 3) normalised; audio (B, S + M, N) standardised; of S > 1 sources also
    ``presence`` (B, S), the logit of each being one.
    """

    positions: Tensor
    audio: Tensor
    presence: Tensor | None = None


class PairTokens(nn.Module):
    """Delays of a pair and the tokens of its ends to one token per ordered pair."""

    def __init__(self, width: int, row: int, hidden: int):
        super().__init__()
        self.of_row = nn.Linear(row, hidden)
        self.of_first = nn.Linear(width, hidden, bias=False)
        self.of_second = nn.Linear(width, hidden, bias=False)  # direction matters
        self.norm, self.out = MaskedBatchNorm(hidden), nn.Linear(hidden, width)
        self.out_norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, ends: Tensor, rows: Tensor, counted: Tensor) -> Tensor:
        """tokens (B, K, width), ends (2, B, P) of pairs, their rows (B, P, row), counted (B, P)."""
        i, j = ends
        hidden = _taken(self.of_first(tokens), i) + _taken(self.of_second(tokens), j)
        hidden = hidden + self.of_row(rows.to(tokens.dtype))
        return self.out_norm(self.out(nn.functional.gelu(self.norm(hidden, counted))))


def _taken(values: Tensor, place: Tensor) -> Tensor:
    """Rows of values (B, K, n) at places (B, P) of each frame: (B, P, n)."""
    return values.gather(1, place[..., None].expand(-1, -1, values.shape[-1]))


def message(width: int) -> nn.Sequential:
    """What a token tells its partner: signal to position of the same microphone, and back."""
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))


class FaultTolerant(nn.Module):
    """Sizes as in wav2pos; see `docs/deviations.md` for what the paper does not state."""

    def __init__(
        self,
        embedding: int,
        samples: int = 2048,
        width: int = 256,
        encoder_depth: int = 4,
        decoder_depth: int = 4,
        heads: int = 4,
        row: int = 629,
        pair_hidden: int = 512,
        head_hidden: tuple[int, int] = (512, 256),
        share: float = 0.3,
        keep: str = "query",
        alpha: float = 1.0,
        alpha_learned: bool = False,
        sources: int = 1,
    ):
        """embedding: numbers per signal of the frozen encoder; row: length of a correlation row.
        sources: learned queries, S in what follows.

        share: of the pairs, kept by each ``query`` and head (its largest weights) or by the
        ``frame`` (the most coherent), before anything is computed from them.
        """
        super().__init__()
        self.share, self.keep, self.sources = share, keep, sources
        self.audio_in = nn.Sequential(nn.Linear(embedding, width), nn.LayerNorm(width))
        self.position_in = nn.Sequential(
            nn.Linear(3, width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width)
        )
        self.source_query = nn.Parameter(torch.empty(sources, width))
        for name in (
            "unknown_position", "unknown_audio",
            "mask_position", "mask_audio", "decoder_audio", "decoder_position",
        ):  # fmt: skip
            self.register_parameter(name, nn.Parameter(torch.empty(width)))
        self.of_audio, self.of_position = message(width), message(width)
        self.position_to_audio = CrossAttention(width, heads)
        self.audio_to_position = CrossAttention(width, heads)
        self.position_norm, self.audio_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.pairs = PairTokens(width, row, pair_hidden)
        self.alpha = nn.Parameter(torch.tensor(float(alpha)), requires_grad=alpha_learned)
        self.to_pairs = CrossAttention(width, heads, share if keep == "query" else 1.0)
        self.joint_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.encoder = nn.ModuleList(Block(width, heads) for _ in range(encoder_depth))
        self.decoder = nn.ModuleList(Block(width, heads) for _ in range(decoder_depth))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.of_audio_again, self.of_position_again = message(width), message(width)
        self.audio_out = nn.Linear(width, samples)  # the audio inverse mapper
        self.source_head = PositionHead(3 * width, head_hidden)
        self.mic_head = PositionHead(width, head_hidden)
        self.presence = nn.Linear(3 * width, 1) if sources > 1 else None
        self._initialise()

    def _initialise(self) -> None:
        """Linear layers N(0, 0.02) and zero bias, tokens N(0, 0.02), as in wav2pos."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for parameter in self.parameters(recurse=False):
            if parameter.ndim:
                nn.init.normal_(parameter, std=0.02)

    def forward(
        self,
        embedding: Tensor,
        positions: Tensor,
        audio_known: Tensor,
        position_known: Tensor,
        rows: Tensor,
        agreement: Tensor,
    ) -> Output:
        """Reconstruct everything from what is known.

        embedding (B, S + M, embedding) and positions (B, S + M, 3), arbitrary where not known;
        audio_known, position_known (B, S + M) bool, the source's position never known; rows of
        ordered pairs and their coherence ``agreement`` (pairs i < j), of all channels or of the M
        microphones alone.
        """
        count, sources = positions.shape[1], self.sources
        present = position_known.clone()
        present[:, :sources] = True  # a source's query is a token like the known positions
        known = torch.cat([present, audio_known], dim=1)
        position, audio = self._embedded(embedding, positions, audio_known, position_known)
        position, audio = self._fused(position, audio, present, audio_known)
        pairs, counted = self.pair_tokens(position, rows, agreement, audio_known)
        tokens = torch.cat([position, audio], dim=1)
        tokens = self.joint_norm(tokens + self.to_pairs(tokens, pairs, counted))
        tokens = tokens + self.mlp(self.mlp_norm(tokens))

        for block in self.encoder:
            tokens = block(tokens, known)
        encoded = self.encoder_norm(tokens)

        mask = torch.stack([self.mask_position, self.mask_audio]).repeat_interleave(count, dim=0)
        tokens = torch.where(known[..., None], encoded, mask.to(encoded.dtype))
        position, audio = tokens[:, :count], tokens[:, count:]
        told = [self.of_audio_again(audio), self.of_position_again(position)]
        modality = torch.stack([self.decoder_position, self.decoder_audio])
        tokens = tokens + torch.cat(told, dim=1) + modality.repeat_interleave(count, dim=0)
        for block in self.decoder:
            tokens = block(tokens)
        decoded = self.decoder_norm(tokens)

        pooled = masked_max(encoded, known, dim=1)
        delays = masked_max(pairs, counted, dim=1) if pairs.shape[1] else torch.zeros_like(pooled)
        delays = torch.where(counted.any(1, keepdim=True), delays, 0)
        about = torch.cat([pooled, delays], dim=-1)[:, None].expand(-1, sources, -1)
        about = torch.cat([decoded[:, :sources], about], dim=-1)
        mics = self.mic_head(decoded[:, sources:count])
        return Output(
            torch.cat([self.source_head(about), mics], dim=1),
            self.audio_out(decoded[:, count:]),
            None if self.presence is None else self.presence(about)[..., 0],
        )

    def _embedded(
        self, embedding: Tensor, positions: Tensor, audio_known: Tensor, position_known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens of positions and of signals (B, S + M, width), learned ones where not known."""
        located, heard = position_known[..., None], audio_known[..., None]
        position = self.position_in(positions.masked_fill(~located, 0))
        unknown = self.unknown_position.expand(positions.shape[1] - self.sources, -1)
        unknown = torch.cat([self.source_query, unknown])
        audio = self.audio_in(embedding.masked_fill(~heard, 0))
        return (
            torch.where(located, position, unknown.to(position.dtype)),
            torch.where(heard, audio, self.unknown_audio.to(audio.dtype)),
        )

    def _fused(
        self, position: Tensor, audio: Tensor, position_present: Tensor, audio_present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both kinds of tokens told their partner, then having attended to the other kind."""
        position, audio = position + self.of_audio(audio), audio + self.of_position(position)
        seen = self.audio_to_position(audio, position, position_present)
        told = self.position_to_audio(position, audio, at_least_one(audio_present))
        return self.position_norm(position + told), self.audio_norm(audio + seen)

    def pair_tokens(
        self, position: Tensor, rows: Tensor, agreement: Tensor, audio_known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Weighted tokens of the kept ordered pairs (B, P, width) and which of them exist (B, P).

        position: fused tokens of positions, which describe the ends of a pair.
        """
        count = position.shape[1]
        first = 0 if rows.shape[1] == count * (count - 1) else self.sources
        heard, tokens = audio_known[:, first:], position[:, first:]
        ends = ordered_pairs(tokens.shape[1], tokens.device)
        counted = heard[:, ends[0]] & heard[:, ends[1]]
        agreement = agreement.float()
        ends = ends[:, None].expand(-1, len(rows), -1)
        if self.keep == "frame":  # the incoherent pairs cost nothing from here on
            place, counted = strongest(agreement, counted[:, ::2], self.share)
            agreement, counted = agreement.gather(1, place), counted.repeat_interleave(2, dim=1)
            place = torch.stack([2 * place, 2 * place + 1], dim=-1).flatten(1)
            ends, rows = ends.gather(2, place.expand(2, -1, -1)), _taken(rows, place)
        agreement = agreement.repeat_interleave(2, dim=1)
        weight = coherence.weights(agreement, counted, self.alpha.clamp(0, 4))
        pairs = self.pairs(tokens, ends, rows, counted)
        return pairs * weight[..., None].to(pairs.dtype), counted


def assignments(values: Tensor) -> Tensor:
    """Sum of values (B, S, S) of queries and sources for each way to pair them: (B, S!)."""
    sources = torch.arange(values.shape[-1])
    ways = itertools.permutations(sources.tolist())
    return torch.stack([values[:, list(way), sources].sum(-1) for way in ways], dim=-1)


def matched_loss(
    places: Tensor, presence: Tensor, truth: Tensor, place_weight: float, presence_weight: float
) -> tuple[Tensor, Tensor]:
    """Losses of positions and of presence (B,) under the assignment that makes their sum smallest.

    places (B, S, 3) and presence (B, S) of the queries; truth (B, S, 3), NaN where there is no
    source: the queries that are left over should say so.
    """
    there = torch.isfinite(truth).all(-1)[:, None]  # (B, 1, S)
    distance = (places[:, :, None] - truth.nan_to_num()[:, None]).square().mean(-1)
    count = there.sum(-1, keepdim=True).clamp(min=1)
    place = place_weight * distance * there / count  # (B, query, source)
    # softplus(-x) = -log sigmoid(x): cross-entropy of a query that stands for a source
    logit = torch.where(there, -presence[..., None], presence[..., None])
    certain = presence_weight * nn.functional.softplus(logit) / presence.shape[1]
    place, certain = assignments(place), assignments(certain)
    best = (place + certain).detach().argmin(dim=-1, keepdim=True)
    return place.gather(1, best)[:, 0], certain.gather(1, best)[:, 0]
