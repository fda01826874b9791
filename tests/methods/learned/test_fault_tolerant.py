"""The fault-tolerant method: what it may not see, what it learns, faulty microphones."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from helpers.frames import anechoic_frames
from helpers.networks import SMALL, batch_of, seeded, untrained
from wavloc import cli
from wavloc.errors import InputError
from wavloc.geometry import LUVIRA_MICS
from wavloc.methods import predictions, registry
from wavloc.methods.learned import fault_tolerant
from wavloc.methods.learned.base import DataStats
from wavloc.methods.learned.encoders import encoders
from wavloc.methods.learned.ngcc_phat import NGCC
from wavloc.setups import Setup
from wavloc.training.engine import Run


def test_pairs_that_a_frame_drops_change_nothing() -> None:
    """The least coherent pairs leave before anything is computed from their rows."""
    frames = anechoic_frames(2)
    method = untrained(frames, keep="frame", top_t=0.5)
    agreement = torch.linspace(0, 1, 55).expand(2, -1)
    rows = seeded(2, 110, 629)
    other = rows.clone()
    other[:, : 2 * 27] = 9.0
    heard = torch.ones(2, 12, dtype=torch.bool)
    position = seeded(2, 12, 32)
    one, two = (method.network.pair_tokens(position, r, agreement, heard) for r in (rows, other))
    assert one[0].shape == (2, 56, 32)
    assert torch.equal(one[0], two[0])
    with pytest.raises(InputError, match="coherence: 'none', expected a metric"):
        fault_tolerant.Method({"keep": "frame", "coherence": "none"})


# ------------------------------------------------------------------ the whole method


@pytest.mark.parametrize("keep", ["query", "frame"])
@pytest.mark.parametrize("setup", ["1a", "2b"])
def test_order_of_microphones_does_not_matter(setup: str, keep: str) -> None:
    frames = anechoic_frames(3)
    frames.audio += np.random.default_rng(0).normal(0, 0.05, frames.audio.shape)
    method = untrained(frames, keep=keep)
    order = np.random.default_rng(0).permutation(11)
    turned = dataclasses.replace(
        frames, audio=frames.audio[:, order], mic_positions=frames.mic_positions[order]
    )
    known = np.array([[0, 1, 2, 4, 5, 7, 8, 10]] * 3)
    subset = np.sort(np.argsort(order)[known], axis=1)
    plain = method.predict(frames, Setup(setup, known))
    mixed = method.predict(turned, Setup(setup, subset))
    assert np.abs(plain.position - mixed.position).max() < 1e-3
    if setup == "2b":
        assert np.abs(plain.mic_positions[:, order] - mixed.mic_positions).max() < 1e-3


@pytest.mark.parametrize("features", ["gcc", "ngcc"])
def test_every_setup_has_an_answer_and_uses_what_is_granted(features: str) -> None:
    frames = anechoic_frames(3)
    method = untrained(frames, features=features)
    subset = np.array([[0, 2, 3, 5, 7, 9, 10]] * 3)
    found = {s: method.predict(frames, Setup(s, subset)) for s in ("1a", "1b", "2a", "2b")}
    for answer in found.values():
        assert np.isfinite(answer.position).all()
    for one, other in (("1a", "1b"), ("1a", "2a"), ("2a", "2b")):
        assert not np.allclose(found[one].position, found[other].position, atol=1e-4)
    known = found["2a"].mic_positions[:, subset[0]]
    assert np.allclose(known, frames.mic_positions[subset[0]], atol=1e-4)


def test_nothing_that_is_hidden_leaks() -> None:
    """The source's position and signal, positions outside the subset: whatever they are."""
    frames = anechoic_frames(3)
    method = untrained(frames)
    known = np.array([[0, 1, 2, 4, 5, 7, 8, 10]] * 3)
    moved = frames.mic_positions.copy()
    moved[[3, 6, 9]] += 1.0
    other = dataclasses.replace(
        frames,
        source_position=frames.source_position + 1,
        source_audio=frames.source_audio * 0,
        mic_positions=moved,
    )
    one, two = (method.predict(f, Setup("2a", known)) for f in (frames, other))
    assert np.array_equal(one.position, two.position)
    batch = {key: value[:3] for key, value in batch_of(method, frames).items()}
    batch |= method.features(batch["audio"])
    inputs = method.inputs(batch)
    changed = inputs | {"positions": inputs["positions"].clone()}
    changed["positions"][:, 0] = 9.0  # the truth that training holds
    answers = [method.estimate_batch(given)["position"] for given in (inputs, changed)]
    assert torch.equal(*answers)
    method.network.train()
    has_audio = inputs["has_audio"]
    known = has_audio.clone()
    known[:, 0] = False
    outputs = [method.reconstruct(g, known, has_audio).positions for g in (inputs, changed)]
    assert torch.equal(*outputs)


