"""How a network is trained: the options that every learned method has, and the learning rate."""

import dataclasses
import math
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Base of the options of every learned method."""

    epochs: int = 500
    batch: int = 256
    learning_rate: float = 5e-4
    optimizer: Literal["adamw", "adam"] = "adamw"
    weight_decay: float = 0.1
    # steps: halved at milestones; reference: the public code
    schedule: Literal["cosine", "steps", "reference"] = "cosine"
    warmup: float = 0.02  # fraction of all steps, linear from above zero
    final_rate: float = 0.01  # last learning rate of the cosine, relative
    milestones: tuple[float, ...] = ()  # fractions of all steps
    snr_low_db: float = 0.0  # noise that is added in training
    snr_high_db: float = 30.0
    noise: Literal["white", "coloured"] = "white"  # coloured in the public code
    shift_s: float = 0.05  # common time shift, uniform in +-
    # Gain of each microphone in each example, uniform in +- this: so that a method does not trust
    # levels that only simulated training frames have. Without effect where each is standardised.
    gain_jitter_db: float = 0.0
    # Array and source are mirrored at random in every step: for rooms of square plan whose
    # microphones are anywhere. Delays stay the same, so that kept features serve.
    mirrored: bool = False
    copies: int = 0  # augmented copies whose features are kept; 0 = computed in every step
    # A new source position and new walls in every step, from the dry sound; no copies are kept.
    fresh: bool = False
    fresh_t60_low_s: float = 0.0  # nominal, uniform between the two
    fresh_t60_high_s: float = 0.4
    valid_share: float = 0.1  # of each training recording, where no validation track is named
    predict_batch: int = 16


def rate_factor(recipe: Recipe, step: int, per_epoch: int) -> float:
    """Learning rate relative to the highest, at step 0 .. ``recipe.epochs * per_epoch`` - 1.

    cosine: linear warm-up from above zero, then a cosine that ends at ``final_rate``; steps:
    halved at each milestone; reference: the public code of wav2pos, by epoch, whose first epoch
    has a rate of zero and whose cosine stops before its end.
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


def _cosine(progress: float, last: float) -> float:
    return last + (1 - last) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
