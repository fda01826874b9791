"""How much of a device's memory one piece of work may take."""

from __future__ import annotations

import torch

SHARE = 0.25  # of what is free: the rest is for gradients, and for blocks that the allocator keeps


def free_bytes(device: torch.device) -> int | None:
    """Memory of a GPU that is free, or kept by this process for nothing; None for a processor."""
    if device.type != "cuda":
        return None
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def fitting(device: torch.device, bytes_each: int, most: int, on_cpu: int) -> int:
    """How many things of that size to treat at once: at most ``most``; ``on_cpu`` on a processor,
    where the cache decides and not the memory.
    """
    free = free_bytes(device)
    if free is None:
        return max(1, on_cpu)
    return max(1, min(most, int(SHARE * free) // bytes_each))
