"""The script of the full-size runs, at a small size: plan, stop in a training, pack, go on."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import yaml

from wavloc.errors import InputError


@pytest.fixture
def published(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("published", root / "workflow" / "published.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_run_is_planned_stopped_packed_and_ended(published, tmp_path: Path, capsys) -> None:
    smaller = tmp_path / "smaller.yaml"
    smaller.write_text(
        yaml.safe_dump(
            {
                "tables": {"table_conditions": {"methods": ["gnn"], "setups": ["1b"]}},
                "methods": {"gnn": {"options": {"epochs": 2}}},
                "datasets": {"six_faces": {"options": {"test": 8}}},
            }
        )
    )
    voice = tmp_path / "speech"
    write_speech(voice)
    command = ["six_faces", "--configfile", "config/smoke.yaml", str(smaller)]
    command += ["--speech-root", str(voice), "--results", str(tmp_path)]
    command += ["--targets", "table_conditions"]

    assert published.main([*command, "--dry-run"]) == 0
    assert "done: 0 of 9 commands" in capsys.readouterr().out
    assert not (tmp_path / "six_faces").exists()
    assert published.main([*command, "--minutes", "0"]) == 0
    assert "done: 0 of 9 commands" in capsys.readouterr().out

    assert published.main([*command, "--train=--minutes 0"]) == 1
    capsys.readouterr()
    assert published.main([*command, "--dry-run", "--pack", "0.02"]) == 0
    said = capsys.readouterr().out
    assert "left: 1 of 1 train" in said
    assert "gnn, 1 epochs" in said
    pieces = tmp_path / "six_faces" / "pieces"
    assert len(list(pieces.glob("state.tar.*"))) > 1
    assert max(path.stat().st_size for path in pieces.glob("state.tar.*")) <= 20_000

    shutil.rmtree(tmp_path / "six_faces" / "models")
    assert published.main([*command, "--unpack", str(pieces)]) == 0
    said = capsys.readouterr().out
    assert "done: 9 of 9 commands" in said
    assert "left" not in said
    end = tmp_path / "published" / "six_faces"
    assert {path.suffix for path in (end / "tables").iterdir()} == {".csv", ".md", ".tex"}
    note = json.loads((end / "provenance.json").read_text())
    (model,) = note["models"].values()
    assert model["epochs"] == 2
    history = pd.read_csv(next((tmp_path / "six_faces" / "models").glob("*/*/gnn/history.csv")))
    assert history["epoch"].tolist() == [1, 2]

    next(iter(sorted(pieces.glob("state.tar.*")))).write_bytes(b"else")
    with pytest.raises(InputError, match="damaged"):
        published.unpack(pieces, tmp_path)


def write_speech(folder: Path) -> None:
    """Noise bursts of six speakers, three utterances each."""
    import numpy as np
    import soundfile

    for speaker in range(6):
        (folder / str(speaker)).mkdir(parents=True)
        rng = np.random.default_rng(speaker)
        for number in range(3):
            sound = 0.1 * rng.standard_normal(3 * 16000)
            soundfile.write(folder / str(speaker) / f"{number}.flac", sound, 16000)


def test_six_faces_need_speech(published, tmp_path: Path, capsys) -> None:
    assert published.main(["six_faces", "--results", str(tmp_path), "--dry-run"]) == 2
    assert "six_faces needs --speech-root FOLDER" in capsys.readouterr().err
