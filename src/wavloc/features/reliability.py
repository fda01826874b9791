"""Reliability of each microphone: how coherent it is with the others and how well its delays fit.

A microphone that is mute, noisy or clipped has little in common with the others; the delays of one
that was moved, swapped or is out of step fit no common source. Both affect its own pairs alone.
"""

import torch
from torch import Tensor

from wavloc.features.gcc_torch import pair_index

# Largest residual that counts, in each step. Chosen, with the tolerance, on a training track.
REACH_M = (2.0, 1.5, 1.0, 0.7, 0.5, 0.3, 0.3)
STEP_M = 1.0  # at most
DAMPING = 1e-3  # of the normal matrix, where microphones leave a direction undetermined
TOLERANCE_M = 0.15  # residual at which a delay counts half


@torch.no_grad()
def reliability(
    delay: Tensor,
    agreement: Tensor,
    source: Tensor,
    mics: Tensor,
    has_audio: Tensor,
    per_metre: float,
) -> Tensor:
    """Reliability (B, M): 1 = as the median microphone of the frame or better, 0 = no agreement.

    delay (B, P) in samples and agreement (B, P), the coherence, of pairs i < j; source (B, 3) as
    estimated; mics (B, M, 3) metres; has_audio (B, M) bool, the result is NaN where not; per_metre:
    samples of delay. Residuals are those of the estimate, or of a position near it where that
    agrees with more delays: no microphone is blamed for an error of the method.
    """
    i, j = pair_index(mics.shape[1], mics.device)
    counted = has_audio[:, i] & has_audio[:, j]
    ranges, trust = delay / per_metre, agreement * counted
    places = (source, _agreed(ranges, trust, source, mics))
    scores = torch.stack([_score(ranges, trust, place, mics) for place in places])
    best = scores.sum(-1).argmax(0)
    score = scores[best, torch.arange(len(best), device=best.device)]
    total = torch.zeros_like(mics[..., 0])
    number = torch.zeros_like(total)
    for end in (i, j):
        total = total.index_add(1, end, score)
        number = number.index_add(1, end, counted.to(score.dtype))
    mean = (total / number.clamp(min=1)).masked_fill(~has_audio | (number == 0), float("nan"))
    usual = mean.nanmedian(1, keepdim=True).values.clamp(min=1e-6)
    return (mean / usual).clamp(max=1)


def _score(ranges: Tensor, trust: Tensor, source: Tensor, mics: Tensor) -> Tensor:
    """Trust in each range difference (B, P), reduced by its residual at a position."""
    residual = ranges - _differences((source[:, None] - mics).norm(dim=-1))
    return trust / (1 + (residual / TOLERANCE_M).square())


def _differences(values: Tensor) -> Tensor:
    """Differences of pairs i < j: values (B, M, ...) -> (B, P, ...)."""
    i, j = pair_index(values.shape[1], values.device)
    return values[:, i] - values[:, j]


def _agreed(ranges: Tensor, trust: Tensor, source: Tensor, mics: Tensor) -> Tensor:
    """Position (B, 3) that fits trusted range differences (B, P), by damped Gauss-Newton steps from
    ``source`` with Tukey's biweight, narrower in every step.
    """
    damping = DAMPING * torch.eye(3, device=mics.device)
    for reach in REACH_M:
        offset = source[:, None] - mics
        distance = offset.norm(dim=-1)
        residual = _differences(distance) - ranges
        jacobian = _differences(offset / distance.clamp(min=1e-6)[..., None])
        weight = trust * (1 - (residual / reach).square()).clamp(min=0).square()
        weighted = (jacobian * weight[..., None]).mT
        step = torch.linalg.solve(weighted @ jacobian + damping, weighted @ residual[..., None])
        length = step.norm(dim=1, keepdim=True).clamp(min=STEP_M)
        source = source - (step * STEP_M / length)[..., 0]
    return source
