"""The pages on adding a method and a dataset, followed to the letter by a package of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.pages import Reader
from helpers.workflow import fresh


@pytest.fixture(scope="module")
def method(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """The page on methods, followed up to the row in one table."""
    folder = fresh(root, tmp_path_factory.mktemp("method") / "wavloc")
    reader = Reader(root / "docs" / "add_a_method.md", folder)
    reader.type("pip install")
    reader.type("snakemake --cores 2 --configfile config/smoke.yaml")
    return reader


def test_a_method_of_another_package_gets_its_row(method: Reader) -> None:
    (listed,) = method.type("wavloc methods")
    assert re.search(r"loudest +Loudest \[classical", listed)
    assert re.search(r"level_net +Level network \[learned", listed)
    results = method.folder / "results/quick"
    table = pd.read_csv(results / "tables/table_simulated.csv")
    assert table["method"].drop_duplicates().tolist() == ["loudest", "level_net", "center"]
    assert table["value"].notna().all()
    mae = table[table["metric"] == "mae"].set_index("method")["value"]
    assert mae["loudest"] < mae["center"]  # it hears something
    shown = (results / "tables/table_simulated.md").read_text()
    assert "| Level network | levels" in shown
    assert (results / "models/six_faces/speakers/level_net/weights.safetensors").is_file()


def test_a_method_of_another_package_is_in_every_table(root: Path, method: Reader) -> None:
    """Which a dry run and the tables that it would make agree on."""
    (planned,) = method.type("snakemake --cores 8", "--dry-run", "--quiet", "host")
    rendered = {}
    for line in re.findall(r"input: .*results/predictions/.*", planned):
        cell = re.search(r"results/predictions/([^,]*)/[^/,]*[.]parquet", line)[1]
        rendered.setdefault(cell, set()).update(re.findall(r"/(\w+)[.]parquet", line))
    shown = "import sys, json; from wavloc import config; from wavloc.plan import Plan; "
    shown += "plan = Plan(config.load(sys.argv[1])); "
    shown += "print(json.dumps({n: [plan.methods_of(n), [c.path for c in plan.cells_of(n)]] "
    shown += "for n in plan.config['tables']}))"
    entry = str(method.folder / "wavloc-loudest/loudest.yaml")
    rows = json.loads(method.run("python", "-c", shown, entry))
    # Those list their methods.
    own = {"table3", "table4", "table6", "table_lund12_delays", "table_seeds"}
    assert {"table1", "table2", "table7", "table_simulated"} <= rows.keys() - own
    for name in rows.keys() - own:
        methods, cells = rows[name]
        assert {"loudest", "level_net"} <= set(methods), name
        run = set() if name == "table_lund12" else {"loudest", "level_net"}  # both need sound
        assert all({"loudest", "level_net"} & rendered[cell] == run for cell in cells), name


def test_positions_made_elsewhere_are_scored(method: Reader) -> None:
    method.type("python elsewhere.py")
    shown, written = method.type("wavloc evaluate")
    assert "elsewhere" in shown
    assert written == ""
    scored = pd.read_csv(method.folder / "elsewhere_metrics.csv").set_index("metric")
    table = pd.read_csv(method.folder / "results/quick/tables/table_simulated.csv")
    center = table[table["method"] == "center"].set_index("metric")
    for metric in ("mae", "median", "acc30"):  # the script does what that control does
        assert scored.loc[metric, "value"] == pytest.approx(center.loc[metric, "value"], abs=1e-3)
    # From parquet, with failures: they count as three metres.
    positions = pd.read_csv(method.folder / "elsewhere.csv")
    positions.loc[::2] = np.nan
    positions.to_parquet(method.folder / "failing.parquet", index=False)
    frames = ("--frames", "results/quick/data/six_faces/test")
    scored = ("--predictions", "failing.parquet", "--out", "failing.csv")
    method.run("wavloc", "evaluate", *frames, *scored)
    worse = pd.read_csv(method.folder / "failing.csv").set_index("metric")["value"]
    assert worse["failure_rate"] == 50
    assert worse["mae"] > 150


def test_a_dataset_of_another_package_gets_its_cells(root: Path, tmp_path: Path) -> None:
    folder = fresh(root, tmp_path / "wavloc")
    reader = Reader(root / "docs" / "add_a_dataset.md", folder)
    reader.type("pip install")
    assert "corridor (simulated)" in reader.type("wavloc datasets")[0]
    reader.type("snakemake --cores 2 --configfile config/smoke.yaml")
    table = pd.read_csv(folder / "results/quick/tables/table_corridor.csv")
    assert table["dataset"].unique().tolist() == ["corridor"]
    assert table["value"].notna().all()
    assert len(table[table["metric"] == "mae"]) == 2
    mae = table[table["metric"] == "mae"].groupby("method")["value"].mean()
    assert mae["multilat_plus"] < mae["center"]
    assert "Data: corridor (simulated)." in (
        (folder / "results/quick/tables/table_corridor.md").read_text()
    )
    (planned,) = reader.type("snakemake --cores 8", "--dry-run", "--quiet", "host")
    assert "results/tables/table_corridor.csv" in planned
