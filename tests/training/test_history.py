"""The history of a training: its table does not depend on its picture."""

from __future__ import annotations

import pandas as pd
import pytest

from wavloc.training import history

ROWS = [
    {"epoch": k, "train_loss": 1 / k, "loss": 2 / k, "mae_m": 1 / k, "criterion": 1 / k}
    for k in (1, 2, 3)
]


def test_table_and_picture(tmp_path) -> None:
    history.write(tmp_path, ROWS)
    table = pd.read_csv(tmp_path / "history.csv")
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["flat"].tolist() == [False, False, True]
    assert (tmp_path / "history.png").stat().st_size > 5000


def test_a_picture_that_fails_costs_no_model(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(history.Figure, "savefig", lambda *_, **__: 1 / 0)
    with pytest.warns(UserWarning, match=r"history\.png is not drawn: division by zero"):
        history.write(tmp_path, ROWS)
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_a_training_has_converged_where_its_last_epochs_brought_nothing() -> None:
    def rows(criteria: list[float]) -> list[dict]:
        return [{"epoch": k + 1, "criterion": value} for k, value in enumerate(criteria)]

    flat = rows([2, 1.2, 1, 0.99, 1.3, 0.985, 1, 1, 1, 1])
    assert history.flat_since(flat) == 3
    assert history.converged(flat)
    falling = rows([2 / k for k in range(1, 11)])
    assert history.flat_since(falling) == 10
    assert not history.converged(falling)
    assert not history.converged(rows([1.0]))
    assert history.flat_since(rows([-1.0, -2.0, -1.97])) == 2
