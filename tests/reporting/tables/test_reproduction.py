"""Values printed in the papers, and whether our intervals cover them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from wavloc import config
from wavloc.reporting import tables
from wavloc.reporting.tables import reproduction

# Rows of the wav2pos paper that were at hand. Table I is complete; another paper repeats it.
PRINTED = {"table1": 2 * 5 * 2, "table2": 1, "table5": 3 * 2, "table6": 2 * 2}
PRINTED |= {"table_fault_tolerance": 2 * 5 * 2}
PRINTING = ("multilat", "multilat_ngcc", "dinn", "gnn", "wav2pos", "data")


def test_published_values_stand_in_cells_of_our_tables(root: Path) -> None:
    paper = pd.read_csv(root / "config" / "paper_values.csv", dtype={"setup": str})
    wav2pos = paper[paper["method"].isin(PRINTING)]
    assert wav2pos["table"].value_counts().to_dict() == PRINTED
    specs = config.load(root / "config" / "config.yaml")
    for row in paper.to_dict("records"):
        spec = specs["tables"][row["table"]]
        assert row["track"] in spec["tracks"]
        assert row["setup"] in spec["setups"]
        assert row["mics"] in spec["mics"]
        assert row["metric"] in spec["metrics"]
        entry = specs["methods"].get(row["method"], {"paper_label": "data"})
        assert entry["paper_label"]
    one = wav2pos[wav2pos["table"] == "table1"]
    again = paper[paper["table"] == "table_fault_tolerance"]
    assert (
        again["paper_value"].tolist() == paper[paper["table"] == "table1"]["paper_value"].tolist()
    )
    assert one.groupby(["track", "metric"]).size().tolist() == [5, 5, 5, 5]


def test_reproduction_is_judged_on_the_papers_data_only(tmp_path: Path) -> None:
    base = dict.fromkeys(tables.COLUMNS, np.nan) | {
        "table": "table1", "track": "t", "setup": "1a", "mics": 11, "metric": "mae", "unit": "cm",
        "note": "",
    }  # fmt: skip
    rows = [
        base | {"dataset": d, "method": m, "value": v, "ci_low": v - 1, "ci_high": v + 1,
                "paper_value": 20.0, "note": "gone" if np.isnan(v) else ""}
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
    assert "4 could not be judged" in text
    assert reproduction.to_markdown(reproduction.view([path], [])).count("not the paper's") == 6
