"""Dry sound for the simulations: speech and music from several sources.

A source is a module of this folder with ``collect(kind, options, cache, seed)``, which returns
the items and the metadata of a corpus.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavloc import ranges
from wavloc.checks import one_of, shown
from wavloc.datasets.sound import corpus
from wavloc.errors import InputError

SOURCES = {
    "speech": ("embedded", "folder", "librispeech", "synthetic"),
    "music": ("embedded", "folder", "synthetic"),
}
# Options of all sources of a kind, each with a value; their ranges stand in `wavloc.ranges`.
OPTIONS: dict[str, dict[str, Any]] = {
    "speech": {
        **{"voices": 16, "utterances_per_voice": 12, "min_seconds": 1.0},
        **{"root": "", "subset": "", "expect": {}, "exclude": []},
        **{"test_fraction": 0.2, "valid_fraction": 0.1},
    },
    "music": {"songs": 2, "seconds": 60.0, "root": ""},
}


def check_options(kind: str, options: Mapping[str, Any]) -> None:
    """Raise `InputError` for options that no source of a kind has, or that cannot be."""
    for key, value in options.items():
        default = OPTIONS[kind][one_of(key, OPTIONS[kind], f"sound.{kind}: unknown key")]
        ranges.check(value, default, (), f"sound.{kind}.{key}")
        if isinstance(default, dict | list) and not isinstance(value, type(default)):
            raise InputError(
                f"sound.{kind}.{key}: {shown(value)}, expected a {type(default).__name__}"
            )


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
    check_options(kind, options)
    if source in ("folder", "librispeech") and "root" not in options:
        raise InputError(f"{kind} source '{source}' needs the option root: a folder")
    module = f"embedded_{kind}" if source == "embedded" else source
    collect = importlib.import_module(f"{__name__}.{module}").collect
    items, meta = collect(kind, dict(options), Path(cache), seed)
    corpus.write(out, kind, items, {"source": source, "seed": seed, **meta})
