"""The state of a training run on disk: all tensors in one safetensors file, never code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from wavloc import files

FILE = "state.safetensors"


def save(
    folder: Path,
    network: nn.Module,
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    note: dict[str, Any],
) -> None:
    """Write the state after an epoch. note: JSON (epoch, history, best criterion)."""
    tensors = {f"last.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    with files.replacing(folder / FILE) as temporary:
        save_file(tensors, temporary, {"note": json.dumps(note)})


def load(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Fill network and optimizer from the last state: its note and the best weights, or None."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as stored:
            note = json.loads(stored.metadata()["note"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError):
        return None  # damaged by a crash: start again
    parts: dict[str, dict[str, Tensor]] = {"last": {}, "best": {}, "optimizer": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    network.load_state_dict(parts["last"])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["optimizer"].items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    return note, parts["best"]
