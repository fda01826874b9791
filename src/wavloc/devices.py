"""Devices that torch computes on: which one, how many threads, how much memory is free."""

import os

import torch

from wavloc.errors import InputError

_EXPECTED = "expected auto, cpu, cuda, cuda:1 or the like"
SHARE = 0.25  # of the free memory; the rest is for gradients and for blocks the allocator keeps


def choose_device(name: str) -> torch.device:
    """Device by name; ``auto`` is the GPU if there is one."""
    if name == "auto":
        gpu = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"  # each process of a group has its own
        return torch.device(gpu if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"device '{name}': {reason}; {_EXPECTED}") from None
    if device.type == "meta":  # computes nothing
        raise InputError(f"device '{name}': {_EXPECTED}")
    return device


def set_threads(count: int) -> None:
    """CPU threads of torch. Another number changes the last bits of a training."""
    torch.set_num_threads(count)


def free_bytes(device: torch.device) -> int | None:
    """Memory of a GPU that is free or only cached by this process; None for a CPU."""
    if device.type != "cuda":
        return None
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + cached


def fitting(device: torch.device, bytes_each: int, most: int, on_cpu: int) -> int:
    """Number of items to treat at once: at most ``most`` that fit the free memory of a GPU, or
    ``on_cpu``, where the cache decides and not the memory.
    """
    free = free_bytes(device)
    if free is None:
        return max(1, on_cpu)
    return max(1, min(most, int(SHARE * free) // bytes_each))
