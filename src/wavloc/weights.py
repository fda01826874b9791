"""Weights on disk and in networks: read safely, tensors only; whatever does not fit is named."""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from wavloc.errors import InputError

State = dict[str, Tensor]


def read_whole(path: str | Path, allowed: Sequence[Any] = ()) -> Any:
    """Content of a torch checkpoint, on the CPU: tensors, plain values, ``allowed`` types."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path}: holds code or objects other than tensors; refused (expected a state dict)"
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not readable as a torch checkpoint ({reason})") from None


def read(path: str | Path) -> State:
    """Tensors of a torch checkpoint by name, on the CPU; anything but plain tensors is refused."""
    loaded = read_whole(path)
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items()
    ):
        raise InputError(f"{path}: expected a state dict (names of tensors and tensors)")
    return dict(loaded)


def load_into(network: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Fill a network; a missing or surplus key or another shape is an `InputError` naming it."""
    expected = {
        name: value
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    given = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    for name in sorted(expected.keys() | given.keys()):
        if name not in given:
            raise InputError(f"{where}: weight '{name}' is missing")
        if name not in expected:
            raise InputError(f"{where}: unexpected weight '{name}'")
        if given[name].shape != expected[name].shape:
            raise InputError(
                f"{where}: weight '{name}' has shape {tuple(given[name].shape)}, "
                f"expected {tuple(expected[name].shape)}"
            )
        if not torch.isfinite(given[name]).all():
            raise InputError(f"{where}: weight '{name}' is not finite")
    network.load_state_dict(dict(given), strict=False)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; a missing or damaged one is an `InputError`."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as safetensors ({error})") from None
