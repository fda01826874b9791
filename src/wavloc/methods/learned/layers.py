"""Layers that several networks share, and the loss of those that reconstruct masked inputs."""

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavloc.features.gcc_torch import ordered_pairs

STD_FLOOR = 1e-8  # keeps constant signals finite
ROUNDING = 1e-6  # 30 % of 10 is 3, not 4


def standardise(audio: Tensor) -> Tensor:
    """Zero mean and unit (unbiased) deviation along the last axis."""
    centred = audio - audio.mean(-1, keepdim=True)
    norm = torch.linalg.vector_norm(centred, dim=-1, keepdim=True)  # 10 x faster than std on a CPU
    return centred / (norm / (audio.shape[-1] - 1) ** 0.5).clamp(min=STD_FLOOR)


class _Normalised(torch.autograd.Function):
    """(values - mean) * gain + bias over rows, with mean and variance of the counted rows.

    One pass for the result and two for the gradient, which the plain formula takes fifteen for.
    """

    @staticmethod
    def forward(
        context: Any,
        values: Tensor,
        weight: Tensor,
        bias: Tensor,
        share: Tensor,
        mean: Tensor,
        scale: Tensor,
    ) -> Tensor:
        """values (n, features); share (n,) of the mean that a row has; mean and scale (features,),
        scale = 1 / standard deviation.
        """
        context.save_for_backward(values, weight, share, mean, scale)
        gain = weight * scale
        return torch.addcmul(bias - mean * gain, values, gain)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, share, mean, scale = context.saved_tensors
        (gradient,) = gradients
        total = gradient.sum(0)
        # Sum of gradient times normalised value, without an array of either.
        along = ((gradient * values).sum(0) - mean * total) * scale
        gain = weight * scale
        slope = along * scale * gain
        of_mean = torch.outer(share, mean * slope - total * gain)
        of_values = torch.addcmul(of_mean, gradient, gain)
        of_values.addcmul_(values * share[:, None], slope, value=-1)
        return of_values, along, total, None, None, None


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch norm over the last axis whose statistics count only some of the vectors; fixed shapes.

    With every vector counted it is `nn.BatchNorm1d` on the flattened input.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, values: Tensor, counted: Tensor | None = None) -> Tensor:
        """values (..., features); counted (...) bool, all if None."""
        if not self.training:
            gain = self.weight / torch.sqrt(self.running_var + self.eps)
            return values * gain + (self.bias - self.running_mean * gain)
        flat = values.reshape(-1, values.shape[-1]).float()
        # Products stay in single precision here, whatever the rest is computed in.
        with torch.no_grad(), torch.autocast(flat.device.type, enabled=False):
            share = flat.new_ones(len(flat)) if counted is None else counted.reshape(-1).float()
            count = share.sum().clamp(min=1)
            share = share / count
            mean = share @ flat
            variance = share @ (flat - mean).square()
            unbiased = variance * count / (count - 1).clamp(min=1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
            self.num_batches_tracked += 1
            scale = torch.rsqrt(variance + self.eps)
        result = _Normalised.apply(flat, self.weight, self.bias, share, mean, scale)
        return result.view(values.shape).to(values.dtype)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention: query (B, H, Q, d), key and value (B, H, P, d); mask: True
    where a key counts.

    The fused kernel of a CPU is made for long sequences: of two dozen tokens its gradient takes ten
    times as long as plain products, in half precision above all.
    """
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1).to(value.dtype) @ value


class Attention(nn.Module):
    """Multi-head self-attention in which only some tokens can be attended to."""

    def __init__(self, embed_dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.out = nn.Linear(embed_dim, embed_dim)

    def forward(self, tokens: Tensor, present: Tensor | None) -> Tensor:
        """tokens (B, T, embed_dim); present (B, T) bool, all if None."""
        batch, count, size = tokens.shape
        parts = self.qkv(tokens).reshape(batch, count, 3, self.heads, size // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mask = None if present is None else present[:, None, None, :]
        mixed = attend(query, key, value, mask)
        return self.out(mixed.transpose(1, 2).reshape(batch, count, size))


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two linear layers."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, embed_dim: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.attention = Attention(embed_dim, heads)
        self.mlp = mlp(embed_dim, 4 * embed_dim, embed_dim)

    def forward(self, tokens: Tensor, present: Tensor | None = None) -> Tensor:
        tokens = tokens + self.attention(self.norm1(tokens), present)
        return tokens + self.mlp(self.norm2(tokens))


def at_least_one(present: Tensor) -> Tensor:
    """As ``present`` (B, T), but all where none is: better learned tokens than no key at all."""
    return present | ~present.any(-1, keepdim=True)


def dense_attention(query: Tensor, key: Tensor, value: Tensor, present: Tensor) -> Tensor:
    """query (B, H, Q, d), key and value (B, H, P, d), present (B, P) bool -> (B, H, Q, d), zeros
    where a frame has no key at all.
    """
    mask = at_least_one(present)[:, None, None]
    mixed = attend(query, key, value, mask)
    return mixed * present.any(-1)[:, None, None, None]


def sparse_attention(
    query: Tensor, key: Tensor, value: Tensor, present: Tensor, top_t: float
) -> Tensor:
    """As `dense_attention`, over the fraction ``top_t`` of largest scores of each query and head.

    Their number is rounded up. The softmax runs over the kept scores alone: the others have neither
    a weight nor a gradient. They stay in place, below a threshold, since products with zeros are
    cheaper than a gathered copy of the values and its gradient.
    """
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    kept = scores.detach() >= _threshold(scores, present, top_t)
    kept = kept & present[:, None, None]
    lowest = torch.finfo(scores.dtype).min
    weight = scores.masked_fill(~kept, lowest).softmax(-1) * kept
    return weight.to(value.dtype) @ value


@torch.no_grad()
def _threshold(scores: Tensor, present: Tensor, top_t: float) -> Tensor:
    """Lowest score (B, H, Q, 1) that is kept of scores (B, H, Q, P)."""
    count = scores.shape[-1]
    most = min(count, max(1, math.ceil(top_t * count - ROUNDING)))
    number = torch.ceil(present.sum(-1) * top_t - ROUNDING).clamp(1, most).long()
    top = scores.masked_fill(~present[:, None, None], float("-inf")).topk(most, dim=-1).values
    place = (number - 1)[:, None, None, None].expand(*top.shape[:3], 1)
    return top.gather(-1, place)


@torch.no_grad()
def strongest(scores: Tensor, present: Tensor, top_t: float) -> tuple[Tensor, Tensor]:
    """Places of the largest scores (..., P) and which of them count: two (..., k), k fixed by P.

    Of those present (broadcast against scores) the fraction ``top_t`` counts, rounded up, and at
    least one.
    """
    count = scores.shape[-1]
    most = min(count, max(1, math.ceil(top_t * count - ROUNDING)))
    place = scores.masked_fill(~present, float("-inf")).topk(most, dim=-1).indices
    number = torch.ceil(present.sum(-1, keepdim=True) * top_t - ROUNDING).clamp(min=1)
    first = torch.arange(most, device=scores.device) < number
    return place, first & present.expand_as(scores).gather(-1, place)


class CrossAttention(nn.Module):
    """Multi-head attention from tokens to other tokens; ``top_t`` below 1 makes it sparse."""

    def __init__(self, embed_dim: int, heads: int, top_t: float = 1.0):
        super().__init__()
        self.heads, self.top_t = heads, top_t
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key_value = nn.Linear(embed_dim, 2 * embed_dim)
        self.out = nn.Linear(embed_dim, embed_dim)

    def forward(self, queries: Tensor, keys: Tensor, present: Tensor) -> Tensor:
        """queries (B, Q, embed_dim), keys (B, P, embed_dim), present (B, P) bool -> as queries."""
        query = self.query(queries).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        parts = self.key_value(keys).unflatten(-1, (2, self.heads, -1))
        key, value = parts.permute(2, 0, 3, 1, 4)
        if self.top_t < 1:
            mixed = sparse_attention(query, key, value, present, self.top_t)
        else:
            mixed = dense_attention(query, key, value, present)
        return self.out(mixed.transpose(1, 2).flatten(2))


class PositionHead(nn.Module):
    """Token and pooled features to a position."""

    def __init__(self, inputs: int, hidden: tuple[int, int]):
        super().__init__()
        self.first, self.norm1 = nn.Linear(inputs, hidden[0]), MaskedBatchNorm(hidden[0])
        self.second, self.norm2 = nn.Linear(hidden[0], hidden[1]), MaskedBatchNorm(hidden[1])
        self.last = nn.Linear(hidden[1], 3)

    def forward(self, features: Tensor) -> Tensor:
        """features (..., inputs) -> (..., 3)."""
        hidden = functional.gelu(self.norm1(self.first(features)))
        return self.last(functional.gelu(self.norm2(self.second(hidden))))


def initialise(network: nn.Module, spared: nn.Module | None = None) -> None:
    """Linear layers but the spared one N(0, 0.02) with zero bias, tokens N(0, 0.02)."""
    for module in network.modules():
        if isinstance(module, nn.Linear) and module is not spared:
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for parameter in network.parameters(recurse=False):
        if parameter.ndim:
            nn.init.normal_(parameter, std=0.02)


@functools.lru_cache(maxsize=8)
def ends_of_pairs(count: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Ones at the first and at the second end of each ordered pair: (count (count - 1), 2 count).

    A product with it takes to pairs what belongs to their ends: its gradient is a product too,
    where that of an index is added up one by one.
    """
    with torch.inference_mode(False):  # a training may be given what a prediction has made
        i, j = ordered_pairs(count, device)
        ends = torch.stack([i, j + count], dim=1)
        return torch.zeros(len(ends), 2 * count, device=device, dtype=dtype).scatter_(1, ends, 1.0)


def masked_max(values: Tensor, counted: Tensor, dim: int) -> Tensor:
    """Maximum of the counted vectors over ``dim``: values (..., features), counted (...)."""
    lowest = torch.finfo(values.dtype).min
    return values.masked_fill(~counted[..., None], lowest).amax(dim)


def reconstruction_losses(
    positions: Tensor,
    audio: Tensor,
    true_positions: Tensor,
    clean: Tensor,
    position_known: Tensor,
    audio_known: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean squared errors of known signals, of the source and of unknown microphones.

    positions (B, M + 1, 3), the source first, and audio (B, M + 1, N) as reconstructed;
    true_positions and clean, the truth, do not count where they are NaN; both sounds are
    standardised; known (B, M + 1) bool.
    """
    has_audio = audio_known & torch.isfinite(clean[..., 0])
    clean = clean.masked_fill(~has_audio[..., None], 0)
    error = functional.mse_loss(audio, clean.to(audio.dtype), reduction="none").mean(-1)
    audio_loss = (error * has_audio).sum() / has_audio.sum().clamp(min=1)
    distance = (positions - true_positions.nan_to_num()).square().mean(-1)
    counted = torch.isfinite(true_positions).all(-1) & ~position_known
    source, mics = counted[:, 0], counted[:, 1:]
    source_loss = (distance[:, 0] * source).sum() / source.sum().clamp(min=1)
    mic_loss = (distance[:, 1:] * mics).sum() / mics.sum().clamp(min=1)
    return audio_loss, source_loss, mic_loss
