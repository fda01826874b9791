"""Curves over conditions: what is drawn, what is missing, fonts in PDFs."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from wavloc.reporting import style
from wavloc.reporting.figures.sweep import sweep

METHODS = {"multilat": "Multilat", "gnn": "GNN", "lost": "Lost"}
LOOKS = {
    name: {**style.method_style(place), "label": METHODS[name]}
    for place, name in enumerate(METHODS)
}


def conditions() -> pd.DataFrame:
    """SNR alone, T60 alone and pairs, for three methods; "lost" fails in every frame of 0 dB."""
    rows = []
    for method, (t60, snr) in itertools.product(
        METHODS, [*((np.nan, s) for s in (20, 0, 10)), (0.2, np.nan), (0.2, 0)]
    ):
        gone = method == "lost" and snr == 0
        for metric in ("mae", "acc30"):
            value = np.nan if gone else 50 - snr if metric == "mae" else 50 + snr
            rows.append(
                {"method": method, "metric": metric, "value": value, "ci_low": value - 5,
                 "ci_high": value + 5, "failure_rate": float(gone), "note": "",
                 "t60_nominal_s": t60, "snr_db": snr}
            )  # fmt: skip
    return pd.DataFrame(rows)


def lines(figure: Figure) -> dict[str, tuple[list, list]]:
    shown = figure.axes[0].lines
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in shown}


def test_a_curve_has_the_frames_of_one_condition() -> None:
    figure = sweep(conditions(), "snr_db", "mae", LOOKS)
    shown = lines(figure)
    assert shown["GNN"] == ([0, 10, 20], [50, 40, 30])
    assert shown["Lost"] == ([0, 10, 20], [300, 40, 30])  # failed frames count 3 m
    assert len(figure.axes[0].collections) == 3  # a band each
    assert figure.axes[0].get_ylabel() == "MAE (cm)"
    hits = sweep(conditions(), "snr_db", "acc30", LOOKS)
    assert lines(hits)["Lost"][1] == [0, 60, 70]


def test_many_curves_are_drawn_in_groups() -> None:
    """Those of the papers, further ones, and the controls beside both; few intervals."""
    rows = {"gnn": {"paper_label": "GNN"}, "multilat": {}, "lost": {"control": True}}
    more = {f"m{k}": {} for k in range(style.FEW)}
    groups = style.groups(rows | more)
    papers, further, controls = groups.values()
    assert (papers, controls) == (["gnn"], ["lost"])
    assert further == ["multilat", *more]
    assert style.groups(rows) == {"": ["gnn", "multilat", "lost"]}
    looks = LOOKS | {name: LOOKS["gnn"] | {"label": name} for name in more}
    figure = sweep(conditions(), "snr_db", "mae", looks, groups, ["gnn"])
    left, right = figure.axes
    assert [axes.get_title() for axes in (left, right)] == list(style.GROUPS[:2])
    assert [line.get_label() for line in left.lines] == ["GNN", "Lost"]
    assert {"Multilat", "Lost"} <= {line.get_label() for line in right.lines}
    assert "GNN" not in {line.get_label() for line in right.lines}
    assert (len(left.collections), len(right.collections)) == (1, 0)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    height = len(texts) // 3  # a column for each group, its title first
    assert texts[::height] == list(style.GROUPS)
    assert texts[1] == "GNN"
    assert texts[height + 1] == "Multilat"


def test_missing_metrics_are_said_in_the_figure() -> None:
    rows = conditions()
    rows.loc[:, ["value", "ci_low", "ci_high"]] = np.nan
    rows["note"] = "needs at least 12 microphones"
    rows["metric"] = "si_sdr_gain"
    drawn = [sweep(part, "snr_db", "si_sdr_gain", LOOKS) for part in (rows, rows[:0])]
    texts = [figure.axes[0].texts[0].get_text() for figure in drawn]
    assert texts == [
        "not computed: needs at least 12 microphones",
        "not computed: no metrics",
    ]


def test_the_legend_says_which_curve_is_missing() -> None:
    rows = conditions()
    rows.loc[rows["method"] == "gnn", ["value", "ci_low", "ci_high"]] = np.nan
    rows = rows[rows["method"] != "multilat"]
    (legend,) = sweep(rows, "snr_db", "mae", LOOKS).legends
    texts = {text.get_text() for text in legend.get_texts()}
    assert texts == {"Multilat (not computed)", "GNN (not computed)", "Lost"}


def test_fonts_are_embedded_in_pdfs(tmp_path: Path) -> None:
    style.save(sweep(conditions(), "snr_db", "mae", LOOKS), tmp_path / "fig3a")
    content = (tmp_path / "fig3a.pdf").read_bytes()
    described = re.findall(rb"/Type /FontDescriptor.*?>>", content, re.DOTALL)
    assert described
    assert all(b"/FontFile2" in font for font in described)  # TrueType, as a whole or in part
    assert b"/Type3" not in content
