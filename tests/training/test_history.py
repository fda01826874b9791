"""The history of a training: its table does not depend on its picture."""

from __future__ import annotations

import pandas as pd
import pytest

from wavloc.training import history

ROWS = [{"epoch": k, "train_loss": 1 / k, "loss": 2 / k, "mae_m": 1 / k} for k in (1, 2, 3)]


def test_table_and_picture(tmp_path) -> None:
    history.write(tmp_path, ROWS)
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [1, 2, 3]
    assert (tmp_path / "history.png").stat().st_size > 5000


def test_a_picture_that_fails_costs_no_model(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(history.Figure, "savefig", lambda *_, **__: 1 / 0)
    with pytest.warns(UserWarning, match=r"history\.png is not drawn: division by zero"):
        history.write(tmp_path, ROWS)
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]
