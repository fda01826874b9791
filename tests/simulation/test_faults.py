"""Faulty microphones: each fault by its definition, the command, the trained encoder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames
from wavloc import cli, config
from wavloc import frames as frames_module
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES, Frames
from wavloc.methods.learned import fault_tolerant
from wavloc.simulation import faults
from wavloc.training.engine import Run

MARGIN = 100
LEVELS = {"shift": 0.3, "rotation": 20, "swapped": 2, "moved": 0.3, "dead": 3, "noisy": 2.0,
          "clipped": 20, "delayed": 5}  # fmt: skip
OF_POSITIONS = ("shift", "rotation", "swapped", "moved")


@pytest.fixture(scope="module")
def clean() -> Frames:
    made = anechoic_frames(12, margin=MARGIN)
    return dataclasses.replace(made, meta={"room": [7, 8, 2], "frames_rendered": 12})


def changed(clean: Frames, kind: str, mics: int = 1, level: float | None = None) -> tuple:
    """The faulty frames, and which microphones (F, M) they say are faulty."""
    level = LEVELS[kind] if level is None else level
    found = faults.apply(clean, kind, level, mics, 0, "twin/speech3")
    return found, faults.faulty_mics(found)


@pytest.mark.parametrize("kind", faults.KINDS)
def test_level_0_changes_nothing_and_a_fault_only_its_own_part(clean: Frames, kind: str):
    none, of_none = changed(clean, kind, level=0)
    assert np.array_equal(none.audio, clean.audio)
    assert np.array_equal(none.mic_positions, clean.mic_positions)
    assert not of_none.any()
    found, faulty = changed(clean, kind, mics=2)
    moved = ~np.isclose(found.mics(), clean.mics(), rtol=0, atol=1e-9).all(-1)
    audible = (found.audio != clean.audio).any(-1)
    if kind in OF_POSITIONS:
        assert not audible.any()
        assert np.array_equal(moved, faulty)
    else:
        assert not moved.any()
        assert found.mic_positions.shape == (11, 3)  # still one array for all frames
        assert np.array_equal(audible, faulty)
    count = {"shift": 11, "rotation": 11, "swapped": 4, "dead": 3}.get(kind, 2)
    assert (faulty.sum(1) == count).all()
    assert np.array_equal(found.source_position, clean.source_position)
    assert "faulty" not in clean.table
    assert found.meta["room"] == [7, 8, 2]
    assert "frames_rendered" not in found.meta  # nothing was rendered again


def test_draws_are_seeded_and_the_same_for_all_kinds_and_levels(clean: Frames):
    one, other = (faults.apply(clean, "noisy", 1, 3, 0, "a") for _ in range(2))
    assert np.array_equal(one.audio, other.audio)
    for seed, name in ((1, "a"), (0, "b")):
        assert not np.array_equal(one.audio, faults.apply(clean, "noisy", 1, 3, seed, name).audio)
    _, three = changed(clean, "moved", mics=3)
    _, dead = changed(clean, "dead", level=3)
    assert np.array_equal(three, dead)
    _, two = changed(clean, "dead", level=2)
    assert (two <= three).all()
    assert len(np.unique(three, axis=0)) > 6  # others from frame to frame
    half, _ = changed(clean, "moved", mics=3, level=0.15)
    full, _ = changed(clean, "moved", mics=3)
    assert np.allclose(2 * (half.mics() - clean.mics()), full.mics() - clean.mics())


def test_positions_as_defined(clean: Frames):
    true = clean.mics()
    shift = changed(clean, "shift")[0].mics() - true
    assert np.allclose(shift, shift[:, :1])
    assert np.allclose(np.linalg.norm(shift[:, 0], axis=1), 0.3)
    assert np.linalg.norm(shift[:, 0].mean(0)) < 0.25  # in every direction

    turned = changed(clean, "rotation")[0].mics()
    before, after = true - true.mean(1, keepdims=True), turned - turned.mean(1, keepdims=True)
    assert np.allclose(turned.mean(1), true.mean(1))
    assert np.allclose(after[..., 2], before[..., 2])
    as_numbers = [part[..., 0] + 1j * part[..., 1] for part in (before, after)]
    assert np.allclose(np.degrees(np.angle(as_numbers[1] / as_numbers[0])), 20)

    found, faulty = changed(clean, "moved", mics=3)
    step = (found.mics() - true)[faulty]
    assert np.allclose(np.linalg.norm(step, axis=1), 0.3)
    assert not np.allclose(step[0], step[1])

    found, faulty = changed(clean, "swapped")
    for frame in range(len(clean)):
        came_from = np.linalg.norm(found.mics()[frame, :, None] - true[frame], axis=-1).argmin(1)
        assert sorted(came_from) == list(range(11))
        assert np.array_equal(came_from[came_from], np.arange(11))  # in pairs
        assert np.array_equal(came_from != np.arange(11), faulty[frame])


def test_sound_as_defined(clean: Frames):
    found, faulty = changed(clean, "dead")
    assert not found.audio[faulty].any()

    found, faulty = changed(clean, "noisy")
    noise = (found.audio - clean.audio)[faulty]
    sound = clean.audio[faulty]
    assert np.allclose(noise.std(1) / sound.std(1), 2, rtol=0.1)
    assert abs(np.corrcoef(noise[0], sound[0])[0, 1]) < 0.1

    found, faulty = changed(clean, "clipped")
    before, after = clean.audio[faulty], found.audio[faulty]
    top = np.abs(before).max(1, keepdims=True) / 10
    assert np.allclose(np.abs(after).max(1, keepdims=True), top)
    inside = np.abs(before) < top
    assert np.array_equal(after[inside], before[inside])
    assert np.array_equal(np.sign(after), np.sign(before))

    found, faulty = changed(clean, "delayed")
    late = 80  # 5 ms at 16 kHz
    start = MARGIN - late
    expected = clean.audio[..., start : start + FRAME_SAMPLES]
    assert np.array_equal(found.window()[faulty], expected[faulty])


@pytest.mark.parametrize(
    ("kind", "level", "mics", "words"),
    [
        ("melted", 1, 1, "fault 'melted' is unknown, expected one of shift, rotation"),
        ("moved", -0.1, 1, "level -0.1: expected a number of at least 0"),
        ("moved", float("nan"), 1, "expected a number of at least 0"),
        ("dead", 1.5, 1, "expected a whole number of microphones"),
        ("swapped", 6, 1, "concerns 12, expected at most the 11 there are"),
        ("noisy", 1, 12, "concerns 12, expected at most the 11"),
        ("delayed", 6.5, 1, "104 samples, expected at most the 100 that the frames hold"),
    ],
)
def test_impossible_faults_are_refused(clean: Frames, kind, level, mics, words: str):
    with pytest.raises(InputError, match=words):
        faults.apply(clean, kind, level, mics)
    with pytest.raises(InputError, match="no column 'faulty'"):
        faults.faulty_mics(clean)


def test_missing_signals_and_positions_stay_missing(clean: Frames):
    audio, mics = clean.audio.copy(), clean.mic_positions.copy()
    audio[:, 2], mics[3] = np.nan, np.nan
    holed = dataclasses.replace(clean, audio=audio, mic_positions=mics)
    for kind in ("noisy", "clipped", "delayed", *OF_POSITIONS):
        found = faults.apply(holed, kind, LEVELS[kind], 11)
        if kind != "delayed":  # silence comes in before the window
            assert np.isnan(found.audio[:, 2]).all()
        assert np.isnan(found.window()[:, 2]).all()
        assert np.isnan(found.mics()).all(-1).sum() == len(clean)


def test_names_of_tracks():
    assert faults.named("speech3", "moved3", 0.05) == "speech3@moved3-0.05"
    assert faults.named("speech3", "moved3", 0) == "speech3"
    assert faults.parted("speech3@moved3-0.05") == ("speech3", "moved3", 0.05)
    assert faults.parted("a-b") == ("a-b", "", 0.0)


def test_command_writes_frames_with_the_faulty_microphones(clean: Frames, tmp_path: Path, capsys):
    clean.save(tmp_path / "clean")
    command = ["fault", "--frames", str(tmp_path / "clean"), "--dataset", "twin/speech3"]
    command += ["--out", str(tmp_path / "out")]
    assert cli.main([*command, "--kind", "swapped", "--level", "2"]) == 0
    stored = frames_module.load(tmp_path / "out")
    expected, faulty = changed(clean, "swapped")
    assert np.array_equal(stored.mics(), expected.mics())
    assert np.array_equal(faults.faulty_mics(stored), faulty)
    assert stored.meta["fault"]["unit"] == "pairs"
    assert cli.main([*command, "--kind", "swapped", "--level", "9"]) == 2
    assert "concerns 18" in capsys.readouterr().err


def test_shipped_faults_can_all_be_applied(root: Path, clean: Frames):
    loaded = config.load(root / "config" / "config.yaml", root / "config" / "faults.yaml")
    for name, entry in loaded["faults"].items():
        kind = entry.get("kind", name)
        assert entry["levels"][0] == 0  # curves begin without a fault
        faults.apply(clean, kind, entry["levels"][-1], entry.get("mics", 1))
    assert {entry.get("kind", name) for name, entry in loaded["faults"].items()} == set(
        faults.KINDS
    )
    for name, spec in (loaded["tables"] | loaded["figures"]).items():
        assert set(spec.get("faults", [])) <= set(loaded["faults"]), name
    variants = loaded["sets"][loaded["tables"]["table_fault_ablation"]["methods"]]
    ours = {name for name in loaded["methods"] if name.startswith("fault_tolerant")}
    assert set(variants) == {name for name in ours if "_seed" not in name}


# ------------------------------------------------------------------ the encoder, trained


SMALL = {
    "embed_dim": 16, "encoder_depth": 1, "decoder_depth": 1, "pair_hidden": 16,
    "head_hidden": [16, 16], "features": "gcc", "encoder": "resemblyzer", "epochs": 1,
    "batch": 4, "mask_source": 0,
}  # fmt: skip


def fitted(tmp_path: Path, monkeypatch, **options) -> tuple[fault_tolerant.Method, dict]:
    """A method after one step on an encoder of random weights, and those before it."""
    from wavloc.methods.learned.encoders import encoders

    torch.manual_seed(0)
    encoder = encoders.Encoder("resemblyzer")
    before = {k: v.clone() for k, v in encoder.network.state_dict().items()}
    monkeypatch.setattr(encoders, "load", lambda *_: encoder)
    method = fault_tolerant.Method(SMALL | options)
    frames = anechoic_frames(6)
    run = Run(tmp_path / "run", "cpu", "float32", False, 60.0, float("inf"))
    method.fit(frames.select(np.arange(4)), frames.select(np.arange(4, 6)), run)
    return method, before


@pytest.mark.parametrize("trained", [False, True])
def test_encoder_is_trained_only_where_asked_for(tmp_path: Path, monkeypatch, trained: bool):
    method, before = fitted(tmp_path, monkeypatch, encoder_trained=trained)
    after = method.encoder.loaded.network.state_dict()
    same = [torch.equal(before[name], after[name]) for name in before]
    assert not any(same) if trained else all(same)
    assert ("trained" in method.inputs_note) == trained
    frames = anechoic_frames(3, seed=5)
    method.save(tmp_path / "model")
    loaded = fault_tolerant.Method.load(tmp_path / "model")
    assert loaded.parameters == method.parameters  # the encoder is counted once
    assert np.array_equal(loaded.predict(frames).position, method.predict(frames).position)
