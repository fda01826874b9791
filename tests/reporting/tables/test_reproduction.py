"""Values printed in the papers, and whether our intervals cover them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wavloc import config
from wavloc.reporting import tables
from wavloc.reporting.tables import reproduction
from wavloc.reporting.tables.tidy import METRICS_COLUMNS

# All numbers of the tables of the wav2pos paper; another paper repeats Table I and adds a row. In
# Table II Multilat* has none for five microphones, and all but one row are for setup 1a alone.
PRINTED = {"table1": 2 * 6 * 2, "table2": 5 * 3 - 1 + 3 * 3, "table3": 2 * 3, "table4": 6 * 2}
PRINTED |= {"table5": 4 * 2, "table6": 2 * 2, "table7": 5 * 8, "table_fault_tolerance": 2 * 6 * 2}


def test_published_values_stand_in_cells_of_our_tables(root: Path) -> None:
    paper = pd.read_csv(root / "config" / "paper_values.csv", dtype={"setup": str})
    assert paper["table"].value_counts().to_dict() == PRINTED
    assert not paper.duplicated(["table", *tables.CELL]).any()
    specs = config.load(root / "config" / "config.yaml")
    for row in paper.to_dict("records"):
        spec = specs["tables"][row["table"]]
        assert row["track"] in spec["tracks"]
        assert row["setup"] in spec["setups"]
        assert row["mics"] in spec["mics"]
        assert row["metric"] in spec["metrics"]
        entry = specs["methods"].get(row["method"], {"paper_label": "data"})
        assert entry["paper_label"]
    by_cell = paper.set_index(["track", "method", "metric"])["paper_value"]
    one, again, seven = (
        by_cell[(paper["table"] == name).to_numpy()].to_dict()
        for name in ("table1", "table_fault_tolerance", "table7")
    )
    assert one == again
    both = one.keys() & seven.keys()
    assert len(both) == 10
    assert all(one[key] == seven[key] for key in both)  # Tables I and VII share two tracks
    # Intervals are printed for errors; another paper prints the fault-tolerant method without.
    of_errors = paper["table"].isin([f"table{k}" for k in (1, 2, 3, 4, 7)])
    of_errors &= paper["method"] != "fault_tolerant"
    assert (paper["paper_halfwidth"].notna() == of_errors).all()


def test_published_values_are_those_at_hand(root: Path, shared: Path) -> None:
    given = shared / "paper" / "paper_values.csv"
    if not given.is_file():
        pytest.skip("the printed values are not here")
    lines = (root / "config" / "paper_values.csv").read_text().splitlines()
    assert set(given.read_text().splitlines()) <= set(lines)


def test_every_table_of_the_paper_shows_its_values_and_their_halfwidths(
    root: Path, tmp_path: Path
) -> None:
    specs = config.load(root / "config" / "config.yaml")
    (tmp_path / "none.csv").write_text(",".join(["dataset", *tables.CELL, *METRICS_COLUMNS]))
    for number in range(1, 8):
        name = f"table{number}"
        spec = specs["tables"][name] | {"methods": None}
        rows = {n: entry | {"label": n} for n, entry in specs["methods"].items()}
        rows |= {"data": {"label": "data"}} if number == 6 else {}
        paper = root / "config" / "paper_values.csv"
        frame = tables.assemble(name, spec, rows, [tmp_path / "none.csv"], paper)
        assert frame["paper_value"].notna().sum() == PRINTED[name], name
        if number in (2, 3, 4, 7):
            tables.write(tmp_path / name, frame, spec, rows)
            shown = (tmp_path / f"{name}.md").read_text()
            row = frame[frame["paper_halfwidth"].notna()].iloc[0]
            assert f" {row['paper_value']:.1f} ± {row['paper_halfwidth']:.1f} " in shown


def test_reproduction_is_judged_on_the_papers_data_only(tmp_path: Path) -> None:
    base = dict.fromkeys(tables.COLUMNS, np.nan) | {
        "table": "table1", "track": "t", "setup": "1a", "mics": 11, "metric": "mae", "unit": "cm",
        "note": "",
    }  # fmt: skip
    rows = [
        base | {"dataset": d, "method": m, "value": v, "ci_low": v - 1, "ci_high": v + 1,
                "paper_value": 20.0, "paper_halfwidth": 0.7, "note": "gone" if np.isnan(v) else ""}
        for d in ("real", "twin")
        for m, v in (("in", 20.5), ("out", 25.0), ("none", np.nan))
    ]  # fmt: skip
    rows.append(base | {"dataset": "real", "method": "more", "value": 3.0})
    rows[0]["ci_low"] = 20.0  # the border belongs to the interval
    path = tmp_path / "table1.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    view = reproduction.view([path], ["real"]).set_index(["dataset", "method"])
    assert view["verdict"].to_dict() == {
        ("real", "in"): "covered",
        ("real", "out"): "not covered",
        ("real", "none"): "not judged",
        ("twin", "in"): "not judged",
        ("twin", "out"): "not judged",
        ("twin", "none"): "not judged",
    }
    assert view.loc[("real", "none"), "reason"] == "gone"
    assert view.loc[("twin", "in"), "reason"] == "not the paper's data"
    reproduction.write(tmp_path / "view", reproduction.view([path], ["real"]), "Profile x.")
    text = (tmp_path / "view.md").read_text()
    assert "1 of 2 judged cells" in text
    assert text.count("| 20.0 ± 0.7 |") == 6
    assert "4 could not be judged" in text
    unjudged = reproduction.to_markdown(reproduction.view([path], []))
    assert unjudged.count("not the paper's") == 6
    assert "None of the 6 cells that the papers print is judged." in unjudged
    assert "0 of 0" not in unjudged
