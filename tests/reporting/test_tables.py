"""Tables, figures and the report: complete, honest about gaps, equal bytes from equal data."""

import itertools

import numpy as np
import pandas as pd
import pytest

from wavloc.errors import InputError
from wavloc.geometry import LUVIRA_MICS
from wavloc.reporting import figures, gather, tables
from wavloc.reporting.grid import EVERYWHERE, layout

SPEC = {
    "title": "Table I",
    "caption": "All microphones, 50 % of A & B_1.",
    "layout": "tracks",
    "dataset": "luvira",
    "tracks": ["music3", "speech3"],
    "setups": ["1a"],
    "mics": [11],
    "metrics": ["mae", "acc30"],
}
VALUES = {"mae": "cm", "median": "cm", "acc30": "%", "failure_rate": "%"}
PAPER = "config/paper_values.csv"
LOOKS = {"GNN": figures.method_style(0), "all failed": figures.method_style(1)}
REFUSAL = "gnn needs at least 12 microphones & <more>, got 11"


def method(label, paper_label=None, control=False, parameters=None):
    return {
        "label": label,
        "paper_label": paper_label,
        "reference": f"{label} et al.",
        "input_types": "raw audio",
        "learned": False,
        "permutation_invariant": True,
        "variable_mics": True,
        "parameters": parameters,
        "control": control,
    }


METHODS = {
    "oracle": method("oracle", control=True),
    "srp_phat": method("SRP_PHAT 100%"),
    "multilat": method("multilateration", "Multilat"),
    "gnn": method("GNN", "GNN", parameters=1_234_567),
    "wav2pos": method("wav2pos", "wav2pos", parameters=340_000),
}


def cell(folder, name, track, value, setup="1a", mics=11, dataset="luvira", note=""):
    """A metrics file of one cell and one method, in the form of the evaluation stage."""
    rows = [
        {
            "dataset": dataset, "track": track, "setup": setup, "mics": mics, "method": name,
            "metric": metric, "unit": unit, "value": value, "ci_low": value - 0.5,
            "ci_high": value + 0.5, "n_frames": 100, "failure_rate": 2.0, "note": note,
        }
        for metric, unit in VALUES.items()
    ]  # fmt: skip
    path = folder / f"{dataset}-{track}-{setup}-{mics}-{name}.csv"
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.6f")
    return path


@pytest.fixture
def metrics(tmp_path):
    """oracle best, srp_phat, multilat; gnn refuses; wav2pos was never run on speech3."""
    found = []
    for track in SPEC["tracks"]:
        found.append(cell(tmp_path, "oracle", track, 1.0))
        found.append(cell(tmp_path, "srp_phat", track, 20.0))
        found.append(cell(tmp_path, "multilat", track, 30.0))
        found.append(cell(tmp_path, "gnn", track, float("nan"), note=REFUSAL))
    found.append(cell(tmp_path, "wav2pos", "music3", 14.04))
    found.append(cell(tmp_path, "wav2pos", "speech3", 5.0, dataset="another"))
    return found


@pytest.fixture
def paper(request):
    return request.config.rootpath / PAPER


def pick(frame, **wanted):
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame


def test_every_expected_row_is_there(metrics):
    frame = tables.assemble("table1", SPEC, METHODS, metrics)
    assert list(frame.columns) == tables.COLUMNS
    assert len(frame) == 2 * len(METHODS) * len(EVERYWHERE)
    assert not frame.duplicated(tables.CELL).any()
    missing = pick(frame, method="wav2pos", track="speech3")
    assert missing["value"].isna().all()
    assert missing["note"].str.startswith("not computed").all()
    refused = pick(frame, method="gnn")
    assert refused[refused["metric"].isin(VALUES)]["note"].eq(REFUSAL).all()
    assert frame["paper_value"].isna().all()
    empty = tables.assemble("table1", SPEC, METHODS, [])
    assert len(empty) == len(frame)
    assert empty["value"].isna().all()
    assert tables.to_markdown(empty, SPEC, METHODS).count("<sup>a</sup>") == 21


def test_a_metric_that_the_evaluation_left_out_is_named(metrics):
    spec = SPEC | {"metrics": ["rmse"]}
    frame = tables.assemble("table1", spec, METHODS, metrics)
    assert pick(frame, metric="rmse")["note"].str.contains("lack 'rmse'").sum() == 9


