"""Training: learns, resumes exactly, stops clearly, and refuses what is no model."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from helpers.frames import anechoic_frames
from helpers.networks import FAST, NETWORKS, trained
from wavloc import cli
from wavloc.errors import InputError, WorkError
from wavloc.geometry import LUVIRA_MICS
from wavloc.methods import predictions
from wavloc.methods.learned import dinn, gnn, wav2pos
from wavloc.methods.learned.ngcc_phat import NGCC
from wavloc.training.engine import Run, _identity
from wavloc.training.recipe import Recipe, rate_factor

QUIET = {"snr_low_db": 60, "snr_high_db": 60, "shift_s": 0.0}
TINY = {"channels": 4, "taps": 63, "epochs": 6, "batch": 4, "group": 2}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_can_learn_64_frames_by_heart(name: str, tmp_path: Path) -> None:
    """Nothing is wrong between the data and the weights if a network fits what it is shown."""
    module, options = NETWORKS[name]
    frames = anechoic_frames(64, mics=LUVIRA_MICS[:6])
    some = frames.select(np.arange(16))  # each pass is checked on them
    method, run = trained(module, FAST | QUIET | options, frames, some, tmp_path)
    error = np.linalg.norm(method.predict(frames).position - frames.source_position, axis=1)
    assert error.mean() < 0.10
    assert run.rows[0]["mae_m"] > 1.0


def test_with_mirror_images_a_network_learns_arrays_that_it_has_not_seen(tmp_path: Path) -> None:
    """The same sound at an array and source that are mirrored in x about the mean source."""
    frames = anechoic_frames(64, mics=LUVIRA_MICS[:6])
    centre = frames.source_position.mean(axis=0)
    other = dataclasses.replace(
        frames,
        mic_positions=(frames.mic_positions - centre) * [-1, 1, 1] + centre,
        source_position=(frames.source_position - centre) * [-1, 1, 1] + centre,
    )
    error, options = {}, FAST | QUIET | NETWORKS["gnn"][1] | {"epochs": 100}
    for mirrored in (False, True):
        given = options | {"mirrored": mirrored}
        method, _ = trained(gnn, given, frames, frames, tmp_path / str(mirrored))
        away = method.predict(other).position - other.source_position
        error[mirrored] = np.linalg.norm(away, axis=1).mean()
    assert error[True] < 0.7 * error[False]


def test_gains_differ_in_training_and_stay_in_validation(tmp_path: Path) -> None:
    frames = anechoic_frames(8, mics=LUVIRA_MICS[:6])
    options = FAST | QUIET | NETWORKS["dinn"][1] | {"epochs": 3, "batch": 8}
    method = dinn.Method(options | {"gain_jitter_db": 6.0, "snr_low_db": 199, "snr_high_db": 200})
    levels, inputs = {True: [], False: []}, method.inputs

    def heard(batch):
        power = batch["audio"][:, 1:].square().mean(-1)
        level = 10 * torch.log10(power / power[:, :1])  # re the first microphone
        levels[method.network.training].append(level[batch["source"][:, 0].argsort()])
        return inputs(batch)

    method.inputs = heard
    method.fit(frames, frames, Run(tmp_path, save_every_s=1e9))
    learnt, checked = torch.stack(levels[True]), torch.stack(levels[False])
    assert torch.allclose(checked, checked[:1].expand(checked.shape), atol=1e-3)
    away = (learnt - checked[:1]).abs()[..., 1:]  # two draws of up to 6 dB each
    assert 3 < away.mean() < 5
    assert away.max() < 12.01


# ------------------------------------------------------------------ the command line


def train_command(stored: Path, out: Path, options: dict, method: str = "ngcc_phat", *more):
    return [
        *("train", "--method", method, "--options", json.dumps({"options": options})),
        *("--train", str(stored), "--out", str(out), "--save-every", "0", *more),
    ]


def weights(folder: Path) -> dict[str, bytes]:
    return {k: v.numpy().tobytes() for k, v in load_file(folder / "weights.safetensors").items()}


@pytest.mark.slow
def test_a_killed_training_ends_in_the_same_weights(stored: Path, tmp_path: Path) -> None:
    """SIGKILL after the first, second and fourth epoch; then the same command to the end."""
    options = TINY | {"epochs": 8, "batch": 2, "group": 4, "channels": 8}
    assert cli.main(train_command(stored, tmp_path / "plain", options)) == 0
    out = tmp_path / "killed"
    for epochs in (1, 2, 4):
        command = [sys.executable, "-m", "wavloc.cli", *train_command(stored, out, options)]
        started = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while epochs_done(tmp_path) < epochs and time.monotonic() < deadline:
            assert started.poll() is None
            time.sleep(0.01)
        started.send_signal(signal.SIGKILL)
        started.wait()
        assert not out.exists()
    reached = epochs_done(tmp_path)
    assert 4 <= reached < 8
    assert cli.main(train_command(stored, out, options)) == 0
    assert weights(out) == weights(tmp_path / "plain")
    histories = [
        pd.read_csv(f / "history.csv").drop(columns="frames_per_s")
        for f in (out, tmp_path / "plain")
    ]
    pd.testing.assert_frame_equal(*histories)
    assert not list(tmp_path.glob(".killed.partial/*"))


def epochs_done(folder: Path) -> int:
    for path in folder.glob(".killed.partial/*/state.safetensors"):
        with safe_open(path, "pt") as state:
            return json.loads(state.metadata()["note"])["epoch"]
    return 0


def test_a_model_folder_is_complete(stored: Path, tmp_path: Path, capsys) -> None:
    out, options = tmp_path / "model", TINY | {"epochs": 1}
    assert cli.main(train_command(stored, out, options)) == 0
    assert "best epoch 1 of 1" in capsys.readouterr().err
    names = {path.name for path in out.iterdir()}
    assert names == {"weights.safetensors", "method.json", "history.csv", "history.png"}
    note = json.loads((out / "method.json").read_text())
    assert note["training"]["provenance"]["packages"]["torch"]
    assert note["parameters"] == sum(
        v.numel()
        for k, v in load_file(out / "weights.safetensors").items()
        if "running" not in k and "tracked" not in k
    )
    answer = tmp_path / "answer.parquet"
    command = ["predict", "--method", "multilat_ngcc", "--model", str(out)]
    assert cli.main([*command, "--frames", str(stored), "--out", str(answer)]) == 0
    plus = json.dumps({"options": {"solver": "multilat_plus"}})
    plus = [*command, "--options", plus, "--frames", str(stored), "--out", str(answer)]
    assert cli.main(plus) == 0
    assert predictions.load(answer).meta["options"]["solver"] == "multilat_plus"
    small = json.dumps(
        {
            "options": {
                "embed_dim": 16,
                "encoder_depth": 1,
                "decoder_depth": 1,
                "epochs": 1,
                "batch": 8,
                "copies": 1,
            }
        }
    )
    wav = ["train", "--method", "wav2pos", "--options", small, "--train", str(stored)]
    assert cli.main([*wav, "--out", str(tmp_path / "w")]) == 2
    assert "give --pretrained FOLDER" in capsys.readouterr().err
    assert cli.main([*wav, "--pretrained", str(out), "--out", str(tmp_path / "w")]) == 0
    for path in out.iterdir():  # the NGCC-PHAT inside is the model's own
        path.unlink()
    alone = ["predict", "--method", "wav2pos", "--model", str(tmp_path / "w"), "--setup", "2b"]
    assert cli.main([*alone, "--frames", str(stored), "--out", str(answer)]) == 0


def test_diverging_training_is_one_clear_line(stored: Path, tmp_path: Path, capsys) -> None:
    options = {"hidden_dim": 16, "lags": 64, "batch": 8, "epochs": 5, "learning_rate": 1e30}
    assert cli.main(train_command(stored, tmp_path / "m", options, "gnn")) == 1
    message = capsys.readouterr().err
    assert "diverged in epoch" in message
    assert "lower learning_rate" in message
    assert not (tmp_path / "m").exists()


def test_a_training_that_ran_out_of_time_goes_on(stored: Path, tmp_path: Path, capsys) -> None:
    command = train_command(stored, tmp_path / "m", TINY, "ngcc_phat")
    assert cli.main([*command, "--minutes", "0"]) == 1
    assert "run the same command to go on" in capsys.readouterr().err
    (state,) = tmp_path.glob(".m.partial/*/state.safetensors")
    with safe_open(state, "pt") as stored_state:
        before = json.loads(stored_state.metadata()["note"])["cost"]
    assert cli.main(command) == 0
    cost = json.loads((tmp_path / "m" / "method.json").read_text())["training"]["cost"]
    assert cost["seconds"] > before["seconds"] > 0  # of both runs together
    assert cost["peak_memory_mb"] >= before["peak_memory_mb"] > 0
    assert "CPU" in cost["device"]
    assert len(pd.read_csv(tmp_path / "m" / "history.csv")) == TINY["epochs"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schedule": "square"}, "options.schedule: 'square', expected one of cosine"),
        ({"epochs": 0}, "options.epochs: 0, expected a number above 0"),
        ({"noise": "pink"}, "options.noise: 'pink'"),
        ({"widht": 3}, "unknown key 'widht'"),
    ],
)
def test_bad_options_are_named(stored: Path, tmp_path: Path, capsys, change, words: str) -> None:
    assert cli.main(train_command(stored, tmp_path / "m", TINY | change)) == 2
    assert words in capsys.readouterr().err


def test_classical_methods_have_nothing_to_train(stored: Path, tmp_path: Path, capsys) -> None:
    assert cli.main(train_command(stored, tmp_path / "m", {}, "nlls")) == 2
    assert "'nlls' has nothing of its own to train" in capsys.readouterr().err


# ------------------------------------------------------------------ schedules and groups


def test_schedules() -> None:
    def factors(**changes) -> list[float]:
        recipe = Recipe(epochs=20, **changes)
        return [rate_factor(recipe, step, 10) for step in range(200)]

    cosine = factors(schedule="cosine", warmup=0.1, final_rate=0.01)
    assert cosine[0] == pytest.approx(1 / 20)
    assert max(cosine) == pytest.approx(1.0)
    assert np.argmax(cosine) in (19, 20)
    assert cosine[-1] == pytest.approx(0.01)
    steps = factors(schedule="steps", milestones=(0.15, 0.4))
    assert [steps[0], steps[29], steps[30], steps[79], steps[80]] == [1, 1, 0.5, 0.5, 0.25]
    reference = factors(schedule="reference", warmup=0.1, final_rate=0.01)
    assert reference[:10] == [0.0] * 10  # the first epoch of the public code learns nothing
    assert reference[20] == pytest.approx(1.0)
    assert reference[-1] > 0.02  # and its cosine does not end


def test_unknown_device_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="device 'tpu9'"):
        Run(tmp_path, device="tpu9")
    with pytest.raises(InputError, match="precision 'half'"):
        Run(tmp_path, precision="half")


def test_training_needs_positions(tmp_path: Path) -> None:
    frames = anechoic_frames(8)
    frames.source_position[3] = np.nan
    with pytest.raises(InputError, match="position of every frame"):
        gnn.Method({"hidden_dim": 8, "lags": 64}).fit(frames, frames, Run(tmp_path))


def test_seeds_decide_everything(tmp_path: Path) -> None:
    frames = anechoic_frames(16)
    options = {"hidden_dim": 8, "lags": 64, "epochs": 2, "batch": 4}

    def first_weight(seed: int) -> torch.Tensor:
        method = gnn.Method(options, seed=seed)
        method.fit(frames, frames, Run(tmp_path / str(seed)))
        return method.network.edge[0].weight.detach()

    assert torch.equal(first_weight(0), first_weight(0))
    assert not torch.equal(first_weight(0), first_weight(1))


def test_a_state_belongs_to_its_pretrained_model() -> None:
    """A run that goes on must not mix the features of two models."""
    frames = anechoic_frames(8)
    marks = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        method = wav2pos.Method({"embed_dim": 8, "max_lag": 20})
        method.correlations.ngcc = NGCC(channels=4, taps=63)
        method.prepare(frames)
        marks.append(_identity(method, frames, frames))
    assert marks[0] == marks[2] != marks[1]


def test_errors_have_the_right_kind() -> None:
    assert WorkError.exit_code == 1
    assert NGCC(channels=4, taps=63).sizes["taps"] == 63
