"""Number formats of a training: plain float32, or faster ones where the device has them.

Only the networks and their features run in a faster format. The simulation of fresh rooms stays in
full float32 (TF32 would cost it an error of 1e-3), and so do all Fourier transforms.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from wavloc.errors import InputError


class Format(NamedTuple):
    """network, features: type of autocast (None: float32). tf32: mantissas of 10 bits on a GPU."""

    network: torch.dtype | None = None
    features: torch.dtype | None = None
    tf32: bool = False


FORMATS = {
    "float32": Format(),
    "tf32": Format(tf32=True),
    "bf16": Format(network=torch.bfloat16, tf32=True),
    "bf16_all": Format(network=torch.bfloat16, features=torch.bfloat16, tf32=True),
}


AUTO = "auto"
CPU_INFO = Path("/proc/cpuinfo")
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def resolved(name: str, device: torch.device) -> str:
    """A name of `FORMATS`: ``auto`` is bf16 on a CPU that multiplies such numbers, which it then
    does four times as fast, and float32 elsewhere.
    """
    if name != AUTO:
        return name
    return "bf16" if device.type == "cpu" and BF16_FLAGS & _cpu_flags() else "float32"


def _cpu_flags() -> set[str]:
    with contextlib.suppress(OSError):
        for line in CPU_INFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("flags"):
                return set(line.partition(":")[2].split())
    return set()


def format_of(name: str) -> Format:
    """Format by name; an unknown one is an `InputError`."""
    if name not in FORMATS:
        raise InputError(f"precision '{name}', expected {', '.join([AUTO, *FORMATS])}")
    return FORMATS[name]


@contextlib.contextmanager
def autocast(device: torch.device, dtype: torch.dtype | None, tf32: bool) -> Iterator[None]:
    """Compute matrix products and convolutions on ``device`` in that format."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    try:
        if dtype is None:
            yield
        else:
            with torch.autocast(device.type, dtype):
                yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
