"""Reconstructed signals in predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers.frames import anechoic_frames
from wavloc import cli
from wavloc.methods import predictions as stored
from wavloc.methods import registry


def test_reconstructed_signals_are_kept_where_asked(tmp_path: Path) -> None:
    frames = anechoic_frames(3)
    small = {"embed_dim": 16, "encoder_depth": 1, "decoder_depth": 1, "features": "gcc"}
    method = registry.create(registry.Entry("wav2pos", options=small))
    method.prepare(frames)
    plain = method.predict(frames)
    assert plain.audio is None
    method.keep_audio = True
    asked = method.predict(frames)
    assert asked.audio.shape == (3, 12, 2048)
    assert np.array_equal(plain.position, asked.position)
    asked.save(tmp_path / "p.parquet")
    assert np.array_equal(stored.load(tmp_path / "p.parquet").audio, asked.audio)
    frames.save(tmp_path / "frames")
    command = ["predict", "--method", "nlls", "--frames", str(tmp_path / "frames"), "--audio"]
    assert cli.main([*command, "--out", str(tmp_path / "n.parquet")]) == 2


def test_a_csv_drops_nothing_without_a_word(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    frames = anechoic_frames(3)
    frames.save("f")
    small = {"embed_dim": 16, "encoder_depth": 1, "decoder_depth": 1, "features": "gcc"}
    method = registry.create(registry.Entry("wav2pos", options=small))
    method.prepare(frames)
    method.save(tmp_path / "m")
    command = ["predict", "--method", "wav2pos", "--model", "m", "--frames", "f", "--out", "p.csv"]
    assert cli.main([*command, "--audio"]) == 2
    told = capsys.readouterr().err
    assert told == "wavloc: error: --audio: p.csv holds no signals, expected --out NAME.parquet\n"
    assert not Path("p.csv").exists()
    assert cli.main(command) == 0
    words = "predict: warning: p.csv holds no mic_positions; a .parquet keeps them"
    assert words in capsys.readouterr().err
    assert cli.main(["predict", "--method", "nlls", "--frames", "f", "--out", "p.csv"]) == 0
    assert "warning" not in capsys.readouterr().err
