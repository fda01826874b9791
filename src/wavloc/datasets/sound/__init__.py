"""Dry sound for the simulations: speech and music from several sources.

A source is a module of this folder with ``collect(kind, options, cache, seed)``, which returns
the items and the metadata of a corpus.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavloc.datasets.sound import corpus
from wavloc.errors import InputError

SOURCES = {
    "speech": ("embedded", "folder", "librispeech", "synthetic"),
    "music": ("embedded", "folder", "synthetic"),
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
    known = SOURCES.get(kind, ())
    if source not in known:
        raise InputError(f"{kind} source '{source}' is unknown, expected one of {', '.join(known)}")
    module = f"embedded_{kind}" if source == "embedded" else source
    collect = importlib.import_module(f"{__name__}.{module}").collect
    items, meta = collect(kind, dict(options), Path(cache), seed)
    corpus.write(out, kind, items, {"source": source, "seed": seed, **meta})