def test_bad_metrics_are_refused(metrics, tmp_path):
    with pytest.raises(InputError, match="there twice"):
        tables.assemble("table1", SPEC, METHODS, [*metrics, metrics[0]])
    with pytest.raises(InputError, match=r"expected one of mae, .*"):
        tables.assemble("table1", SPEC | {"metrics": ["speed"]}, METHODS, metrics)
    with pytest.raises(InputError, match="no such table"):
        tables.assemble("table1", SPEC, METHODS, [tmp_path / "none.csv"])
    damaged = tmp_path / "damaged.csv"
    pd.read_csv(metrics[0]).drop(columns="unit").to_csv(damaged, index=False)
    with pytest.raises(InputError, match="'unit' is missing"):
        tables.assemble("table1", SPEC, METHODS, [damaged])
    pd.read_csv(metrics[0]).assign(unit="m").to_csv(damaged, index=False)
    with pytest.raises(InputError, match="unit 'm', expected"):
        tables.assemble("table1", SPEC, METHODS, [damaged])


def test_published_values_reach_only_their_cells(metrics, paper):
    stored = pd.read_csv(paper)
    assert len(pick(stored, table="table1")) == 24
    assert not stored.duplicated(["table", *tables.CELL]).any()
    frame = tables.assemble("table1", SPEC, METHODS, metrics, paper)
    known = frame.dropna(subset="paper_value")
    assert set(known["method"]) == {"multilat", "gnn", "wav2pos"}
    assert len(known) == 12  # the metrics that the paper does not print have none
    assert pick(known, method="gnn", track="music3", metric="acc30")["paper_value"].item() == 90.7
    assert tables.assemble("table2", SPEC, METHODS, metrics, paper)["paper_value"].isna().all()
    fewer = tables.assemble("table1", SPEC | {"mics": [7]}, METHODS, metrics, paper)
    assert fewer["paper_value"].isna().all()


def test_markdown_reads_like_the_paper(metrics, paper):
    frame = tables.assemble("table1", SPEC, METHODS, metrics, paper)
    text = tables.to_markdown(frame, SPEC, METHODS)
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    order = list(rows)
    assert order[2:] == [
        "Multilat",
        "GNN",
        "wav2pos",
        "*Further methods*",
        "SRP_PHAT 100%",
        "oracle",
    ]
    assert "music3 MAE (cm) paper" in rows["Method"]
    assert "38.8" in rows["Multilat"]
    assert "1.2 M" in rows["GNN"]
    assert "340 k" in rows["wav2pos"]
    assert rows["GNN"].count("N/A<sup>a</sup>") == 4
    assert "**14.0 ± 0.5**" in rows["wav2pos"]
    assert "**" not in rows["oracle"]  # a control is never the best
    assert "|  <sup>" not in rows["wav2pos"]
    assert rows["wav2pos"].count("<sup>b</sup>") == 2
    assert "<sup>a</sup> gnn needs at least 12 microphones & &lt;more>" in text
    assert "<sup>b</sup> not computed" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_latex_is_escaped_and_balanced(metrics, paper):
    frame = tables.assemble("table1", SPEC, METHODS, metrics, paper)
    text = tables.to_latex(frame, SPEC, METHODS)
    assert r"50 \% of A \& B\_1." in text
    assert r"SRP\_PHAT 100\%" in text
    assert r"\& \textless{}more\textgreater{}" in text
    assert r"14.0 $\pm$ 0.5" in text
    assert r"\multicolumn{4}{c}{music3}" in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    for name in ("table*", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    assert tables.escape("a\\b^~#$") == (
        r"a\textbackslash{}b\textasciicircum{}\textasciitilde{}\#\$"
    )


def test_two_writes_give_equal_bytes(metrics, paper, tmp_path):
    for name, order in (("one", 1), ("two", -1)):
        frame = tables.assemble("table1", SPEC, METHODS, metrics[::order], paper)
        tables.write(tmp_path / name, frame, SPEC, METHODS, "Profile test.")
    for suffix in ("csv", "md", "tex"):
        one, two = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("one", "two"))
        assert one == two
        assert one
    again = tables.read(tmp_path / "one.csv")
    assert again["setup"].eq("1a").all()
    assert "14.0400" in (tmp_path / "one.csv").read_text()
    assert "Profile test." in (tmp_path / "one.md").read_text()


def test_layouts_by_microphones_and_by_split(tmp_path):
    spec = SPEC | {
        "layout": "mics",
        "tracks": ["speech3"],
        "setups": ["1a", "2a"],
        "mics": [5, 7, 9],
    }
    found = [
        cell(tmp_path, "multilat", "speech3", 10.0 * mics, setup, mics)
        for setup in spec["setups"]
        for mics in spec["mics"]
    ]
    grid = layout(tables.assemble("table2", spec, METHODS, found), spec, METHODS)
    assert grid.properties == []
    assert len(grid.columns) == 12
    assert grid.columns[0] == ("setup 1a", "M = 5", "MAE (cm)")
    assert grid.sections[0][0].cells[-2].text == "90.0 ± 0.5"
    tracks = [f"{kind}{number}" for kind in ("music", "speech") for number in range(1, 5)]
    spec = SPEC | {"layout": "splits", "tracks": tracks, "metrics": ["mae"]}
    grid = layout(tables.assemble("table7", spec, METHODS, []), spec, METHODS)
    heads = [("split 1", "music1"), ("split 1", "speech1"), ("split 2", "music2")]
    assert grid.columns[:3] == heads
    assert len(grid.columns) == 8
    assert "MAE (cm)" in grid.constants
    with pytest.raises(InputError, match="layout 'round' is unknown"):
        layout(tables.assemble("t", SPEC, METHODS, []), SPEC | {"layout": "round"}, METHODS)


