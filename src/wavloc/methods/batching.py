"""How many frames a learned method treats at once: as many as the device's memory holds."""

import dataclasses
from typing import Any

import numpy as np
import torch

from wavloc import devices
from wavloc.errors import InputError
from wavloc.frames import Frames
from wavloc.setups import Setup

TRIED = (2, 8)  # frames in the blocks whose peak memory is measured on a GPU
USABLE = 0.8  # of the free memory
MOST = 4096


def choose(method: Any, frames: Frames, setup: Setup, wish: str) -> int:
    """Set ``predict_batch`` of a method to a number or ``auto``; return frames per block.

    auto: on a GPU the size is extrapolated from the peak memory of two small blocks; on a CPU the
    method keeps its own, whose features fit the cache. Predictions do not depend on it.
    """
    size = getattr(method.options, "predict_batch", 0)
    if not size:
        raise InputError(
            f"--batch: method '{method.name}' is not learned and has blocks of its own"
        )
    if wish != "auto":
        size = int(wish) if wish.isdecimal() else 0
        if size < 1:
            raise InputError(f"--batch {wish}, expected auto or a number of frames above 0")
    elif method.gpu and len(frames) >= max(TRIED) and not method.refusal(frames, setup):
        free = devices.free_bytes(method.gpu) or 0
        peaks = [_peak(method, frames, setup, size) for size in TRIED]
        size = fitting(peaks, int(USABLE * free), len(frames))
    _set(method, size)
    return size


def _set(method: Any, size: int) -> None:
    method.options = dataclasses.replace(method.options, predict_batch=size)


def fitting(peaks: list[int], free: int, frames: int) -> int:
    """Largest block, by linear extrapolation of the peak bytes of blocks of `TRIED` frames."""
    each = max((peaks[1] - peaks[0]) / (TRIED[1] - TRIED[0]), 1.0)
    fixed = max(peaks[0] - each * TRIED[0], 0.0)
    return int(np.clip((free - fixed) // each, TRIED[0], min(MOST, max(frames, TRIED[0]))))


def _peak(method: Any, frames: Frames, setup: Setup, size: int) -> int:
    _set(method, size)
    part = np.arange(size)
    subset = None if setup.subset is None else setup.subset[part]
    rest = torch.cuda.memory_allocated(method.gpu)
    torch.cuda.reset_peak_memory_stats(method.gpu)
    method.predict(frames.select(part), Setup(setup.name, subset))
    return torch.cuda.max_memory_allocated(method.gpu) - rest
