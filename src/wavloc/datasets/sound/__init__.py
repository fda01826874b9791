"""Dry sound for the simulations: speech and music from several sources.

A source is a module of this folder with ``collect(kind, options, cache, seed)``, which returns
the items and the metadata of a corpus.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavloc.datasets.sound import corpus
from wavloc.errors import InputError

# (kind, source) -> module.
SOURCES = {
    ("speech", "embedded"): "embedded_speech",
    ("speech", "librispeech"): "librispeech",
    ("speech", "folder"): "folder",
    ("speech", "synthetic"): "synthetic",
    ("music", "embedded"): "embedded_music",
    ("music", "folder"): "folder",
    ("music", "synthetic"): "synthetic",
}


def prepare(
    kind: str,
    source: str,
    out: str | Path,
    options: Mapping[str, Any],
    cache: str | Path,
    seed: int = 0,
) -> None:
    """Collect dry sound of a kind (speech, music) from a source into the corpus folder ``out``.

    cache: folder of fetched and synthesised files, shared by all runs.
    """
    if (kind, source) not in SOURCES:
        known = sorted(name for other, name in SOURCES if other == kind)
        raise InputError(f"{kind} source '{source}' is unknown, expected one of {', '.join(known)}")
    collect = importlib.import_module(f"{__name__}.{SOURCES[kind, source]}").collect
    items, meta = collect(kind, dict(options), Path(cache), seed)
    corpus.write(out, kind, items, {"source": source, "seed": seed, **meta})