def test_error_distribution(tmp_path):
    random = np.random.default_rng(0)
    errors = np.where(random.random(200) < 0.2, np.nan, random.gamma(2, 0.1, 200))
    x, y = figures.cumulative(errors)
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) > 0).all()
    assert y[-1] == pytest.approx(100 * np.isfinite(errors).mean())
    assert figures.cumulative(np.full(5, np.nan))[1].size == 0
    by_method = {"GNN": errors, "all failed": np.full(200, np.nan)}
    panels = {"split 1": {"music1": by_method, "speech1": by_method}, "split 2": {"m": by_method}}
    figures.error_distribution(panels, LOOKS, tmp_path / "fig6")
    assert_picture(tmp_path / "fig6")


def test_trajectory_with_failures_and_gaps_has_equal_bytes(tmp_path):
    time_s = np.concatenate([np.arange(20), np.arange(30, 50)]) * 0.128
    truth = np.stack([np.sin(time_s), np.cos(time_s), np.ones(40)], axis=1)
    failing = truth + 0.1
    failing[3:9] = np.nan
    lost = np.full((40, 3), np.nan)
    estimates = {"GNN": (failing, LOOKS["GNN"]), "all failed": (lost, LOOKS["all failed"])}
    for width in (0, 5):
        for name in ("one", "two"):
            figures.trajectory("music3", time_s, truth, estimates, tmp_path / name, width)
        for suffix in ("png", "pdf"):
            one, two = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("one", "two"))
            assert one == two
    figures.trajectory("one", time_s[:1], truth[:1] * np.nan, {}, tmp_path / "single")
    assert_picture(tmp_path / "one")


def test_array_layouts(tmp_path):
    track = np.random.default_rng(0).random((30, 3))
    figures.array_layout([(LUVIRA_MICS, track)], None, tmp_path / "fig5", plan=True)
    room = np.array([5.0, 4.0, 3.0])
    faces = np.array([[0, 2, 1], [5, 2, 1], [2, 0, 1], [2, 4, 1], [2, 2, 0], [2, 2, 3]], float)
    figures.array_layout([(faces, track[:0]), (faces, track[:1])], room, tmp_path / "fig4")
    kinds = figures._faces(faces, np.zeros(3), room)
    assert kinds.tolist() == ["walls"] * 4 + ["floor", "ceiling"]
    assert_picture(tmp_path / "fig4")
    assert_picture(tmp_path / "fig5")
    table = pd.DataFrame({"time_s": np.arange(30), **dict(zip("xyz", track.T, strict=True))})
    names = [f"m{number}" for number in range(11)]
    figures.located(table, names, LUVIRA_MICS, tmp_path / "own.png")
    assert (tmp_path / "own.png").stat().st_size > 5000


def test_examples_of_a_moving_array_are_different_places(tmp_path, monkeypatch):
    mics = np.random.default_rng(0).random((3, 6, 3)).repeat(2, axis=0)
    np.savez(
        tmp_path / "own.npz",
        audio=np.zeros((6, 6, 64), np.float32),
        mic_positions=mics,
        source_position=np.ones((6, 3)),
        sample_rate=16_000,
    )
    drawn = []
    monkeypatch.setattr(figures, "array_layout", lambda layouts, *_, **__: drawn.extend(layouts))
    spec = {"kind": "layout", "tracks": ["test"]}
    gather.draw(spec, {"test": tmp_path / "own.npz"}, {}, {}, tmp_path / "fig4")
    assert np.array_equal([places for places, _ in drawn], mics[::2])


def test_every_method_has_a_look_of_its_own():
    styles = [figures.method_style(place) for place in range(32)]
    assert len({tuple(style.values()) for style in styles}) == 32
    for two in itertools.combinations(("color", "linestyle", "marker"), 2):  # or in grey
        assert len({tuple(style[key] for key in two) for style in styles}) == 32
    for one, two in itertools.pairwise(styles):
        assert not set(one.values()) & set(two.values())


def assert_picture(stem):
    assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
