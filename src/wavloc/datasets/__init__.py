"""Datasets: one file each, selected by file name or by entry point ``wavloc.datasets``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavloc import plugins
from wavloc.datasets.base import Dataset
from wavloc.errors import InputError


def create(
    name: str,
    entry: Mapping[str, Any] | None = None,
    seed: int = 0,
    data: str | Path | None = None,
) -> Dataset:
    """Make a dataset from its config entry (keys ``module`` and ``options``, both optional).

    data: folder with the recordings, for a dataset that reads recordings.
    """
    entry = entry or {}
    for key in entry:
        if key not in ("module", "options"):
            raise InputError(
                f"datasets.{name}: unknown key '{key}', expected module or options "
                f'(an option of the dataset: {{"options": {{"{key}": ...}}}})'
            )
    if not isinstance(entry.get("options") or {}, Mapping):
        raise InputError(f"datasets.{name}.options: expected names and values")
    dataset = plugins.plugin_class("datasets", entry.get("module", name))
    return dataset(entry.get("options"), name=name, seed=seed, data=data)
