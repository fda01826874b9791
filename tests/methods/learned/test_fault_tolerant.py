"""The fault-tolerant method: known answers of its parts, what it may not see, and its encoders."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from helpers.frames import anechoic_frames
from helpers.networks import SMALL, untrained
from wavloc import cli, methods
from wavloc.errors import InputError
from wavloc.features import coherence
from wavloc.features.gcc_torch import gcc_features
from wavloc.features.reliability import reliability
from wavloc.frames import Frames
from wavloc.geometry import LUVIRA_MICS
from wavloc.methods import predictions
from wavloc.methods.learned import fault_tolerant, layers
from wavloc.methods.learned.base import DataStats
from wavloc.methods.learned.encoders import beats, encoders, spectrogram
from wavloc.methods.learned.ngcc_phat import NGCC
from wavloc.recordings import suspicious
from wavloc.setups import Setup
from wavloc.training.engine import Run


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------ coherence


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Two microphones with the same sound 300 samples apart, two with noise; measured delays."""
    sound = seeded(4, 2500)
    audio = torch.stack([sound[:, 300:2348], sound[:, :2048]], dim=1)
    audio = torch.cat([audio, seeded(4, 2, 2048, seed=1)], dim=1)
    return audio, coherence.delays(gcc_features(audio, 314))


def test_delay_of_a_pair_taken_the_other_way_round_has_the_other_sign() -> None:
    """Although the rows of the two directions are no mirror images of each other."""
    rows = seeded(20, 2, 41)
    assert (coherence.delays(rows[:, [1, 0]]) == -coherence.delays(rows)).all()


@pytest.mark.parametrize("kind", ["adaptive", "phase"])
def test_coherence_is_one_up_to_delay_and_zero_for_noise(kind: str) -> None:
    audio, delay = scene()
    assert (delay[:, 0] == -300).all()  # the first hears earlier
    found = coherence.coherence(audio, delay, kind)
    assert (found[:, 0] > 0.99).all()
    assert (found[:, 1:] < 0.05).all()
    unaligned = coherence.coherence(audio, delay, "magnitude_squared")
    assert (unaligned[:, 0] < 0.3).all()


def test_weights_of_identical_signals_are_one() -> None:
    sound = seeded(2, 1, 2048).expand(-1, 5, -1)
    found = coherence.coherence(sound, torch.zeros(2, 10, dtype=torch.long))
    assert torch.allclose(found, torch.ones(2, 10), atol=1e-4)
    weight = coherence.weights(found, torch.ones(2, 10, dtype=torch.bool))
    assert torch.allclose(weight, torch.ones(2, 10), atol=1e-4)


@pytest.mark.parametrize("kind", ["adaptive", "magnitude_squared", "phase"])
def test_gain_does_not_matter_to_coherence_but_silence_does(kind: str) -> None:
    audio, delay = scene()
    audio = audio + 0.5 * seeded(*audio.shape, seed=2)
    plain = coherence.coherence(audio, delay, kind)
    for gain in (100.0, 0.01):
        louder = audio * torch.tensor([gain, 1.0, 1.0, 1.0])[:, None]
        assert (coherence.coherence(louder, delay, kind) - plain).abs().max() < 1e-6
    silent = audio * torch.tensor([0.0, 1.0, 1.0, 1.0])[:, None]
    assert (coherence.coherence(silent, delay, kind)[:, :3] == 0).all()


def test_weights_favour_coherent_pairs_and_keep_their_mean() -> None:
    agreement = torch.tensor([[0.9, 0.1, 0.5, 0.7]])
    counted = torch.tensor([[True, True, True, False]])
    for alpha in (0.5, 1.0, 2.0):
        weight = coherence.weights(agreement, counted, alpha)
        assert weight[counted].mean() == pytest.approx(1, abs=1e-6)
        assert weight[0, 0] > weight[0, 2] > weight[0, 1]
    assert torch.equal(coherence.weights(agreement, counted, 0.0)[counted], torch.ones(3))


# ------------------------------------------------------------------ sparse attention


