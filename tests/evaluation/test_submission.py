"""Submissions: what is refused, that they are tied to their frames, the leaderboard's page."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.frames import anechoic_frames
from helpers.pages import Reader
from helpers.predictions import off_by
from helpers.recordings import MICS, dry_sound, heard, write_mics, write_sound
from wavloc import cli, files, frames, shipped
from wavloc.evaluation import submission
from wavloc.frames import Frames


def given(data: Frames, folder: Path, error_m: np.ndarray, name: str = "mine.csv") -> Path:
    path = folder / name
    off_by(data, error_m).save(path)
    return path


def refused(capsys: pytest.CaptureFixture, *command: object) -> str:
    assert cli.main([str(part) for part in command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_from_predictions_to_a_page(stored: Path, tmp_path: Path, capsys) -> None:
    data = frames.load(stored)
    folder = tmp_path / "submissions"
    for name, error in (("good", 0.1), ("bad", 1.0), ("lost", np.nan)):
        errors = np.full(len(data), error)
        errors[0] = 0.2
        path = given(data, tmp_path, errors, f"{name}.csv")
        command = ["submit-check", "--frames", stored, "--predictions", path]
        command += ["--label", f"<{name}>", "--out", folder / name]
        assert cli.main([str(part) for part in command]) == 0
    assert "located    1 (4%)" in capsys.readouterr().out
    table = submission.leaderboard(folder, data, resamples=1000)
    assert table["name"].tolist() == ["good", "bad", "lost"]
    expected = [100 * (23 * error + 0.2) / 24 for error in (0.1, 1.0, 3.0)]
    assert table["mae"].tolist() == pytest.approx(expected)
    assert table["located"].tolist() == [24, 24, 1]
    assert (table["mae_low"] <= table["mae"]).all()
    assert table["difference_to_best"][0] == 0
    page = tmp_path / "leaderboard.html"
    command = ["leaderboard", "--frames", stored, "--submissions", folder, "--out", page]
    assert cli.main([str(part) for part in command]) == 0
    text = page.read_text(encoding="utf-8")
    rows = re.findall(r"<tr><td>(.*?)</td>", text)
    assert rows == ["&lt;good&gt;", "&lt;bad&gt;", "&lt;lost&gt;"]
    assert not re.search(r"(src|href)\s*=\s*[\"']?https?:|url\(|@import", text)


def test_what_is_refused(stored: Path, tmp_path: Path, capsys) -> None:
    data = frames.load(stored)
    path = given(data, tmp_path, np.full(len(data), 0.1))
    table = pd.read_csv(path)
    check = ("submit-check", "--frames", stored, "--predictions", path, "--out", tmp_path / "s")
    table.iloc[1:].to_csv(path, index=False)
    assert "23 rows, expected one per frame (24)" in refused(capsys, *check)
    table.assign(x=table["x"].where(table.index != 3)).to_csv(path, index=False)
    assert "status of row 3 is 'ok' and it has no position" in refused(capsys, *check)
    table.assign(**{axis: 1000 * table[axis] + 9999 for axis in "xyz"}).to_csv(path, index=False)
    assert "expected metres" in refused(capsys, *check)
    table.to_csv(path, index=False)
    assert "--name" in refused(capsys, *check, "--name", "../up")
    assert not (tmp_path / "s").exists()


def test_a_submission_is_tied_to_its_frames(stored: Path, tmp_path: Path, capsys) -> None:
    data = frames.load(stored)
    path = given(data, tmp_path, np.full(len(data), 0.1))
    out = tmp_path / "submissions" / "mine"
    assert cli.main(["submit-check", "--frames", str(stored), "--predictions", str(path),
                     "--out", str(out)]) == 0  # fmt: skip
    capsys.readouterr()
    board = ("leaderboard", "--submissions", out.parent, "--out", tmp_path / "l.html", "--frames")
    data.select(np.arange(24)[::-1]).save(tmp_path / "other")
    assert "other frames than these" in refused(capsys, *board, tmp_path / "other")
    assert "no folder with" in refused(capsys, board[0], board[1], tmp_path, *board[3:], stored)
    card = files.read_json(out / submission.CARD)
    files.write_json(out / submission.CARD, card | {"predictions_sha256": "0"})
    assert "changed since it was checked" in refused(capsys, *board, stored)
    truth = data.select(np.arange(24))
    truth.source_position = truth.source_position + 1  # no part of what a method is given
    assert submission.digest(truth) == submission.digest(data)


@pytest.mark.slow
def test_the_template_is_a_working_package(tmp_path: Path) -> None:
    """Its README, followed to the letter."""
    folder = shutil.copytree(shipped.folder("examples") / "method-package", tmp_path / "mine")
    write_mics(folder / "mics.csv", MICS)
    write_sound(folder / "recording.wav", heard(dry_sound(0.6), MICS, np.array([2.0, 3.0, 1.0])))
    anechoic_frames(4).save(folder / "FRAMES")
    reader = Reader(folder / "README.md", folder)
    reader.type("pip install")
    assert "mine" in reader.type("wavloc methods")[0]
    assert "2 passed" in reader.type("pytest")[0]
    reader.type("wavloc locate")
    assert (folder / "positions.csv").is_file()
    reader.type("wavloc predict")
    reader.type("wavloc submit-check")
    assert (folder / "submissions/mine" / submission.CARD).is_file()
