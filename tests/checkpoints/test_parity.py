"""Our networks give the stored outputs of the reference networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavloc import cli
from wavloc.checkpoints import parity


@pytest.mark.parametrize("case", ["ngcc_case", "wav2pos_case_m6"])
def test_parity(shared: Path, case: str) -> None:
    folder = shared / "parity"
    rows = parity.compare(folder / f"{case}.npz", folder / "ngcc_published_checkpoint.pth")
    assert len(rows) == {"ngcc_case": 12, "wav2pos_case_m6": 24}[case]
    assert [row for row in rows if not row.good] == []


def test_parity_notices_a_wrong_weight(shared: Path, tmp_path: Path) -> None:
    folder = shared / "parity"
    with np.load(folder / "wav2pos_case_m6.npz") as stored:
        arrays = dict(stored)
    arrays["state/loc_proj.bias"] = arrays["state/loc_proj.bias"] + np.float16(0.01)
    np.savez(tmp_path / "case.npz", **arrays)
    rows = parity.compare(tmp_path / "case.npz", folder / "ngcc_published_checkpoint.pth")
    assert "full/pred_locs" in [row.name for row in rows if not row.good]


def test_parity_command(shared: Path, capsys) -> None:
    case = str(shared / "parity" / "wav2pos_case_m6.npz")
    assert cli.main(["parity", case]) == 0  # features as stored
    assert "full/grad_norm" in capsys.readouterr().out
    assert cli.main(["parity", str(shared / "parity" / "ngcc_case.npz")]) == 2
    assert "needs --checkpoint" in capsys.readouterr().err
