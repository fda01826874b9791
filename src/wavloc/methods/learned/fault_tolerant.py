"""Microphone-fault-tolerant localization (Yang et al. 2025): frozen encoder, coherent pairs, masks.

A masked autoencoder with the masks, the normalisation and the pretrained NGCC-PHAT of wav2pos, and
a reliability for each microphone. The paper names BEATs as the encoder; its checkpoint is used
where a path is given (`encoder_file`), else an encoder whose weights come from a pip package. The
model folder and the tables name the encoder. Index 0 is the source, 1 .. M are the microphones.
What the paper leaves open is chosen here: docs/deviations.md.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavloc import seeds
from wavloc.features import coherence
from wavloc.features.gcc_torch import ordered_pairs, pair_index
from wavloc.features.reliability import reliability
from wavloc.frames import Frames
from wavloc.methods.learned import masking
from wavloc.methods.learned.base import Batch, DataStats, LearnedMethod
from wavloc.methods.learned.encoders import encoders
from wavloc.methods.learned.layers import (
    Block,
    CrossAttention,
    MaskedBatchNorm,
    PositionHead,
    at_least_one,
    ends_of_pairs,
    initialise,
    masked_max,
    mlp,
    reconstruction_losses,
    strongest,
)
from wavloc.methods.learned.ngcc_phat import PairCorrelations
from wavloc.training.recipe import Recipe
from wavloc.training.store import Feature, of_network


@dataclasses.dataclass(frozen=True)
class Options(Recipe):
    """Our choices where the paper is silent: sizes and recipe as in wav2pos."""

    embed_dim: int = 256
    encoder_depth: int = 4
    decoder_depth: int = 4
    heads: int = 4
    pair_hidden: int = 512
    head_hidden: tuple[int, int] = (512, 256)
    encoder: str = "auto"  # auto (beats where a file is given, else aisfx), beats, aisfx, ...
    encoder_file: str = ""  # checkpoint of the encoder; empty = out of its pip package
    encoder_trained: bool = False  # with the rest, not frozen
    features: Literal["ngcc", "gcc"] = "ngcc"  # of pairs
    coherence: str = "adaptive"  # or magnitude_squared, phase, none
    alpha: float = 1.0  # power of the coherence; 0 = all pairs alike
    alpha_learned: bool = False
    top_t: float = 0.3  # fraction of pairs that are kept; 1 = dense attention
    # By each query its largest weights, or by the frame the most coherent.
    keep: Literal["query", "frame"] = "query"
    masking: Literal["none", "random"] = "random"  # none: setup 1a
    mask_most: int = 3  # microphones that lose position or signal, each
    mask_shared: int = 5  # microphones that keep both
    mask_source: float = 0.5  # probability that the signal of the source is known
    unlabelled: float = 0.0  # fraction of training frames whose source position is not used
    max_lag: int = 0  # samples; 0 = what the training array allows
    audio_weight: float = 0.1  # of the reconstruction of signals
    mic_weight: float = 1.0  # of the positions of masked microphones
    source_weight: float = 1.0  # of the position of the source


class Output(NamedTuple):
    """positions (B, S + M, 3) normalised; audio (B, S + M, N) standardised; of S > 1 sources also
    ``presence`` (B, S), the logit of each being one.
    """

    positions: Tensor
    audio: Tensor
    presence: Tensor | None = None


class PairTokens(nn.Module):
    """Correlation of a pair and the tokens of its ends to one token per ordered pair."""

    def __init__(self, embed_dim: int, lags: int, hidden: int):
        super().__init__()
        self.of_row = nn.Linear(lags, hidden)
        self.of_first = nn.Linear(embed_dim, hidden, bias=False)
        self.of_second = nn.Linear(embed_dim, hidden, bias=False)  # direction matters
        self.norm, self.out = MaskedBatchNorm(hidden), nn.Linear(hidden, embed_dim)
        self.out_norm = nn.LayerNorm(embed_dim)

    def forward(self, tokens: Tensor, ends: Tensor | None, gcc: Tensor, counted: Tensor) -> Tensor:
        """tokens (B, K, embed_dim), gcc (B, P, lags), counted (B, P); ends (2, B, P) of the pairs,
        None for all ordered ones.
        """
        of_first, of_second = self.of_first(tokens), self.of_second(tokens)
        if ends is None:
            pairs = ends_of_pairs(tokens.shape[1], tokens.device, of_first.dtype)
            hidden = pairs @ torch.cat([of_first, of_second], dim=1)
        else:
            hidden = _taken(of_first, ends[0]) + _taken(of_second, ends[1])
        hidden = hidden + self.of_row(gcc.to(tokens.dtype))
        return self.out_norm(self.out(functional.gelu(self.norm(hidden, counted))))


def _taken(values: Tensor, place: Tensor) -> Tensor:
    """Vectors of values (B, K, n) at places (B, P) of each frame: (B, P, n)."""
    return values.gather(1, place[..., None].expand(-1, -1, values.shape[-1]))


class FaultTolerant(nn.Module):
    """Three streams: acoustic, coordinate and joint.

    The acoustic stream has one embedding of a frozen encoder per signal, the coordinate stream one
    token per position and one per pair of signals (its correlation, weighted by coherence). The
    joint stream lets signals and positions attend to each other, then both to the pairs, and
    reconstructs what is masked. All tokens stay in place; unknown ones are learned and are no keys,
    so a frame may miss anything. The position of the source is never known: a learned query stands
    for it. Sizes are those of wav2pos; the paper leaves them open (docs/deviations.md).
    """

    def __init__(
        self,
        options: Options,
        embedding: int,
        samples: int = 2048,
        lags: int = 629,
        sources: int = 1,
    ):
        """embedding: numbers per signal of the frozen encoder; lags: of a correlation function;
        sources: learned queries, S in what follows.
        """
        super().__init__()
        embed_dim, heads = options.embed_dim, options.heads
        self.top_t, self.keep, self.sources = options.top_t, options.keep, sources
        self.audio_in = nn.Sequential(nn.Linear(embedding, embed_dim), nn.LayerNorm(embed_dim))
        self.position_in = mlp(3, embed_dim, embed_dim).append(nn.LayerNorm(embed_dim))
        self.source_query = nn.Parameter(torch.empty(sources, embed_dim))
        self.unknown_position, self.unknown_audio, self.mask_position, self.mask_audio = (
            nn.Parameter(torch.empty(embed_dim)) for _ in range(4)
        )
        self.decoder_audio, self.decoder_position = (
            nn.Parameter(torch.empty(embed_dim)) for _ in range(2)
        )
        sizes = embed_dim, embed_dim, embed_dim
        self.of_audio, self.of_position = mlp(*sizes), mlp(*sizes)  # messages to the partner
        self.position_to_audio = CrossAttention(embed_dim, heads)
        self.audio_to_position = CrossAttention(embed_dim, heads)
        self.position_norm, self.audio_norm = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.pairs = PairTokens(embed_dim, lags, options.pair_hidden)
        self.alpha = nn.Parameter(torch.tensor(float(options.alpha)), options.alpha_learned)
        top_t = options.top_t if options.keep == "query" else 1.0
        self.to_pairs = CrossAttention(embed_dim, heads, top_t)
        self.joint_norm, self.mlp_norm = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.mlp = mlp(embed_dim, 4 * embed_dim, embed_dim)
        self.encoder = nn.ModuleList(Block(embed_dim, heads) for _ in range(options.encoder_depth))
        self.decoder = nn.ModuleList(Block(embed_dim, heads) for _ in range(options.decoder_depth))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.of_audio_again, self.of_position_again = mlp(*sizes), mlp(*sizes)
        self.audio_out = nn.Linear(embed_dim, samples)  # the audio inverse mapper
        self.source_head = PositionHead(3 * embed_dim, options.head_hidden)
        self.mic_head = PositionHead(embed_dim, options.head_hidden)
        self.presence = nn.Linear(3 * embed_dim, 1) if sources > 1 else None
        initialise(self)

    def forward(
        self,
        embedding: Tensor,
        positions: Tensor,
        audio_known: Tensor,
        position_known: Tensor,
        gcc: Tensor,
        agreement: Tensor,
    ) -> Output:
        """Reconstruct everything from what is known.

        embedding (B, S + M, embedding) and positions (B, S + M, 3), arbitrary where not known;
        audio_known, position_known (B, S + M) bool, the source's position never known; correlations
        ``gcc`` of ordered pairs and their coherence ``agreement`` (pairs i < j), of all channels or
        of the M microphones alone.
        """
        count, sources = positions.shape[1], self.sources
        present = position_known.clone()
        present[:, :sources] = True  # the queries count as known positions
        known = torch.cat([present, audio_known], dim=1)
        position, audio = self._embedded(embedding, positions, audio_known, position_known)
        position, audio = self._fused(position, audio, present, audio_known)
        pairs, counted = self.pair_tokens(position, gcc, agreement, audio_known)
        tokens = torch.cat([position, audio], dim=1)
        tokens = self.joint_norm(tokens + self.to_pairs(tokens, pairs, counted))
        tokens = tokens + self.mlp(self.mlp_norm(tokens))

        for block in self.encoder:
            tokens = block(tokens, known)
        encoded = self.encoder_norm(tokens)

        mask = torch.stack([self.mask_position, self.mask_audio]).repeat_interleave(count, dim=0)
        tokens = torch.where(known[..., None], encoded, mask.to(encoded.dtype))
        position, audio = tokens[:, :count], tokens[:, count:]
        messages = [self.of_audio_again(audio), self.of_position_again(position)]
        modality = torch.stack([self.decoder_position, self.decoder_audio])
        tokens = tokens + torch.cat(messages, dim=1) + modality.repeat_interleave(count, dim=0)
        for block in self.decoder:
            tokens = block(tokens)
        decoded = self.decoder_norm(tokens)

        pooled = masked_max(encoded, known, dim=1)
        delays = masked_max(pairs, counted, dim=1) if pairs.shape[1] else torch.zeros_like(pooled)
        delays = torch.where(counted.any(1, keepdim=True), delays, 0)
        context = torch.cat([pooled, delays], dim=-1)[:, None].expand(-1, sources, -1)
        context = torch.cat([decoded[:, :sources], context], dim=-1)
        mics = self.mic_head(decoded[:, sources:count])
        return Output(
            torch.cat([self.source_head(context), mics], dim=1),
            self.audio_out(decoded[:, count:]),
            None if self.presence is None else self.presence(context)[..., 0],
        )

    def _embedded(
        self, embedding: Tensor, positions: Tensor, audio_known: Tensor, position_known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens (B, S + M, embed_dim) of positions and of signals, learned ones where unknown."""
        has_position, has_audio = position_known[..., None], audio_known[..., None]
        position = self.position_in(positions.masked_fill(~has_position, 0))
        unknown = self.unknown_position.expand(positions.shape[1] - self.sources, -1)
        unknown = torch.cat([self.source_query, unknown])
        audio = self.audio_in(embedding.masked_fill(~has_audio, 0))
        return (
            torch.where(has_position, position, unknown.to(position.dtype)),
            torch.where(has_audio, audio, self.unknown_audio.to(audio.dtype)),
        )

    def _fused(
        self, position: Tensor, audio: Tensor, position_present: Tensor, audio_present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Positions and signals after messages to their partners and attention to the others."""
        position, audio = position + self.of_audio(audio), audio + self.of_position(position)
        of_positions = self.audio_to_position(audio, position, position_present)
        of_signals = self.position_to_audio(position, audio, at_least_one(audio_present))
        return self.position_norm(position + of_signals), self.audio_norm(audio + of_positions)

    def pair_tokens(
        self, position: Tensor, gcc: Tensor, agreement: Tensor, audio_known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Weighted tokens of the kept ordered pairs (B, P, embed_dim), and which exist (B, P).

        position: fused tokens of positions, which describe the ends of a pair.
        """
        count = position.shape[1]
        first = 0 if gcc.shape[1] == count * (count - 1) else self.sources
        has_audio, tokens = audio_known[:, first:], position[:, first:]
        i, j = ordered_pairs(tokens.shape[1], tokens.device)
        counted = has_audio[:, i] & has_audio[:, j]
        agreement, ends = agreement.float(), None
        if self.keep == "frame":  # the incoherent pairs cost nothing from here on
            place, counted = strongest(agreement, counted[:, ::2], self.top_t)
            agreement, counted = agreement.gather(1, place), counted.repeat_interleave(2, dim=1)
            place = torch.stack([2 * place, 2 * place + 1], dim=-1).flatten(1)
            ends, gcc = torch.stack([i[place], j[place]]), _taken(gcc, place)
        agreement = agreement.repeat_interleave(2, dim=1)
        weight = coherence.weights(agreement, counted, self.alpha.clamp(0, 4))
        pairs = self.pairs(tokens, ends, gcc, counted)
        return pairs * weight[..., None].to(pairs.dtype), counted


# What follows is shared with the method for several sources.


def check(method: LearnedMethod[Any]) -> None:
    """Raise `InputError` for options that cannot be."""
    method.check_choice("coherence", coherence.KINDS)
    method.check_choice("encoder", encoders.KINDS)
    if method.options.keep == "frame" and method.options.coherence == "none":
        raise method.option_error("coherence", "a metric to choose the pairs by (keep: frame)")


def build_network(method: Any, stats: DataStats, sources: int) -> FaultTolerant:
    """The network, with the encoder in it where that is trained."""
    encoder, lags = method.encoder.loaded, 2 * stats.max_lag + 1
    network = FaultTolerant(method.options, encoder.dim, stats.samples, lags, sources)
    if method.options.encoder_trained:  # its optimizer and its best epoch are those of the network
        network.acoustic = encoder.thaw()
    return network


def kept_features(method: Any) -> list[Feature]:
    """Correlations and coherence of pairs, and embeddings of signals by a frozen encoder."""
    kind, rate, encoder = method.options.coherence, method.stats.sample_rate, method.encoder
    gcc = method.correlations.feature(method.stats.max_lag)

    def agreement(audio: Tensor, made: Batch) -> Tensor:
        sound, _ = masking.present_signals(audio)
        return coherence.coherence(sound, coherence.delays(made["gcc"]), kind, rate)

    def embedding(audio: Tensor, _: Batch) -> Tensor:
        return encoder.embedded(*masking.present_signals(audio))

    pairs = [gcc, Feature("agreement", lambda: [gcc.made_of(), kind, rate], agreement)]
    if method.options.encoder_trained:  # its embeddings change in every step
        return pairs
    return [*pairs, Feature("embedding", lambda: of_network(encoder.loaded), embedding)]


def labelled(method: LearnedMethod[Any], frames: Frames) -> Tensor:
    """Frames (F,) whose source position training may use."""
    draw = seeds.rng(method.seed, method.seed_name, "labelled").random(len(frames))
    return torch.from_numpy(draw >= method.options.unlabelled)


class Method(LearnedMethod[FaultTolerant]):
    """The fault-tolerant network for one source, and how far each microphone can be relied on."""

    min_mics = 2
    reconstructs = True
    Options = Options

    def set_up(self) -> None:
        super().set_up()
        check(self)
        self.correlations = PairCorrelations(self.options.features)
        self.encoder = encoders.SignalEncoder(self.options)
        self.components = (self.correlations, self.encoder)

    def build(self, stats: DataStats) -> FaultTolerant:
        return build_network(self, stats, sources=1)

    def hide_source(self, audio: Tensor) -> Tensor:
        return masking.hide_source(self.options, audio)

    def targets(self, frames: Frames) -> Batch:
        return super().targets(frames) | {"labelled": labelled(self, frames)}

    def kept_features(self) -> list[Feature]:
        return kept_features(self)

    def inputs(self, batch: Batch) -> Batch:
        return masking.inputs(batch, self.stats)

    def reconstruct(self, inputs: Batch, position_known: Tensor, audio_known: Tensor) -> Output:
        """The network's output where only some positions and signals (B, M + 1) are known."""
        return self.network(
            self.encoder.embeddings(inputs),
            inputs["positions"],
            audio_known,
            position_known,
            inputs["gcc"],
            inputs["agreement"],
        )

    def loss(self, inputs: Batch, generator: torch.Generator | None) -> tuple[Tensor, Batch]:
        options, truth = self.options, inputs["positions"]
        position_known, audio_known = masking.draw(options, inputs, generator)
        output = self.reconstruct(inputs, position_known, audio_known)
        if generator is not None and options.unlabelled:  # semi-supervised: nothing to compare
            truth = truth.clone()
            truth[~inputs["labelled"], 0] = float("nan")
        audio, source, mics = reconstruction_losses(
            output.positions, output.audio, truth, inputs["clean"], position_known, audio_known
        )
        loss = options.audio_weight * audio + options.source_weight * source
        loss = loss + options.mic_weight * mics
        terms = {"loss_audio": audio, "loss_source": source, "loss_mics": mics}
        return loss, {name: value.detach() for name, value in terms.items()}

    def located(self, inputs: Batch) -> Tensor:
        position_known, audio_known = masking.granted(inputs)
        output = self.reconstruct(inputs, position_known, audio_known)
        return self.stats.in_metres(output.positions[:, 0])

    def estimate_batch(self, inputs: Batch) -> Batch:
        """Positions, and how far each microphone can be relied on."""
        position_known, audio_known = masking.granted(inputs)
        output = self.reconstruct(inputs, position_known, audio_known)
        estimates = masking.estimates(output.positions, inputs, position_known, self.stats)
        if self.keep_audio:
            estimates["audio"] = output.audio
        delay, agreement = coherence.delays(inputs["gcc"]), inputs["agreement"]
        first, _ = pair_index(audio_known.shape[1], delay.device)
        if delay.shape[1] == len(first):  # leave out the pairs of the source
            delay, agreement = delay[:, first > 0], agreement[:, first > 0]
        estimates["reliability"] = reliability(
            delay,
            agreement.float(),
            estimates["position"],
            estimates["mic_positions"],
            audio_known[:, 1:],
            self.stats.sample_rate / self.stats.speed_of_sound,
        )
        return estimates
