"""Tables: a tidy csv from metrics files, and Markdown and LaTeX that look like the paper's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from wavloc import files
from wavloc.reporting.tables.grid import layout
from wavloc.reporting.tables.latex import to_latex
from wavloc.reporting.tables.markdown import to_markdown
from wavloc.reporting.tables.tidy import CELL, COLUMNS, NOT_COMPUTED, assemble, metrics_of, read

__all__ = ["CELL", "COLUMNS", "NOT_COMPUTED", "assemble", "layout", "metrics_of", "read", "write"]


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
    files.write_csv(f"{stem}.csv", frame, 4)
    files.write_text(f"{stem}.md", to_markdown(grid, spec["title"], caption))
    files.write_text(f"{stem}.tex", to_latex(grid, frame["table"].iloc[0], caption))