def test_dead_microphones_and_unknown_places_are_no_obstacle() -> None:
    frames = anechoic_frames(3)
    method = untrained(frames)
    frames.audio[0, 4] = np.nan
    frames.audio[1, 3:] = 0.0
    frames.mic_positions[9] = np.nan
    found = method.predict(frames)
    assert np.isfinite(found.position).all()
    assert np.isfinite(found.mic_positions).all()
    frames.audio[2, 1:] = np.nan  # a single microphone is heard
    assert np.isfinite(method.predict(frames).position).all()


def test_no_weighting_is_the_weighting_with_power_zero() -> None:
    frames = anechoic_frames(3)
    frames.audio += np.random.default_rng(0).normal(0, 0.3, frames.audio.shape)
    answers = {
        name: untrained(frames, **options).predict(frames).position
        for name, options in (
            ("none", {"coherence": "none"}),
            ("zero", {"alpha": 0.0}),
            ("one", {"alpha": 1.0}),
        )
    }
    assert np.allclose(answers["none"], answers["zero"], atol=1e-5)
    assert not np.allclose(answers["none"], answers["one"], atol=1e-3)


def test_unlabelled_frames_teach_all_but_the_source() -> None:
    frames = anechoic_frames(40)
    method = untrained(frames, unlabelled=0.5)
    batch = batch_of(method, frames)
    labelled = batch["labelled"]
    assert 10 < int(labelled.sum()) < 30
    assert torch.equal(labelled, method.targets(frames)["labelled"])
    inputs = method.inputs(batch | method.features(batch["audio"]))
    wrong = inputs | {"positions": inputs["positions"].clone()}
    wrong["positions"][~labelled, 0] += 5.0

    def losses(given):
        return method.loss(given, torch.Generator().manual_seed(0))

    assert losses(inputs)[0] == losses(wrong)[0]
    wrong["positions"][labelled, 0] += 5.0
    assert losses(inputs)[0] < losses(wrong)[0]
    assert losses(inputs)[1]["loss_mics"] > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoder": "hubert"}, "options.encoder: 'hubert', expected one of auto, beats"),
        ({"top_t": 0}, "options.top_t: 0, expected a number above 0 to 1"),
        ({"alpha": 5}, "options.alpha: 5, expected a number from 0 to 4"),
        ({"coherence": "some"}, "options.coherence: 'some', expected one of adaptive"),
        ({"features": "none"}, "options.features: 'none', expected one of ngcc, gcc"),
    ],
)
def test_bad_options_are_named(options: dict, words: str) -> None:
    with pytest.raises(InputError) as caught:
        fault_tolerant.Method(options)
    assert words in str(caught.value)