def attended(
    share: float, present: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sparse attention of two frames, and gradients of its keys and values."""
    query, key, value = (seeded(2, 3, n, 8, seed=n) for n in (4, 20, 21))
    value = value[:, :, :20].clone().requires_grad_()
    key = key.clone().requires_grad_()
    mixed = layers.sparse_attention(query, key, value, present, share)
    mixed.square().sum().backward()
    return mixed.detach(), key.grad, value.grad


def test_attention_to_everything_is_dense_attention() -> None:
    present = torch.ones(2, 20, dtype=torch.bool)
    present[1, 12:] = False
    mixed, *_ = attended(1.0, present)
    query, key, value = (seeded(2, 3, n, 8, seed=n) for n in (4, 20, 21))
    dense = layers.dense_attention(query, key, value[:, :, :20], present)
    assert (mixed - dense).abs().max() < 1e-6


def test_only_kept_keys_are_mixed_and_have_a_gradient() -> None:
    present = torch.ones(2, 20, dtype=torch.bool)
    present[1, 10:] = False
    mixed, of_key, of_value = attended(0.3, present)
    query, key, value = (seeded(2, 3, n, 8, seed=n) for n in (4, 20, 21))
    value = value[:, :, :20]
    scores = query @ key.transpose(-1, -2) / 8**0.5
    used = torch.zeros(2, 3, 20, dtype=torch.bool)
    for frame, number in ((0, 6), (1, 3)):  # 30 % of 20, of 10
        for head in range(3):
            for place in range(4):
                row = scores[frame, head, place].masked_fill(~present[frame], -1e9)
                best = row.argsort(descending=True)[:number]
                expected = row[best].softmax(0) @ value[frame, head, best]
                assert torch.allclose(mixed[frame, head, place], expected, atol=1e-6)
                used[frame, head, best] = True
    assert not used.all()
    assert torch.equal(of_value.abs().sum(-1) > 0, used)
    assert torch.equal(of_key.abs().sum(-1) > 0, used)


def test_a_frame_without_keys_gives_zeros() -> None:
    present = torch.zeros(2, 20, dtype=torch.bool)
    for mixed, of_key, of_value in (attended(0.3, present), attended(0.01, present)):
        assert (mixed == 0).all()
        assert torch.isfinite(of_key).all()
        assert (of_value == 0).all()
    query = seeded(2, 3, 4, 8)
    assert (layers.dense_attention(query, query, query, present[:, :4]) == 0).all()


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
    batch = {key: value[:3] for key, value in method.tensors(frames).items()}
    batch["clean"] = batch["audio"] = method.normalise(batch["audio"])
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
    batch = method.tensors(frames)
    labelled = batch["labelled"]
    assert 10 < int(labelled.sum()) < 30
    assert torch.equal(labelled, method.tensors(frames)["labelled"])
    batch["clean"] = batch["audio"] = method.normalise(batch["audio"])
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
        ({"top_t": 0}, "options.top_t: 0, expected a number from 1e-06 to 1"),
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


FAULTS = {
    "mute": lambda f, rng: f.audio.__setitem__((slice(None), 4), 0.0),
    "noise": lambda f, rng: f.audio.__setitem__(
        (slice(None), 4), rng.normal(0, f.audio[:, 4].std(), f.audio[:, 4].shape)
    ),
    "late": lambda f, rng: f.audio.__setitem__(
        (slice(None), 4), np.roll(f.audio[:, 4], 60, axis=-1)
    ),
    "moved": lambda f, rng: f.mic_positions.__setitem__(4, f.mic_positions[4] + [1.0, 0.5, 0.0]),
}


def measured(frames: Frames, off: np.ndarray | float = 0.0) -> np.ndarray:
    """Reliability (F, M) with the source located ``off`` (F, 3) its true position, metres."""
    audio = torch.from_numpy(frames.window())
    delay = coherence.delays(gcc_features(audio, 340))
    mics = torch.from_numpy(np.array(frames.mics())).float()
    return reliability(
        delay,
        coherence.coherence(audio, delay),
        torch.from_numpy(frames.source_position + off).float(),
        mics,
        torch.isfinite(audio).all(-1),
        16000 / 343,
    ).numpy()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_microphone_is_told_from_the_others(fault: str) -> None:
    rng = np.random.default_rng(0)
    frames = anechoic_frames(30)
    frames.audio += rng.normal(0, 0.1, frames.audio.shape).astype(np.float32)
    good = measured(frames)
    assert np.median(good, axis=0).min() > 0.6
    assert suspicious(list("abcdefghijk"), good) == []
    FAULTS[fault](frames, rng)
    found = measured(frames)
    named = suspicious(list("abcdefghijk"), found)
    assert [name for name, _ in named] == ["e"]
    worse = found[:, [4]] < np.delete(found, 4, axis=1)  # area under the ROC curve
    assert worse.mean() > 0.95


def test_an_error_of_the_method_is_held_against_no_microphone() -> None:
    rng = np.random.default_rng(0)
    frames = anechoic_frames(30)
    off = rng.normal(0, 0.4, frames.source_position.shape)
    assert suspicious(list("abcdefghijk"), measured(frames, off)) == []
    FAULTS["moved"](frames, rng)
    found = measured(frames, off)
    assert [name for name, _ in suspicious(list("abcdefghijk"), found)] == ["e"]
    assert (found[:, [4]] < np.delete(found, 4, axis=1)).mean() > 0.9


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


# ------------------------------------------------------------------ spectrograms and encoders


def test_kaldi_spectrum_against_the_definition() -> None:
    """One frame, step by step, with loops; 128 bands, of which one has no bin."""
    signal = seeded(1, 720) * 300
    found = spectrogram.kaldi_log_mel(signal, 128)
    assert found.shape == (1, 3, 128)
    frame = signal[0, 160:560].double()
    frame = frame - frame.mean()
    emphasised = torch.stack([frame[k] - 0.97 * frame[max(k - 1, 0)] for k in range(400)])
    turn = 2 * np.pi * torch.arange(400, dtype=torch.float64) / 399
    power = torch.fft.rfft(emphasised * (0.5 - 0.5 * torch.cos(turn)) ** 0.85, 512).abs() ** 2

    def mel(hz: float) -> float:
        return 1127 * np.log(1 + hz / 700)

    step = (mel(8000) - mel(20)) / 129
    for band in range(128):
        left = mel(20) + band * step
        energy = 0.0
        for bin_ in range(256):
            place = (mel(bin_ * 31.25) - left) / step
            energy += float(power[bin_]) * max(0.0, min(place, 2 - place))
        expected = np.log(max(energy, 1.1920929e-7))
        assert float(found[0, 1, band]) == pytest.approx(expected, abs=2e-3)
    assert (found[..., 3] < -15.9).all()


@pytest.mark.parametrize(("kind", "size"), [("logmel", 40), ("random", 512), ("resemblyzer", 256)])
def test_encoders_are_frozen_and_take_silence(kind: str, size: int) -> None:
    encoder = encoders.Encoder(kind)
    audio = torch.cat([seeded(2, 3, 2048), torch.zeros(2, 1, 2048)], dim=1)
    found = encoder.train()(audio)
    assert found.shape == (2, 4, size)
    assert torch.isfinite(found).all()
    assert not found.requires_grad
    assert not encoder.network.training
    assert torch.allclose(encoder(audio[:1, 1:2]), found[:1, 1:2], atol=1e-5)
    if kind == "random":
        one, two, other = (encoders.load(kind, "", Path(), seed) for seed in (0, 0, 1))
        assert torch.equal(one(audio), two(audio))
        assert not torch.equal(one(audio), other(audio))


LAYERS, WIDTH, HIDDEN, HEADS, PATCHES = 2, 32, 48, 4, 24


def published_beats() -> dict[str, torch.Tensor]:
    """Tensors with the names and, but for the sizes, the shapes of the published checkpoint."""
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embedding.weight": (PATCHES, 1, 16, 16),
        "layer_norm.weight": (PATCHES,),
        "layer_norm.bias": (PATCHES,),
        "post_extract_proj.weight": (WIDTH, PATCHES),
        "post_extract_proj.bias": (WIDTH,),
        "encoder.pos_conv.0.weight_g": (1, 1, 12),
        "encoder.pos_conv.0.weight_v": (WIDTH, WIDTH // 8, 12),
        "encoder.pos_conv.0.bias": (WIDTH,),
        "encoder.layer_norm.weight": (WIDTH,),
        "encoder.layer_norm.bias": (WIDTH,),
    }
    for layer in range(LAYERS):
        for name, shape in {
            **{f"self_attn.{k}_proj.weight": (WIDTH, WIDTH) for k in ("k", "v", "q", "out")},
            **{f"self_attn.{k}_proj.bias": (WIDTH,) for k in ("k", "v", "q", "out")},
            "self_attn.grep_linear.weight": (8, WIDTH // HEADS),
            "self_attn.grep_linear.bias": (8,),
            "self_attn.grep_a": (1, HEADS, 1, 1),
            "self_attn.relative_attention_bias.weight": (20, HEADS),
            "self_attn_layer_norm.weight": (WIDTH,),
            "self_attn_layer_norm.bias": (WIDTH,),
            "fc1.weight": (HIDDEN, WIDTH),
            "fc1.bias": (HIDDEN,),
            "fc2.weight": (WIDTH, HIDDEN),
            "fc2.bias": (WIDTH,),
            "final_layer_norm.weight": (WIDTH,),
            "final_layer_norm.bias": (WIDTH,),
        }.items():
            shapes[f"encoder.layers.{layer}.{name}"] = shape
    state = {name: 0.3 * seeded(*shape, seed=n) for n, (name, shape) in enumerate(shapes.items())}
    bias = "self_attn.relative_attention_bias.weight"  # one for all layers, stored with each
    for layer in range(1, LAYERS):
        state[f"encoder.layers.{layer}.{bias}"] = state[f"encoder.layers.0.{bias}"]
    return state


CFG = {"deep_norm": True, "layer_norm_first": False, "max_distance": 60, "activation_fn": "gelu"}


def test_published_layout_of_beats_loads(tmp_path: Path) -> None:
    state = published_beats()
    torch.save({"cfg": CFG, "model": state}, tmp_path / "plain.pt")
    tuned = state | {"predictor.weight": torch.zeros(5, WIDTH), "predictor.bias": torch.zeros(5)}
    torch.save({"cfg": CFG | {"finetuned_model": True}, "model": tuned}, tmp_path / "tuned.pt")
    audio = seeded(2, 3, 2048)
    found = [
        encoders.load("auto", str(tmp_path / f"{name}.pt"), tmp_path, 0)
        for name in ("plain", "plain", "tuned")
    ]
    assert [e.kind for e in found] == ["beats"] * 3
    assert found[0].sizes["sha256"] == found[1].sizes["sha256"] != found[2].sizes["sha256"]
    assert found[0].sizes["max_distance"] == 60
    one, two, tuned = (encoder(audio) for encoder in found)
    assert one.shape == (2, 3, WIDTH)
    assert torch.isfinite(one).all()
    assert torch.equal(one, two)
    assert torch.equal(one, tuned)
    assert not torch.allclose(one[0, 0], one[0, 1], atol=1e-3)
    # 11 frames of the spectrogram are less than one patch: the signal is repeated, not dropped.
    longer = torch.cat([audio, audio], dim=-1)[..., :2800]
    assert torch.allclose(found[0](longer), one, atol=1e-6)


def test_position_bias_of_beats_is_exact_when_near_and_logarithmic_when_far() -> None:
    network = beats.BEATs(
        width=8, hidden=8, heads=1, layers=1, patch_width=8, buckets=16, max_distance=32, taps=3,
        groups=1,
    )  # fmt: skip
    table = network.encoder.layers[0].self_attn.relative_attention_bias
    table.weight.data = torch.arange(16.0)[:, None]
    bias = network._bias(40)[0]
    assert bias[20, 17:24].tolist() == [3, 2, 1, 0, 9, 10, 11]  # own place, before, after
    # From 4 on, four buckets up to a distance of 32: their bounds grow by 8 ** (1 / 4).
    far = [int(bias[39, 39 - k]) for k in (4, 6, 7, 11, 12, 19, 20, 39)]
    assert far == [4, 4, 5, 5, 6, 6, 7, 7]


class Payload:
    def __reduce__(self):
        return (print, ("code was run",))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["model"].pop("encoder.layers.1.fc1.bias"), "'encoder.layers.1.fc1.bias' is m"),
        (lambda c: c["model"].pop("patch_embedding.weight"), "'patch_embedding.weight' is missing"),
        (
            lambda c: c["model"].update({"encoder.layers.0.fc2.bias": torch.zeros(3)}),
            "'encoder.layers.0.fc2.bias' has shape (3,), expected (32,)",
        ),
        (lambda c: c["model"].update(odd=torch.zeros(3)), "unexpected weight 'odd'"),
        (lambda c: c["model"].update({"layer_norm.bias": Payload()}), "holds code or objects"),
        (lambda c: c["cfg"].update(layer_norm_first=True), "cfg 'layer_norm_first' is True"),
        (lambda c: c.pop("model"), "no BEATs checkpoint (expected the keys 'cfg' and 'model')"),
        (
            lambda c: c["model"].update(
                {"encoder.layers.1.self_attn.relative_attention_bias.weight": torch.zeros(20, 4)}
            ),
            "bias.weight' differs from that of the first layer",
        ),
    ],
)
def test_files_that_are_no_beats_are_refused(tmp_path: Path, capfd, change, words: str) -> None:
    content = {"cfg": dict(CFG), "model": published_beats()}
    change(content)
    path = tmp_path / "c.pt"
    torch.save(content, path)
    with pytest.raises(InputError) as caught:
        encoders.load("beats", str(path), tmp_path, 0)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "code was run" not in capfd.readouterr().out


def test_truncated_and_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    torch.save({"cfg": CFG, "model": published_beats()}, path)
    path.write_bytes(path.read_bytes()[:2000])
    for kind in ("beats", "aisfx", "resemblyzer"):
        with pytest.raises(InputError, match=r"c\.pt: not readable as a torch checkpoint"):
            encoders.load(kind, str(path), tmp_path, 0)
    with pytest.raises(InputError, match="no such checkpoint"):
        encoders.load("beats", str(tmp_path / "none.pt"), tmp_path, 0)
    with pytest.raises(InputError, match="'beats' needs encoder_file"):
        encoders.load("beats", "", tmp_path, 0)


def test_layouts_of_the_packaged_encoders_load(tmp_path: Path) -> None:
    speaker = {k: seeded(*v.shape) for k, v in encoders.Speaker().state_dict().items()}
    extra = {"similarity_weight": torch.ones(1), "similarity_bias": torch.ones(1)}
    torch.save({"step": 1, "model_state": speaker | extra}, tmp_path / "speaker.pt")
    effects = {f"embedding_net.{k}": v for k, v in encoders.SoundEffects().state_dict().items()}
    table = {"set": (np.int64(0), 3)}
    torch.save((effects | {"fc.0.0.bias": torch.zeros(2)}, table), tmp_path / "effects.pth")
    for kind, name in (("resemblyzer", "speaker.pt"), ("aisfx", "effects.pth")):
        encoder = encoders.load(kind, str(tmp_path / name), tmp_path, 0)
        assert torch.isfinite(encoder(seeded(1, 2, 2048))).all()
    with pytest.raises(InputError, match=r"speaker\.pt: not a checkpoint of aisfx==0\.1\.2"):
        encoders.load("aisfx", str(tmp_path / "speaker.pt"), tmp_path, 0)
    for kind, name in (
        ("aisfx", "checkpoint-aisfx.pth"),
        ("resemblyzer", "pretrained-resemblyzer.pt"),
    ):
        path = tmp_path / "packages" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"other")
        with pytest.raises(
            InputError, match=f"{name}: sha256 .* expected {encoders.PACKAGES[kind].sha256}"
        ):
            encoders.load(kind, "", tmp_path, 0)


@pytest.mark.network
def test_weights_out_of_the_packages_tell_speech_from_noise(tmp_path: Path) -> None:
    from wavloc.errors import WorkError

    harmonic = torch.sin(2 * np.pi * 150 * torch.arange(1, 9)[:, None] * torch.arange(2048) / 16000)
    audio = torch.cat([harmonic.sum(0) + 0.01 * seeded(4, 2048), seeded(4, 2048, seed=1)])[None]
    for kind in encoders.PACKAGES:
        try:
            encoder = encoders.load(kind, "", tmp_path, 0)
        except WorkError as error:
            pytest.skip(f"no package index: {error}")
        found = torch.nn.functional.normalize(encoder(audio)[0], dim=-1)
        alike = found @ found.T
        assert alike[:4, :4].min() > alike[:4, 4:].max()


def test_it_is_found_by_name() -> None:
    assert isinstance(methods.create("fault_tolerant"), fault_tolerant.Method)
