"""Curves over conditions and tracks from above: what is drawn, what is missing, fonts in PDFs."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from wavloc import config
from wavloc.errors import InputError
from wavloc.geometry import LUVIRA_MICS
from wavloc.reporting import curves, figures, gather

METHODS = {"multilat": "Multilat", "gnn": "GNN", "lost": "Lost"}
LOOKS = {
    name: {**figures.method_style(place), "label": METHODS[name]}
    for place, name in enumerate(METHODS)
}


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """Figures that were saved, to look at their lines."""
    kept: list[Figure] = []
    save = figures.save

    def keep(figure: Figure, stem: Path) -> None:
        kept.append(figure)
        save(figure, stem)

    monkeypatch.setattr(figures, "save", keep)
    return kept


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


def test_a_curve_has_the_frames_of_one_condition(tmp_path: Path, drawn) -> None:
    curves.sweep(conditions(), "snr_db", "mae", LOOKS, tmp_path / "fig3a")
    shown = lines(drawn[0])
    assert shown["GNN"] == ([0, 10, 20], [50, 40, 30])
    assert shown["Lost"] == ([0, 10, 20], [300, 40, 30])  # failed frames count 3 m
    bands = drawn[0].axes[0].collections
    assert len(bands) == 3
    assert drawn[0].axes[0].get_ylabel() == "MAE (cm)"
    curves.sweep(conditions(), "snr_db", "acc30", LOOKS, tmp_path / "fig3b")
    assert lines(drawn[1])["Lost"][1] == [0, 60, 70]


def test_missing_metrics_are_said_in_the_figure(tmp_path: Path, drawn) -> None:
    rows = conditions()
    rows.loc[:, ["value", "ci_low", "ci_high"]] = np.nan
    rows["note"] = "needs at least 12 microphones"
    rows["metric"] = "si_sdr_gain"
    curves.sweep(rows, "snr_db", "si_sdr_gain", LOOKS, tmp_path / "fig3e")
    curves.sweep(rows[:0], "snr_db", "si_sdr_gain", LOOKS, tmp_path / "none")
    texts = [figure.axes[0].texts[0].get_text() for figure in drawn]
    assert texts == [
        "not computed: needs at least 12 microphones",
        "not computed: no metrics",
    ]
    with pytest.raises(InputError, match="no --metrics FILE"):
        gather.draw({"kind": "sweep"}, {}, {}, {}, tmp_path / "x")


def test_track_from_above_breaks_at_gaps(tmp_path: Path, drawn) -> None:
    time_s = np.concatenate([np.arange(10), np.arange(20, 30)]) * 0.128
    truth = np.stack([np.sin(time_s), np.cos(time_s), np.ones(20)], axis=1)
    found = truth.copy()
    found[4] = 2.0  # one outlier: the median removes it
    estimates = {
        "GNN": (found, figures.method_style(1)),
        "Lost": (truth * np.nan, figures.method_style(2)),
    }
    for width in (0, 5):
        curves.from_above("t", time_s, truth, estimates, LUVIRA_MICS, tmp_path / "fig1", width)
    panel = drawn[0].axes[0]
    path = [line for line in panel.lines if line.get_color() == figures.TRUTH]
    assert [len(line.get_xdata()) for line in path] == [10, 10]
    assert drawn[0].axes[1].get_title() == "Lost\nno frame located"
    for figure, outliers in zip(drawn, (1, 0), strict=True):
        dots = [line.get_xdata() for line in figure.axes[0].lines if line.get_linestyle() == "None"]
        assert (np.concatenate(dots[1:]) == 2.0).sum() == outliers
    curves.from_above("t", time_s, truth, {}, LUVIRA_MICS, tmp_path / "bare")
    assert (tmp_path / "bare.pdf").stat().st_size > 3000


def test_a_method_looks_the_same_in_every_figure(tmp_path: Path, drawn) -> None:
    """Its place in the whole configuration decides, not its place among those shown."""
    style = figures.method_style(5)
    entries = {
        name: {"label": name, "place": place}
        for name, place in (("multilat", 0), ("wav2pos", 5), ("srp", 9))
    }
    conditions().assign(method="wav2pos").to_csv(tmp_path / "m.csv", index=False)
    spec = {"kind": "sweep", "x": "snr_db", "metric": "mae"}
    for shown in (entries, {"wav2pos": entries["wav2pos"]}):
        gather.draw(spec, {}, {}, shown, tmp_path / "f", [tmp_path / "m.csv"])
    path = np.zeros((4, 3))
    own = {"wav2pos": (path, style)}
    figures.trajectory("t", np.arange(4.0), path, own, tmp_path / "f")
    panels = {"s": {"t": {"wav2pos": np.full(4, 0.1)}}}
    figures.error_distribution(panels, {"wav2pos": style}, tmp_path / "f")
    for figure in drawn:
        entry = next(
            handle for handle in figure.legends[0].legend_handles if handle.get_label() == "wav2pos"
        )
        assert entry.get_color() == style["color"]
        assert entry.get_marker() == style["marker"]


def test_the_most_shown_methods_have_a_colour_of_their_own(root: Path) -> None:
    methods = config.load(root / "config" / "config.yaml")["methods"]
    places = config.places(methods)
    assert sorted(places.values()) == list(range(len(methods)))
    first = ["multilat", "multilat_ngcc", "dinn", "gnn", "wav2pos", "multilat_plus"]
    assert len({figures.method_style(places[name])["color"] for name in first}) == len(first)


def test_fonts_are_embedded_in_pdfs(tmp_path: Path) -> None:
    curves.sweep(conditions(), "snr_db", "mae", LOOKS, tmp_path / "fig3a")
    content = (tmp_path / "fig3a.pdf").read_bytes()
    described = re.findall(rb"/Type /FontDescriptor.*?>>", content, re.DOTALL)
    assert described
    assert all(b"/FontFile2" in font for font in described)  # TrueType, as a whole or in part
    assert b"/Type3" not in content
