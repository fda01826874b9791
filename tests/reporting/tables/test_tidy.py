"""Tidy tables are complete, honest about gaps, and take only what fits."""

from __future__ import annotations

import pandas as pd
import pytest

from helpers.tables import METHODS, REFUSAL, SPEC, VALUES, pick
from wavloc.errors import InputError
from wavloc.evaluation.metrics import METRICS
from wavloc.reporting import tables
from wavloc.reporting.tables.markdown import to_markdown


def test_every_expected_row_is_there(metrics):
    frame = tables.assemble("table1", SPEC, METHODS, metrics)
    assert list(frame.columns) == tables.COLUMNS
    assert len(frame) == 2 * len(METHODS) * sum(metric.everywhere for metric in METRICS.values())
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
    grid = tables.layout(empty, SPEC, METHODS)
    assert to_markdown(grid, "Table I", "").count("<sup>a</sup>") == 21


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
