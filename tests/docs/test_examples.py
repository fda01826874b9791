"""Real recordings: the example that a page follows, and others where they are at hand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers.pages import Reader
from wavloc.methods.classical import srp_phat
from wavloc.methods.classical.solvers import steered
from wavloc.recordings import microphones, sound

ROW = re.compile(r"^\| (\d) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d., ]+) \|$", re.MULTILINE)


def test_the_page_on_birds_leads_from_files_to_a_map(root: Path, tmp_path: Path) -> None:
    page = root / "docs" / "birds.md"
    shutil.copytree(root / "examples", tmp_path / "examples")
    reader = Reader(page, tmp_path)
    for command in ("python examples/birds/delays.py", "wavloc predict", "python examples/birds/m"):
        reader.type(command)
    found = pd.read_csv(tmp_path / "positions.csv")
    assert (found["status"] == "ok").all()
    position = found[["x", "y", "z"]].to_numpy()
    rows = ROW.findall(page.read_text(encoding="utf-8"))
    stated = np.array([row[1:4] for row in rows], float)
    assert np.allclose(position, stated, rtol=0, atol=0.02)
    spread = np.ptp(position, axis=0)
    assert (spread[:2] < 0.3).all()
    assert spread[2] < 0.55
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


def test_speech_in_a_reverberant_room_is_located_by_a_whole_clip(shared: Path) -> None:
    """One second, four microphones in a plane, T60 0.9 s: single frames fail, their sum does not.

    The places are read off a floor plan, some decimetres exact; heights are not told apart.
    """
    clips = sorted((shared / "real" / "libriadhoc40_clips").glob("*.wav"))
    if not clips:
        pytest.skip("the clips are not here")
    errors, options = [], srp_phat.Options()
    for clip in clips:
        array = microphones.read(clip.with_suffix(".mics.csv"))
        recording = sound.open_files([clip], array.names, array.start_s)
        times = recording.hops(0.032, 2048)
        cuts = np.stack(list(recording.sounds(times, 2048)))
        frames = sound.to_frames(cuts, times, array.positions, 343.0, {})
        field = steered.of_frames(frames, slice(0, len(frames)), options)
        whole = steered.SteeredPower(field.problem[:1], field.gcc.sum(axis=0)[None], field.step)
        position = srp_phat.strongest(whole, options)[0]
        truth = pd.read_csv(clip.with_suffix(".truth.csv"))[["x", "y"]].to_numpy()[0]
        errors.append(np.linalg.norm(position[:2] - truth))
    assert len(errors) == 4
    assert max(errors) < 0.5
    assert np.median(errors) < 0.15
