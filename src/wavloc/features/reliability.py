"""How far each microphone agrees with the others: by coherence, and by residuals of its delays.

A microphone that is mute, noisy or clipped has little in common with the others; one that was
moved, swapped or is out of step has delays that fit no common source. Both lower its pairs alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wavloc.features.correlation import pair_index

TOLERANCE_M = 0.3  # residual at which a delay counts half


@torch.no_grad()
def reliability(
    delay: Tensor, agreement: Tensor, source: Tensor, mics: Tensor, heard: Tensor, per_metre: float
) -> Tensor:
    """Reliability (B, M): 1 = as the median microphone of the frame or better, 0 = no agreement.

    delay (B, P) samples and agreement (B, P), coherence, of pairs i < j; source (B, 3) as located;
    mics (B, M, 3) metres; heard (B, M) bool, NaN where not; per_metre: samples of delay.
    """
    i, j = pair_index(mics.shape[1], mics.device)
    distance = (source[:, None] - mics).norm(dim=-1)
    residual = (delay / per_metre - (distance[:, i] - distance[:, j])).abs()
    counted = heard[:, i] & heard[:, j]
    score = agreement * counted / (1 + (residual / TOLERANCE_M).square())
    total = torch.zeros_like(distance)
    number = torch.zeros_like(distance)
    for end in (i, j):
        total = total.index_add(1, end, score)
        number = number.index_add(1, end, counted.to(score.dtype))
    mean = (total / number.clamp(min=1)).masked_fill(~heard | (number == 0), float("nan"))
    usual = mean.nanmedian(1, keepdim=True).values.clamp(min=1e-6)
    return (mean / usual).clamp(max=1)
