"""Models from the authors' checkpoints, read safely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames
from wavloc import cli
from wavloc.methods.learned import multilat_ngcc, wav2pos


class Payload:
    def __reduce__(self):
        return (print, ("code was run",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"weights": Payload()}, "holds code or objects other than tensors"),
        ({"some.weight": torch.zeros(3)}, "no NGCC-PHAT weights"),
        ([1, 2], "expected a state dict"),
    ],
)
def test_checkpoints_that_are_none_are_refused(tmp_path: Path, capfd, content, words: str) -> None:
    torch.save(content, tmp_path / "c.pth")
    command = ["import-checkpoint", str(tmp_path / "c.pth"), "--out", str(tmp_path / "m")]
    assert cli.main(command) == 2
    output = capfd.readouterr()
    assert words in output.err
    assert "code was run" not in output.out
    assert not (tmp_path / "m").exists()


def test_published_checkpoint_of_ngcc(shared: Path, tmp_path: Path, capsys) -> None:
    file = shared / "parity" / "ngcc_published_checkpoint.pth"
    out = tmp_path / "ngcc"
    assert cli.main(["import-checkpoint", str(file), "--out", str(out)]) == 0
    assert "888,193 parameters" in capsys.readouterr().err
    frames = anechoic_frames(2)
    method = multilat_ngcc.Method.load(out)
    found = method.predict(frames)
    assert np.linalg.norm(found.position - frames.source_position, axis=1).max() < 0.2
    for change, words in (
        (lambda s: s.pop("mlp.1.0.bias"), "weight 'head.1.bias' is missing"),
        (lambda s: s.update({"mlp.1.0.bias": torch.zeros(5)}), "shape (5,), expected (128,)"),
        (lambda s: s.update({"odd": torch.zeros(5)}), "unexpected key 'odd'"),
    ):
        state = torch.load(file, map_location="cpu", weights_only=True)
        change(state)
        torch.save(state, tmp_path / "changed.pth")
        command = ["import-checkpoint", str(tmp_path / "changed.pth"), "--out", str(out)]
        assert cli.main(command) == 2
        assert words in capsys.readouterr().err


def test_published_layout_of_wav2pos(shared: Path, stored: Path, tmp_path: Path, capsys) -> None:
    with np.load(shared / "parity" / "wav2pos_case_m6.npz") as case:
        state = {
            k.removeprefix("state/"): torch.from_numpy(case[k])
            for k in case.files
            if k.startswith("state/")
        }
    ngcc = torch.load(
        shared / "parity" / "ngcc_published_checkpoint.pth", map_location="cpu", weights_only=True
    )
    torch.save(state | {f"ngcc.ngcc.{k}": v for k, v in ngcc.items()}, tmp_path / "w.pth")
    command = ["import-checkpoint", str(tmp_path / "w.pth"), "--out", str(tmp_path / "m")]
    assert cli.main(command) == 2
    assert "give --train FRAMES" in capsys.readouterr().err
    assert cli.main([*command, "--train", str(stored)]) == 0
    method = wav2pos.Method.load(tmp_path / "m")
    assert method.stats.max_lag == 314
    assert np.isfinite(method.predict(anechoic_frames(2)).position).all()
