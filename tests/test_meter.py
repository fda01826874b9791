"""Measured time, memory and energy."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavloc import meter


def test_costs_of_a_resumed_training_add_up() -> None:
    one = {"device": "A", "seconds": 2.0, "peak_memory_mb": 5.0, "energy_wh": 1.0,
           "energy_note": ""}  # fmt: skip
    two = one | {"device": "B", "peak_memory_mb": 3.0, "energy_wh": None, "energy_note": "no"}
    assert meter.add({}, one) == one
    total = meter.add(meter.add(one, one), two)
    assert total["device"] == "A + B"
    assert total["seconds"] == 6
    assert total["peak_memory_mb"] == 5
    assert total["energy_wh"] is None
    assert total["energy_note"] == "no"
    assert meter.add(one, one)["energy_wh"] == 2


def test_energy_counters_are_read_or_their_lack_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(meter, "RAPL", tmp_path)
    assert meter.energy_j() == (None, "the processor reports no energy")
    for name, value in (("intel-rapl:0", 3_000_000), ("intel-rapl:1", 500_000),
                        ("intel-rapl:0:0", 9_000_000)):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
    assert meter.energy_j() == (3.5, "")  # parts of a package are not counted twice
    spent = meter.Meter()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("7_200_003_000_000".replace("_", ""))
    assert spent.read()["energy_wh"] == pytest.approx(2000)
