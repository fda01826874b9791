"""Cost of a piece of work: seconds, peak memory and, where the device reports it, energy."""

import os
import resource
import time
from pathlib import Path
from typing import Any

from wavloc import provenance

RAPL = Path("/sys/class/powercap")  # energy counters of processors under Linux


def add(total: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Cost of work done in two parts, such as a resumed training."""
    if not total:
        return part
    devices = dict.fromkeys([*total["device"].split(" + "), part["device"]])
    known = total["energy_wh"] is not None and part["energy_wh"] is not None
    return {
        "device": " + ".join(devices),
        "seconds": total["seconds"] + part["seconds"],
        "peak_memory_mb": max(total["peak_memory_mb"], part["peak_memory_mb"]),
        "energy_wh": total["energy_wh"] + part["energy_wh"] if known else None,
        "energy_note": "" if known else total["energy_note"] or part["energy_note"],
    }


class Meter:
    """Starts when created; `read` returns the cost since then as plain JSON values.

    gpu: a torch CUDA device, or None for the processor. Peak memory is that of this process:
    resident since it began (processor), or allocated since the meter started (GPU).
    """

    def __init__(self, gpu: Any = None):
        self.gpu = gpu
        if gpu is not None:
            import torch

            torch.cuda.reset_peak_memory_stats(gpu)
        self._energy_j, self._energy_note = energy_j(gpu)
        self._started = time.perf_counter()

    def read(self) -> dict[str, Any]:
        """device, seconds, peak_memory_mb, energy_wh (or None, the reason in energy_note)."""
        if self.gpu is not None:
            import torch

            torch.cuda.synchronize(self.gpu)
            peak = torch.cuda.max_memory_allocated(self.gpu) / 2**20
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        seconds = time.perf_counter() - self._started
        now, note = energy_j(self.gpu)
        spent = None
        if now is not None and self._energy_j is not None:
            spent = (now - self._energy_j) / 3600
            if spent < 0:  # the counter started again
                spent, note = None, "the energy counter overflowed"
        return {
            "device": device(self.gpu),
            "seconds": seconds,
            "peak_memory_mb": peak,
            "energy_wh": spent,
            "energy_note": note or self._energy_note,
        }


def device(gpu: Any = None) -> str:
    """Name of a torch CUDA device, or of the processor."""
    if gpu is None:
        return provenance.device()
    import torch

    return torch.cuda.get_device_name(gpu)


def energy_j(gpu: Any = None) -> tuple[float | None, str]:
    """Energy counter of the whole device (all work on it) in joules, or None and the reason."""
    if gpu is not None:
        return _gpu_energy_j(gpu)
    packages = sorted(RAPL.glob("intel-rapl:[0-9]*/energy_uj"))
    packages = [path for path in packages if path.parent.name.count(":") == 1]
    if not packages:
        return None, "the processor reports no energy"
    if not all(os.access(path, os.R_OK) for path in packages):
        return None, "the processor's energy counter may not be read"
    return sum(int(path.read_text()) for path in packages) / 1e6, ""


def _gpu_energy_j(gpu: Any) -> tuple[float | None, str]:
    try:
        import pynvml
        import torch

        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(gpu).uuid
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3, ""
    except ImportError:
        return None, "the GPU's energy is read through nvidia-ml-py, which is not installed"
    except Exception as error:  # NVML has many errors for a card without a counter
        return None, f"the GPU reports no energy ({error})"
