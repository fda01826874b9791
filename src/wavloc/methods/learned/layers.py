"""Layers that several networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch norm over the last axis whose statistics count only some rows; fixed shapes.

    With every row counted it is `nn.BatchNorm1d` on the flattened rows.
    """

    def forward(self, rows: Tensor, counted: Tensor | None = None) -> Tensor:
        """rows (..., features); counted (...) bool, all if None."""
        if not self.training:
            gain = self.weight / torch.sqrt(self.running_var + self.eps)
            return rows * gain + (self.bias - self.running_mean * gain)
        flat = rows.reshape(-1, rows.shape[-1]).float()
        if counted is None:
            count = torch.tensor(float(len(flat)), device=rows.device)
            mean = flat.mean(0)
            variance = (flat - mean).square().mean(0)
        else:
            weight = counted.reshape(-1, 1).to(flat.dtype)
            count = weight.sum().clamp(min=1)
            mean = (flat * weight).sum(0) / count
            variance = ((flat - mean).square() * weight).sum(0) / count
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp(min=1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
            self.num_batches_tracked += 1
        gain = self.weight / torch.sqrt(variance + self.eps)
        return (rows * gain + (self.bias - mean * gain)).to(rows.dtype)


class Attention(nn.Module):
    """Multi-head self-attention in which only some tokens can be attended to."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, present: Tensor | None) -> Tensor:
        """tokens (B, T, width); present (B, T) bool, all if None."""
        batch, count, width = tokens.shape
        parts = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mask = None if present is None else present[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).reshape(batch, count, width))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int, ratio: int = 4):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width)
        )

    def forward(self, tokens: Tensor, present: Tensor | None = None) -> Tensor:
        tokens = tokens + self.attention(self.norm1(tokens), present)
        return tokens + self.mlp(self.norm2(tokens))


def masked_max(values: Tensor, counted: Tensor, dim: int) -> Tensor:
    """Maximum over ``dim`` of the counted rows only: values (..., features), counted (...)."""
    lowest = torch.finfo(values.dtype).min
    return values.masked_fill(~counted[..., None], lowest).amax(dim)
