"""Masked autoencoders of sound and positions: what they are given, and what training hides.

Index 0 is the source, 1 .. M are the microphones. Masks are two tensors (B, M + 1): positions known
and signals known.
"""

from typing import Any

import torch
from torch import Tensor

from wavloc.methods.learned.base import Batch, DataStats, finite, known_signals

Masks = tuple[Tensor, Tensor]


def inputs(batch: Batch, stats: DataStats) -> Batch:
    """The batch with zeros for missing signals in ``audio`` (B, M + 1, N), ``has_audio``
    (B, M + 1), and the normalised ``positions`` (B, M + 1, 3), NaN where unknown.
    """
    audio, mics = batch["audio"], batch["mics"]
    has_audio = known_signals(batch)
    source = batch.get("source", torch.full_like(mics[:, 0], float("nan")))
    return batch | {
        "audio": audio.masked_fill(~has_audio[..., None], 0),
        "has_audio": has_audio,
        "positions": stats.normalised(torch.cat([source[:, None], mics], dim=1)),
    }


def hide_source(options: Any, audio: Tensor) -> Tensor:
    """Without the signal of the source where all masks hide it."""
    if options.masking == "none" or not options.mask_source:
        audio[:, 0] = float("nan")
    return audio


def present_signals(audio: Tensor) -> tuple[Tensor, int]:
    """Signals (B, K, N) of audio (B, 1 + M, N), with zeros for missing ones (NaN), and the first.

    Where no frame has the signal of the source, it is left out and the first is 1: its pairs would
    cost a sixth of all.
    """
    known = finite(audio)
    first = 0 if bool(known[:, 0].any()) else 1
    return audio.masked_fill(~known[..., None], 0)[:, first:], first


def granted(inputs: Batch) -> Masks:
    """Masks for prediction: everything that is there, but never the position of the source."""
    position_known = torch.isfinite(inputs["positions"]).all(-1)
    position_known[:, 0] = False
    return position_known, inputs["has_audio"]


def estimates(positions: Tensor, inputs: Batch, known: Tensor, stats: DataStats) -> Batch:
    """``position`` (B, 3) of the source and ``mic_positions`` (B, M, 3) in metres.

    positions (B, M + 1, 3): as reconstructed, normalised; known positions of microphones are kept.
    """
    places = stats.in_metres(positions)
    given = stats.in_metres(inputs["positions"][:, 1:])
    mics = torch.where(known[:, 1:, None], given, places[:, 1:])
    return {"position": places[:, 0], "mic_positions": mics}


def draw(options: Any, inputs: Batch, generator: torch.Generator | None) -> Masks:
    """Masks of a training batch, by the options ``masking`` and ``mask_...``; in validation
    (without a generator) only the source is hidden.
    """
    has_audio = inputs["has_audio"]
    has_position = torch.isfinite(inputs["positions"]).all(-1)
    count, mics = len(has_audio), has_audio.shape[1] - 1
    if generator is None or options.masking == "none":
        masks = nothing_masked(count, mics, has_audio.device)
    elif options.masking == "random":
        most, shared = options.mask_most, options.mask_shared
        masks = paper(count, mics, most, shared, options.mask_source, generator)
    else:
        fewest = mics - options.mask_most
        masks = reference(count, mics, fewest, options.mask_source, generator)
    return masks[0] & has_position, masks[1] & has_audio


def nothing_masked(count: int, mics: int, device: torch.device | str) -> Masks:
    """Setup 1a: everything of the microphones, nothing of the source."""
    known = torch.ones(count, mics + 1, dtype=torch.bool, device=device)
    known[:, 0] = False
    return known, known


def paper(
    count: int, mics: int, most: int, shared: int, source: float, generator: torch.Generator
) -> Masks:
    """Random masks of Berg et al. 2024, Sec. III-C.

    Up to ``most`` positions and up to ``most`` signals of microphones are masked. At least
    ``shared`` microphones keep both, none loses both, and the signal of the source is kept with
    probability ``source``. Numbers of masked ones are uniform over what that allows.
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
    source_known = torch.rand(count, 1, generator=generator, device=device) < source
    hidden = torch.zeros_like(source_known)
    return torch.cat([hidden, position_known], 1), torch.cat([source_known, audio_known], 1)


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
    source_known = torch.rand(count, generator=generator, device=device) < source
    left_out = torch.randint(2, max(mics, 3), (count,), generator=generator, device=device)
    every = torch.arange(1, mics + 1, device=device).expand(count, mics)
    pool = torch.cat([torch.zeros_like(every[:, :1]), every], dim=1)  # (B, M + 1)
    left_out = torch.where(source_known, left_out, 0)
    keep = pool != left_out[:, None]
    pool = pool[keep].reshape(count, mics)
    order = torch.rand(count, mics, generator=generator, device=device).argsort(1)
    position_known = torch.zeros(count, mics + 1, dtype=torch.bool, device=device)
    audio_known = position_known.clone()
    position_known.scatter_(1, every.gather(1, order)[:, : int(kept[0])], True)
    audio_known.scatter_(1, pool.gather(1, order)[:, mics - int(kept[1]) :], True)
    return position_known, audio_known
