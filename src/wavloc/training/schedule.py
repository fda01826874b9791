"""Learning rate over a training run, as a factor of the highest one."""

from __future__ import annotations

import math

from wavloc.methods.learned.base import Recipe


def factor(recipe: Recipe, step: int, per_epoch: int) -> float:
    """Factor at a step (0, 1, ...) of ``recipe.epochs * per_epoch`` steps.

    cosine: linear warm-up from above zero, then a cosine that ends at ``final_rate``; steps:
    halved at each milestone; reference: the public code of wav2pos, by epoch, whose first epoch
    has a rate of zero and whose cosine ends too late.
    """
    total = recipe.epochs * per_epoch
    if recipe.schedule == "steps":
        return 0.5 ** sum(step >= share * total for share in recipe.milestones)
    if recipe.schedule == "reference":
        epoch, warmup = step // per_epoch, round(recipe.warmup * recipe.epochs)
        if epoch <= warmup:
            return epoch / max(warmup, 1)
        return _cosine((epoch - warmup - 1) / recipe.epochs, recipe.final_rate)
    warmup = round(recipe.warmup * total)
    if step < warmup:
        return (step + 1) / warmup
    return _cosine((step - warmup) / max(total - warmup - 1, 1), recipe.final_rate)


def _cosine(share: float, last: float) -> float:
    return last + (1 - last) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
