"""One self-contained HTML page of a run: it is read without a network or any other file."""

from __future__ import annotations

from wavloc.reporting.html.content import report

__all__ = ["report"]
