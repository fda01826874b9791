"""Tables: a tidy csv from metrics files, and Markdown and LaTeX that look like the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from wavloc import files
from wavloc.reporting.tables.grid import layout
from wavloc.reporting.tables.latex import to_latex
from wavloc.reporting.tables.markdown import to_markdown
from wavloc.reporting.tables.tidy import CELL, COLUMNS, assemble, metrics_of, read

__all__ = ["CELL", "COLUMNS", "assemble", "layout", "metrics_of", "read", "write"]


def write(
    stem: str | Path,
    frame: pd.DataFrame,
    spec: Mapping[str, Any],
    methods: Mapping[str, Mapping[str, Any]],
    caption: str = "",
) -> None:
    """Write ``<stem>.csv`` (tidy), ``<stem>.md`` and ``<stem>.tex``, each atomically.

    ``caption`` replaces the one of the spec.
    """
    caption = caption or spec["caption"]
    grid = layout(frame, spec, methods)
    texts = {
        "csv": frame.to_csv(index=False, float_format="%.4f", lineterminator="\n"),
        "md": to_markdown(grid, spec["title"], caption),
        "tex": to_latex(grid, frame["table"].iloc[0], caption),
    }
    for suffix, text in texts.items():
        files.write_text(f"{stem}.{suffix}", text)
