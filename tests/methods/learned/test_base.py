"""What all learned methods share: sizes, weight decay, model folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.frames import anechoic_frames
from helpers.networks import shaken
from wavloc.errors import InputError
from wavloc.methods.learned import dinn, gnn, multilat_ngcc, ngcc_phat, wav2pos
from wavloc.methods.learned.base import DataStats
from wavloc.methods.learned.dinn import DINN
from wavloc.methods.learned.gnn import RelationNet
from wavloc.methods.learned.ngcc_phat import NGCC
from wavloc.methods.learned.wav2pos import Wav2Pos
from wavloc.setups import Setup

SMALL = {
    "embed_dim": 32,
    "encoder_depth": 1,
    "decoder_depth": 1,
    "pair_hidden": 32,
    "head_hidden": [32, 32],
    "coordinate_hidden": 16,
}


def count(network: torch.nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (lambda: NGCC(), 888_193),
        (lambda: Wav2Pos(), 9_758_342),
        (lambda: Wav2Pos(lags=0), 8_516_486),
        (lambda: Wav2Pos(lags=0, max_pooling=False), 8_254_342),
        (lambda: DINN(11), 3_573_831),
        (lambda: DINN(5), 3_549_405),
        (lambda: RelationNet(), 2_211_253),
    ],
)
def test_published_numbers_of_parameters(network, expected: int) -> None:
    assert count(network()) == expected


@pytest.mark.parametrize("mics", [6, 11])
def test_parameters_of_the_methods_as_published(mics: int) -> None:
    stats = DataStats(mics, 2048, 16000, 343.0, 314, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    for options, expected in (
        ({}, 10_646_535),
        ({"features": "gcc"}, 9_758_342),
        ({"features": "none"}, 8_516_486),
        ({"features": "none", "max_pooling": False, "pairwise_encoding": False}, 8_254_342),
    ):
        method = wav2pos.Method(options)
        method.stats, method.network = stats, method.build(stats)
        if not options:
            method.correlations.ngcc = ngcc_phat.Method().build(stats)
        assert method.parameters == expected


def test_weight_decay_spares_norms_tokens_and_filters() -> None:
    method = wav2pos.Method({"embed_dim": 8, "features": "none"})
    method.prepare(anechoic_frames(4))
    decayed, free = method.parameter_groups()
    assert decayed["weight_decay"] == 0.1
    assert free["weight_decay"] == 0
    names = {id(p): n for n, p in method.network.named_parameters()}
    assert {"mask_source", "encoder_audio"} <= {names[id(p)] for p in free["params"]}
    assert all(p.ndim > 1 for p in decayed["params"])
    pretraining = ngcc_phat.Method({"channels": 4, "taps": 63})
    pretraining.prepare(anechoic_frames(4))
    spared = {id(p) for p in pretraining.parameter_groups()[1]["params"]}
    assert all(id(p) in spared for p in pretraining.network.bank.parameters())


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (dinn, {"channels": [4, 4, 4, 4], "recurrent": 8}),
        (gnn, {"hidden_dim": 8, "lags": 64}),
        (multilat_ngcc, {"solver": "multilat"}),
        (multilat_ngcc, {"solver": "multilat_plus"}),
        (wav2pos, SMALL),
    ],
)
def test_saved_models_answer_the_same(module, options: dict, tmp_path: Path) -> None:
    frames = anechoic_frames(4)
    method = shaken(module, options, frames)
    method.save(tmp_path / "model")
    loaded = module.Method.load(tmp_path / "model", options)
    expected, found = method.predict(frames), loaded.predict(frames)
    assert np.array_equal(expected.position, found.position, equal_nan=True)
    models = [getattr(part, "model", part) for part in (loaded, method)]
    assert models[0].parameters == models[1].parameters


@pytest.fixture
def model(tmp_path: Path) -> Path:
    method = gnn.Method({"hidden_dim": 8, "lags": 64})
    method.prepare(anechoic_frames(4))
    method.save(tmp_path / "gnn")
    return tmp_path / "gnn"


def change_weights(folder: Path, change) -> None:
    tensors = load_file(folder / "weights.safetensors")
    change(tensors)
    save_file(tensors, folder / "weights.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("network.edge.0.bias"), "weight 'edge.0.bias' is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "unexpected weight 'extra'"),
        (
            lambda t: t.update({"network.fusion.4.bias": torch.zeros(4)}),
            "shape (4,), expected (3,)",
        ),
        (lambda t: t["network.edge.0.bias"].fill_(float("nan")), "is not finite"),
    ],
)
def test_models_that_do_not_fit_are_refused(model: Path, change, words: str) -> None:
    change_weights(model, change)
    with pytest.raises(InputError) as caught:
        gnn.Method.load(model)
    assert words in str(caught.value)


def test_weights_with_another_byte_are_refused(model: Path) -> None:
    file = model / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-2] ^= 1  # still a number, and of the right shape
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.safetensors: damaged, not the weights"):
        gnn.Method.load(model)


def test_weights_are_as_readable_as_the_rest(model: Path) -> None:
    modes = {path.stat().st_mode for path in model.iterdir()}
    assert len(modes) == 1


def test_a_far_wider_array_is_refused(model: Path) -> None:
    method, frames = gnn.Method.load(model), anechoic_frames(4)
    center = frames.mic_positions.mean(axis=0)
    for factor, good in ((1.2, True), (3.0, False)):
        frames.mic_positions = center + factor * (anechoic_frames(4).mic_positions - center)
        assert (method.refusal(frames, Setup()) is None) == good


def test_damaged_model_folders_are_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder"):
        gnn.Method.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="a model of 'gnn', expected one of 'dinn'"):
        dinn.Method.load(model)
    (model / "weights.safetensors").write_bytes(b"\x80\x04not tensors")
    with pytest.raises(InputError, match="not readable as safetensors"):
        gnn.Method.load(model)
    (model / "method.json").write_text("{}")
    with pytest.raises(InputError, match="not a model description"):
        gnn.Method.load(model)
