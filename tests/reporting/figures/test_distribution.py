"""Cumulative error distributions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavloc.reporting import style
from wavloc.reporting.figures.distribution import cumulative, distribution

LOOKS = {"GNN": style.method_style(0), "all failed": style.method_style(1)}


def test_error_distribution(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    errors = np.where(random.random(200) < 0.2, np.nan, random.gamma(2, 0.1, 200))
    x, y = cumulative(errors)
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) > 0).all()
    assert y[-1] == pytest.approx(100 * np.isfinite(errors).mean())
    assert cumulative(np.full(5, np.nan))[1].size == 0
    by_method = {"GNN": errors, "all failed": np.full(200, np.nan)}
    panels = {"split 1": {"music1": by_method, "speech1": by_method}, "split 2": {"m": by_method}}
    figure = distribution(panels, LOOKS)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["split 1: music1", "split 2: m"]
    style.save(figure, tmp_path / "fig6")
    assert (tmp_path / "fig6.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "fig6.pdf").read_bytes().startswith(b"%PDF")


def test_many_methods_are_drawn_in_groups() -> None:
    random = np.random.default_rng(0)
    labels = [f"m{k}" for k in range(10)]
    looks = {label: style.method_style(k) for k, label in enumerate(labels)}
    by_method = {label: random.gamma(2, 0.1, 20) for label in labels[:-1]}  # one was not run
    together = {style.GROUPS[0]: labels[:4], style.GROUPS[1]: labels[4:9], style.GROUPS[2]: ["m9"]}
    splits = {"split 1": {"music1": by_method, "speech1": by_method}, "split 2": {"m": by_method}}
    figure = distribution(splits, looks, together)
    titles = [axes.get_title() for axes in figure.axes]
    papers, further, _ = style.GROUPS
    assert titles[0::2] == [
        *(f"split 1: music1\n{papers}", f"split 1: music1\n{further}"),
        *(f"split 1: speech1\n{papers}", f"split 1: speech1\n{further}"),
    ]
    assert titles[1::2] == [f"split 2: m\n{papers}", f"split 2: m\n{further}", "", ""]
    curves = [(len(axes.lines) - 1) // 2 for axes in figure.axes]
    assert curves == [4, 4, 5, 5, 4, 0, 5, 0]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {*labels, "30 cm"} <= set(texts)
