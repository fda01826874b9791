"""Real recordings: the example that a page follows, and others where they are at hand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import wavloc
from helpers.pages import Reader
from wavloc import cli

ROW = re.compile(r"^\| (\d) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d., ]+) \|$", re.MULTILINE)


def test_the_page_on_birds_leads_from_files_to_a_map(root: Path, tmp_path: Path) -> None:
    page = root / "docs" / "birds.md"
    shutil.copytree(root / "examples", tmp_path / "examples")
    Reader(page, tmp_path).type("wavloc locate")
    found = pd.read_csv(tmp_path / "songs.csv")
    assert (found["status"] == "ok").all()
    position = found[["x", "y", "z"]].to_numpy()
    rows = ROW.findall(page.read_text(encoding="utf-8"))
    stated = np.array([row[1:4] for row in rows], float)
    assert np.allclose(position, stated, rtol=0, atol=0.02)
    spread = np.ptp(position, axis=0)
    assert (spread[:2] < 0.2).all()
    assert spread[2] < 0.4
    authors = np.array([row[4].split(", ") for row in rows], float)
    assert np.abs(position - np.median(authors, axis=0)).max() < 1.0
    assert (tmp_path / "map.png").stat().st_size > 10_000


def test_the_example_is_small_and_states_its_licence(root: Path) -> None:
    folder = root / "examples" / "birds"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2**20
    licence = (folder / "LICENSE").read_text(encoding="utf-8")
    assert "locaR" in licence
    assert "Permission is hereby granted" in licence


def test_the_example_is_the_recording_at_hand(root: Path, shared: Path) -> None:
    folder = shared / "real" / "locar_birds"
    if not folder.is_dir():
        pytest.skip("the recording is not here")
    sound, rate = soundfile.read(folder / "birds.wav")
    for number, channel in enumerate(sound.T, start=1):
        ours, our_rate = soundfile.read(root / "examples" / "birds" / f"Ex-{number}.mp3")
        assert our_rate == rate
        assert np.corrcoef(ours, channel)[0, 1] > 0.9999
    assert (folder / "mics.csv").read_text() == (root / "examples/birds/mics.csv").read_text()


def test_speech_in_a_reverberant_room_is_located_by_a_whole_clip(
    shared: Path, tmp_path: Path
) -> None:
    """One second, four microphones in a plane, T60 0.9 s; places are read off a floor plan, some
    decimetres exact.
    """
    clips = sorted((shared / "real" / "libriadhoc40_clips").glob("*.wav"))
    if not clips:
        pytest.skip("the clips are not here")
    errors = []
    for clip in clips:
        given = ["--mics", str(clip.with_suffix(".mics.csv")), "--audio", str(clip)]
        given += ["--plane", "z=0.95", "--window", "0.99", "--out", str(tmp_path / "out.csv")]
        assert cli.main(["locate", "--method", "srp_phat", *given]) == 0
        found = pd.read_csv(tmp_path / "out.csv")[["x", "y"]].to_numpy()[0]
        truth = pd.read_csv(clip.with_suffix(".truth.csv"))[["x", "y"]].to_numpy()[0]
        errors.append(np.linalg.norm(found - truth))
    *good, worst = sorted(errors)
    assert len(good) == 3
    assert max(good) < 0.15
    assert worst < 0.8


def test_what_is_ok_in_a_reverberant_room_is_right(shared: Path) -> None:
    """The same clips frame by frame: few single frames are sure, those of a track are."""
    clips = sorted((shared / "real" / "libriadhoc40_clips").glob("*.wav"))
    if not clips:
        pytest.skip("the clips are not here")
    for track, least, within_m in ((False, 5, 0.15), (True, 30, 0.35)):
        found = []
        for clip in clips:
            truth = pd.read_csv(clip.with_suffix(".truth.csv"))[["x", "y"]].to_numpy()[0]
            table = wavloc.locate(
                clip,
                clip.with_suffix(".mics.csv"),
                plane="z=0.95",
                room=[9.8, 10.3, 4.2],
                track=track,
                check=False,
            ).table
            sure = table[table["status"] == "ok"]
            found.append(np.linalg.norm(sure[["x", "y"]].to_numpy() - truth, axis=1))
        errors = np.concatenate(found)
        assert len(errors) >= least
        assert errors.max() < within_m
