"""Datasets: one file each, selected by file name or by entry point ``wavloc.datasets``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavloc import plugins
from wavloc.datasets.base import Dataset


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
    dataset = plugins.plugin_class("datasets", entry.get("module", name))
    return dataset(entry.get("options"), name=name, seed=seed, data=data)
