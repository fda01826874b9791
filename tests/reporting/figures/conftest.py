"""Figures that are drawn, to be looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from wavloc.reporting import style


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that were saved."""
    kept: list[Figure] = []
    save = style.save

    def keep(figure: Figure, stem: Path) -> None:
        kept.append(figure)
        save(figure, stem)

    monkeypatch.setattr(style, "save", keep)
    return kept