def test_numbers_of_parameters_at_published_sizes() -> None:
    stats = DataStats(11, 2048, 16000, 343.0, 314, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    method = fault_tolerant.Method({"encoder": "logmel"})
    method.stats = stats
    with torch.device("meta"):  # sizes without numbers
        method.encoder.encoder, method.correlations.ngcc = encoders.Encoder("logmel"), NGCC()
        method.network = method.build(stats)
        assert method.parameters == 10_279_175 + 888_193
        for kind, expected in (
            ("beats", 90_311_792),
            ("aisfx", 4_686_144),
            ("resemblyzer", 1_423_616),
        ):
            encoder = encoders.Encoder(kind)
            assert sum(p.numel() for p in encoder.parameters()) == expected


def test_it_can_learn_64_frames_by_heart_and_leaves_its_encoder_alone(tmp_path: Path) -> None:
    options = SMALL | {
        "masking": "none",
        "weight_decay": 0.0,
        "epochs": 90,
        "batch": 32,
        "copies": 1,
        "warmup": 0.1,
        "learning_rate": 0.008,
    }
    options |= {"snr_low_db": 60, "snr_high_db": 60, "shift_s": 0.0}
    frames = anechoic_frames(64, mics=LUVIRA_MICS[:6])
    method = fault_tolerant.Method(options)
    method.encoder.encoder = encoders.Encoder("random", width=4)
    method.prepare(frames)
    before = {k: v.clone() for k, v in method.encoder.loaded.state_dict().items()}
    run = Run(tmp_path, save_every_s=1e9)
    run.train(method, frames, frames)
    error = np.linalg.norm(method.predict(frames).position - frames.source_position, axis=1)
    assert error.mean() < 0.10
    assert run.rows[0]["mae_m"] > 1.0
    after = method.encoder.loaded.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_model_folder_says_which_encoder_it_used(tmp_path: Path) -> None:
    frames = anechoic_frames(3)
    method = untrained(frames, features="ngcc", encoder="random", keep="frame")
    method.save(tmp_path / "m")
    note = json.loads((tmp_path / "m" / "method.json").read_text())
    assert note["input_types"] == "raw audio (random CNN), NGCC-PHAT, coordinates"
    assert note["parts"]["encoder"] == {"kind": "random", "sha256": ""}
    loaded = fault_tolerant.Method.load(tmp_path / "m")
    assert np.array_equal(loaded.predict(frames).position, method.predict(frames).position)
    assert loaded.parameters == method.parameters
    note["parts"]["encoder"]["kind"] = "logmel"
    (tmp_path / "m" / "method.json").write_text(json.dumps(note))
    with pytest.raises(InputError, match=r"weights.safetensors: (unexpected )?weight"):
        fault_tolerant.Method.load(tmp_path / "m")


# ------------------------------------------------------------------ faulty microphones


def test_reliability_is_stored_and_unheard_microphones_have_none(tmp_path: Path) -> None:
    frames = anechoic_frames(3)
    frames.audio[:, 2] = np.nan
    method = untrained(frames)
    for setup in ("1a", "1b"):
        found = method.predict(frames, Setup(setup))
        found.save(tmp_path / "p.parquet")
        stored = predictions.load(tmp_path / "p.parquet").reliability
        assert stored.shape == (3, 11)
        assert np.isnan(stored[:, 2]).all()
        assert np.array_equal(stored, found.reliability, equal_nan=True)
        rest = np.delete(stored, 2, axis=1)
        assert ((rest >= 0) & (rest <= 1)).all()


def test_locate_warns_of_a_faulty_microphone_by_name(tmp_path: Path, capsys) -> None:
    frames = anechoic_frames(1, margin=5000)
    untrained(anechoic_frames(3)).save(tmp_path / "m")
    sound = 0.1 * frames.audio[0] / np.abs(frames.audio[0]).max(axis=-1, keepdims=True)
    sound[7] = np.random.default_rng(0).normal(0, 0.02, sound.shape[1])
    soundfile.write(tmp_path / "r.wav", sound.T, 16000)
    rows = [f"mic{k},{x},{y},{z}" for k, (x, y, z) in enumerate(frames.mic_positions)]
    (tmp_path / "mics.csv").write_text("\n".join(["name,x,y,z", *rows]))
    command = ["locate", "--method", "fault_tolerant", "--model", str(tmp_path / "m")]
    command += ["--mics", str(tmp_path / "mics.csv"), "--audio", str(tmp_path / "r.wav")]
    assert cli.main([*command, "--out", str(tmp_path / "o.csv")]) == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert "microphone 'mic7' does not agree with the others" in warned[0]


def test_it_is_found_by_name() -> None:
    assert isinstance(registry.create(registry.Entry("fault_tolerant")), fault_tolerant.Method)
