"""What wav2pos is shown in training: which positions and which signals; batched, seeded.

Results are two masks (B, M + 1), index 0 the source: positions known and signals known.
"""

from __future__ import annotations

import torch
from torch import Tensor

Masks = tuple[Tensor, Tensor]


def nothing_masked(count: int, mics: int, device: torch.device) -> Masks:
    """Setup 1a: all of the microphones, nothing of the source."""
    known = torch.ones(count, mics + 1, dtype=torch.bool, device=device)
    known[:, 0] = False
    return known, known


def paper(
    count: int, mics: int, most: int, shared: int, source: float, generator: torch.Generator
) -> Masks:
    """Sec. III-C: up to ``most`` positions and up to ``most`` signals of microphones are masked.

    At least ``shared`` microphones keep both, none loses both, and the signal of the source is kept
    with probability ``source``. Numbers of masked ones are uniform over what that allows.
    """
    device = generator.device
    spare = max(mics - shared, 0)
    allowed = [(a, b) for a in range(most + 1) for b in range(most + 1) if a + b <= spare]
    table = torch.tensor(allowed, device=device)
    pick = torch.randint(len(allowed), (count,), generator=generator, device=device)
    positions, signals = table[pick, 0, None], table[pick, 1, None]
    rank = torch.rand(count, mics, generator=generator, device=device).argsort(1).argsort(1)
    position_known = rank >= positions
    audio_known = (rank < positions) | (rank >= positions + signals)
    heard = torch.rand(count, 1, generator=generator, device=device) < source
    return torch.cat([torch.zeros_like(heard), position_known], 1), torch.cat(
        [heard, audio_known], 1
    )


def reference(
    count: int, mics: int, fewest: int, source: float, generator: torch.Generator
) -> Masks:
    """The public code's sampler, which breaks the paper's constraints where the source is kept.

    Numbers kept are drawn once per batch from ``fewest`` .. M. Where the signal of the source is
    kept, it takes the place of a microphone that is neither the first nor the last; one permutation
    then serves both lists, of which the first positions and the last signals are kept.
    """
    device = generator.device
    low = min(fewest, mics)
    kept = torch.randint(low, mics + 1, (2,), generator=generator, device=device)
    heard = torch.rand(count, generator=generator, device=device) < source
    left_out = torch.randint(2, max(mics, 3), (count,), generator=generator, device=device)
    every = torch.arange(1, mics + 1, device=device).expand(count, mics)
    pool = torch.cat([torch.zeros_like(every[:, :1]), every], dim=1)  # (B, M + 1)
    left_out = torch.where(heard, left_out, 0)
    keep = pool != left_out[:, None]
    pool = pool[keep].reshape(count, mics)
    order = torch.rand(count, mics, generator=generator, device=device).argsort(1)
    position_known = torch.zeros(count, mics + 1, dtype=torch.bool, device=device)
    audio_known = position_known.clone()
    position_known.scatter_(1, every.gather(1, order)[:, : int(kept[0])], True)
    audio_known.scatter_(1, pool.gather(1, order)[:, mics - int(kept[1]) :], True)
    return position_known, audio_known
