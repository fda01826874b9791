"""The workflow with many more methods and cells than the papers have."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import yaml

from helpers.workflow import fresh, snakemake

METHODS, LIKE = 100, ["multilat", "nlls", "gnn", "wav2pos"]
CELLS = {
    "tracks": ["music1", "music3", "speech3", "music4", "speech4"],
    "setups": ["1a", "1b"],
    "mics": [7, 8, 9, 10, 11],
}


@pytest.mark.slow
def test_dag_of_100_methods_in_50_cells(root: Path, tmp_path: Path) -> None:
    """Under 60 s; half of the methods are learned, so that most predictions wait for a model."""
    folder = fresh(root, tmp_path / "wavloc")
    methods = {f"more_{k}": {"like": LIKE[k % 4]} for k in range(METHODS)}
    table = CELLS | {
        "title": "More",
        "caption": "Many methods.",
        "layout": "mics",
        "dataset": "luvira",
        "methods": "more",
        "metrics": ["mae"],
    }
    sets = {"more": list(methods)}
    more = {"methods": methods, "sets": sets, "tables": {"table_more": table}}
    (folder / "more.yaml").write_text(yaml.safe_dump(more))
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = snakemake(
        folder, "-n", "--quiet", "rules", "--configfile", "more.yaml", "--", "table_more"
    )
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-2000:]
    jobs = dict(line.split() for line in done.stdout.splitlines() if len(line.split()) == 2)
    assert int(jobs["predict_cell"]) >= METHODS * 50  # some cells are in Table VII too
    # The processor's time: what else the machine has to do does not count.
    assert end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime < 60
