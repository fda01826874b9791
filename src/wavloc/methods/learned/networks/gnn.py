"""Relation network (Grinstein et al. 2023) in 3-D: an MLP on every pair, their mean, an MLP."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wavloc.features import gcc_torch as correlation

EPS = 1e-7
LOWEST_PEAK = 1e-6  # of a correlation that is divided by its maximum


def _mlp(inputs: int, width: int) -> list[nn.Module]:
    return [nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]


class RelationNet(nn.Module):
    """Published sizes are the defaults: 2,211,253 parameters."""

    def __init__(
        self, row: int = 1024, width: int = 625, all_pairs: bool = False, he: bool = False
    ):
        """all_pairs: both directions of every pair, which makes the order of microphones void. he:
        first weights that keep the variance through rectifiers (He et al. 2015), not the library's.
        """
        super().__init__()
        self.all_pairs = all_pairs
        self.edge = nn.Sequential(*_mlp(row + 6, width), nn.Linear(width, width), nn.ReLU())
        self.fusion = nn.Sequential(*_mlp(width, width), nn.Linear(width, 3))
        if he:
            for layer in (*self.edge, *self.fusion[:-1]):
                if isinstance(layer, nn.Linear):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)

    def forward(self, rows: Tensor, positions: Tensor, present: Tensor) -> Tensor:
        """rows (B, P, row) of `pair_rows`, positions (B, M, 3), present (B, M) bool -> (B, 3)."""
        count = positions.shape[1]
        index = correlation.ordered_pairs if self.all_pairs else correlation.pair_index
        i, j = index(count, positions.device)
        pairs = torch.cat([rows.to(positions.dtype), positions[:, i], positions[:, j]], dim=-1)
        counted = (present[:, i] & present[:, j])[..., None]
        hidden = self.edge(pairs.masked_fill(~counted, 0)) * counted
        return self.fusion(hidden.sum(1) / counted.sum(1).clamp(min=1))


def pair_rows(audio: Tensor, row: int, all_pairs: bool = False, zero_pad: bool = False) -> Tensor:
    """GCC-PHAT of all pairs at lags -row / 2 .. row / 2 - 1, divided by its largest value.

    audio (B, M, N) -> (B, P, row). Circular as published; zero_pad: linear. Silence gives zeros.
    """
    reach = row // 2
    rows = correlation.gcc_phat(audio, reach, EPS, zero_pad)
    rows = rows / rows.amax(-1, keepdim=True).clamp(min=LOWEST_PEAK)
    if all_pairs:
        rows = correlation.both_directions(rows, rows.flip(-1))
    return rows[..., :row]
