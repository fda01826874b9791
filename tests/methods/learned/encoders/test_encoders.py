"""Encoders of sound: spectrograms, frozen networks, checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.networks import seeded
from wavloc.errors import InputError
from wavloc.methods.learned.encoders import beats, encoders, spectrogram


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
            InputError, match=f"{name}: sha256 .* expected {encoders.PACKAGES[kind][2]}"
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
