"""Training that starts from a model: at its very weights, with its delays and unit of length."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames
from wavloc import cli, files
from wavloc.errors import InputError
from wavloc.frames import Frames
from wavloc.geometry import LUVIRA_MICS, max_lag
from wavloc.methods.learned import gnn, wav2pos
from wavloc.methods.learned.base import LearnedMethod
from wavloc.methods.learned.ngcc_phat import NGCC
from wavloc.training.engine import Run, _identity

SMALL = {
    **{"embed_dim": 16, "encoder_depth": 1, "decoder_depth": 1, "pair_hidden": 8},
    **{"head_hidden": [8, 8], "coordinate_hidden": 8, "epochs": 1, "batch": 4},
}
GCC = SMALL | {"features": "gcc"}
SIX = LUVIRA_MICS[[0, 1, 2, 3, 4, 6]]


class Caught:
    """A training run that only looks at what it would begin with."""

    def train(self, method: LearnedMethod, train: Frames, valid: Frames) -> None:
        self.weights = {k: v.clone() for k, v in method.network.state_dict().items()}
        self.identity = _identity(method, train, valid)


def begun(options: dict, start: Path | None, train: Frames) -> tuple[wav2pos.Method, Caught]:
    method, run = wav2pos.Method(options), Caught()
    if start:
        method.start_from(start)
    method.fit(train, train, run)
    return method, run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wav2pos of six microphones, trained for one epoch."""
    folder = tmp_path_factory.mktemp("start")
    frames = anechoic_frames(12, mics=SIX)
    method = wav2pos.Method(GCC)
    method.fit(frames, frames, Run(folder / "run"))
    method.save(folder / "model")
    return folder / "model"


def test_training_begins_at_the_weights_of_the_model(model: Path) -> None:
    frames = anechoic_frames(12, mics=SIX)
    started = wav2pos.Method.load(model)
    method, run = begun(GCC | {"epochs": 9, "learning_rate": 0.01}, model, frames)
    for name, value in started.network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(run.weights[name], value), name
    np.testing.assert_array_equal(method.predict(frames).position, started.predict(frames).position)
    fresh = begun(GCC, None, frames)[1]
    assert fresh.identity != begun(GCC, model, frames)[1].identity  # never goes on from the other


def test_another_array_is_fine_where_its_delays_are_known(model: Path) -> None:
    started = wav2pos.Method.load(model).stats
    five = anechoic_frames(12, seed=1, mics=LUVIRA_MICS[:5] * 0.8 + [1.0, 2.0, 0.0])
    assert max_lag(five.mic_positions, 16000, 343.0) < started.max_lag
    method = begun(GCC, model, five)[0]
    assert (method.stats.max_lag, method.stats.mics) == (started.max_lag, 5)
    assert method.stats.position_std == started.position_std  # its unit of length ...
    np.testing.assert_allclose(
        method.stats.position_mean, five.source_position.mean(axis=0)
    )  # not place
    assert np.isfinite(method.predict(five).position).all()


def test_a_wider_array_must_say_that_delays_are_cut_off(model: Path) -> None:
    started = wav2pos.Method.load(model).stats.max_lag
    wide = anechoic_frames(12, mics=SIX * 1.5)
    with pytest.raises(
        InputError, match=rf"max_lag: 4\d\d, as the microphones allow.*has {started};"
    ):
        begun(GCC, model, wide)
    with pytest.raises(InputError, match=f"max_lag: 99, as stated, but .*max_lag: {started}"):
        begun(GCC | {"max_lag": 99}, model, wide)
    method = begun(GCC | {"max_lag": started}, model, wide)[0]
    assert np.isfinite(method.predict(wide).position).all()


def test_models_of_other_sizes_or_methods_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"methods.wav2pos.options.embed_dim: 24, expected 16 as in"
    ):
        wav2pos.Method(GCC | {"embed_dim": 24}).start_from(model)
    with pytest.raises(InputError, match=r"options.head_hidden: \(8, 4\), expected \(8, 8\)"):
        wav2pos.Method(GCC | {"head_hidden": [8, 4]}).start_from(model)
    with pytest.raises(InputError, match="a model of 'wav2pos', expected one of 'gnn'"):
        gnn.Method().start_from(model)
    with pytest.raises(InputError, match="no such model folder"):
        wav2pos.Method(GCC).start_from(tmp_path / "nowhere")


def test_what_starts_well_is_not_made_worse(model: Path, tmp_path: Path) -> None:
    frames = anechoic_frames(12, mics=SIX)
    method = wav2pos.Method(GCC | {"epochs": 2, "learning_rate": 1.0, "warmup": 0.0})
    method.start_from(model)
    started = wav2pos.Method.load(model)
    run = Run(tmp_path)
    method.fit(frames, frames, run)
    assert all(row["criterion"] > method.training_note["criterion"] for row in run.rows)
    assert method.training_note["best_epoch"] == 0
    np.testing.assert_array_equal(method.predict(frames).position, started.predict(frames).position)


def test_the_model_brings_its_ngcc(tmp_path: Path) -> None:
    frames = anechoic_frames(8)
    torch.manual_seed(5)
    first = wav2pos.Method(SMALL)
    first.correlations.ngcc = NGCC(channels=4, taps=63).requires_grad_(False)
    first.prepare(frames)
    first.save(tmp_path / "model")
    method = begun(SMALL, tmp_path / "model", frames)[0]
    networks = (m.correlations.ngcc for m in (method, first))
    for one, other in zip(*(n.parameters() for n in networks), strict=True):
        assert torch.equal(one, other)
        assert not one.requires_grad


def test_the_command_starts_from_a_model(model: Path, tmp_path: Path, capsys) -> None:
    frames = anechoic_frames(12, margin=80, mics=SIX)
    frames.save(tmp_path / "frames")
    options = json.dumps({"options": GCC | {"learning_rate": 1e-7}})
    words = ["train", "--method", "wav2pos", "--options", options, "--start", str(model)]
    words += ["--train", str(tmp_path / "frames"), "--valid", str(tmp_path / "frames")]
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == 0
    assert files.read_json(tmp_path / "out" / "method.json")["training"]["start"] == str(model)
    found, started = wav2pos.Method.load(tmp_path / "out"), wav2pos.Method.load(model)
    for one, other in zip(found.network.parameters(), started.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    capsys.readouterr()
    assert cli.main([*words, "--pretrained", str(model), "--out", str(tmp_path / "no")]) == 2
    assert "--pretrained and --start: expected one" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
