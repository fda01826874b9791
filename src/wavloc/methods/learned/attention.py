"""Cross-attention in which every query keeps its strongest keys only (top-T)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

ROUNDING = 1e-6  # 30 % of 10 is 3, not 4


def at_least_one(present: Tensor) -> Tensor:
    """Where nothing is present, everything is: attention to learned tokens rather than to none."""
    return present | ~present.any(-1, keepdim=True)


def dense_attention(query: Tensor, key: Tensor, value: Tensor, present: Tensor) -> Tensor:
    """query (B, H, Q, d), key and value (B, H, P, d), present (B, P) bool -> (B, H, Q, d).

    Zeros where a frame has no key at all.
    """
    mask = at_least_one(present)[:, None, None]
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return mixed * present.any(-1)[:, None, None, None]


def sparse_attention(
    query: Tensor, key: Tensor, value: Tensor, present: Tensor, share: float
) -> Tensor:
    """As `dense_attention` over the largest ``share`` of the scores of each query and head.

    At least one is kept, rounded up. The softmax runs over kept scores alone and their values are
    summed where they lie: neither a weight nor a gradient exists for the others.
    """
    batch, heads, _, width = query.shape
    scores = (query * width**-0.5) @ key.transpose(-1, -2)
    place, kept = strongest(scores, present[:, None, None], share)
    lowest = torch.finfo(scores.dtype).min
    weight = scores.gather(-1, place).masked_fill(~kept, lowest).softmax(-1) * kept
    row = torch.arange(batch * heads, device=query.device).view(batch, heads, 1, 1) * key.shape[2]
    mixed = functional.embedding_bag(
        (place + row).flatten(0, 2),
        value.flatten(0, 2),
        per_sample_weights=weight.flatten(0, 2).to(value.dtype),
        mode="sum",
    )
    return mixed.view(query.shape)


@torch.no_grad()
def strongest(scores: Tensor, present: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Where the largest scores (..., P) lie and which of these count: two (..., k), k fixed by P.

    Of those present (broadcast against scores) the largest ``share``, rounded up, and at least one.
    """
    count = scores.shape[-1]
    most = min(count, max(1, math.ceil(share * count - ROUNDING)))
    place = scores.masked_fill(~present, float("-inf")).topk(most, dim=-1).indices
    number = torch.ceil(present.sum(-1, keepdim=True) * share - ROUNDING).clamp(min=1)
    first = torch.arange(most, device=scores.device) < number
    return place, first & present.expand_as(scores).gather(-1, place)


class CrossAttention(nn.Module):
    """Multi-head attention from tokens to other tokens; ``share`` below 1 makes it sparse."""

    def __init__(self, width: int, heads: int, share: float = 1.0):
        super().__init__()
        self.heads, self.share = heads, share
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, present: Tensor) -> Tensor:
        """queries (B, Q, width), keys (B, P, width), present (B, P) bool -> (B, Q, width)."""
        query = self.query(queries).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        parts = self.key_value(keys).unflatten(-1, (2, self.heads, -1))
        key, value = parts.permute(2, 0, 3, 1, 4)
        if self.share < 1:
            mixed = sparse_attention(query, key, value, present, self.share)
        else:
            mixed = dense_attention(query, key, value, present)
        return self.out(mixed.transpose(1, 2).flatten(2))
