"""Training: learns, resumes exactly, stops clearly, and refuses what is no model."""

from __future__ import annotations

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
from safetensors.torch import load_file, save_file

from helpers.frames import anechoic_frames
from helpers.networks import FAST, NETWORKS, trained
from wavloc import cli
from wavloc.errors import InputError, WorkError
from wavloc.geometry import LUVIRA_MICS
from wavloc.methods import predictions
from wavloc.methods.learned import dinn, gnn, multilat_ngcc, ngcc_phat, wav2pos
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
    method, run = trained(module, FAST | QUIET | options, frames, frames, tmp_path)
    error = np.linalg.norm(method.predict(frames).position - frames.source_position, axis=1)
    assert error.mean() < 0.10
    assert run.rows[0]["mae_m"] > 1.0


def test_ngcc_learns_delays_that_noise_hides(tmp_path: Path) -> None:
    """Low-pass sound in white noise: a whitened correlation fails, learned filters do not."""
    frames = anechoic_frames(160)
    tone = np.fft.rfft(frames.audio)
    tone[..., tone.shape[-1] // 5 :] = 0  # below 1.6 kHz
    sound = np.fft.irfft(tone, frames.audio.shape[-1])
    sound /= sound.std(axis=-1, keepdims=True)
    noise = np.random.default_rng(0).normal(0, 1, sound.shape)
    frames.audio = (sound + noise).astype(np.float32)
    frames.source_audio[:] = np.nan
    options = {"channels": 8, "taps": 255, "epochs": 4, "batch": 8, "group": 4, "dropout": 0.1}
    options |= {"learning_rate": 0.005, "warmup": 0.1, "snr_low_db": 30}
    train, valid = frames.select(np.arange(120)), frames.select(np.arange(120, 160))
    method, run = trained(ngcc_phat, options, train, valid, tmp_path)
    delays = method.training_note["delays"]
    assert delays["ngcc"]["within_1"] > delays["gcc"]["within_1"] + 0.1
    assert run.rows[-1]["loss"] < run.rows[0]["loss"]


# ------------------------------------------------------------------ the command line


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    frames = anechoic_frames(24, margin=80)
    frames.table["track"] = "a"
    frames.table["time_s"] = np.arange(24) * 0.5
    frames.save(tmp_path / "frames")
    return tmp_path / "frames"


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


# ------------------------------------------------------------------ models from outside


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


def test_another_largest_lag_is_refused(tmp_path: Path) -> None:
    method = wav2pos.Method({"embed_dim": 8, "features": "gcc", "max_lag": 30})
    method.prepare(anechoic_frames(4))
    method.save(tmp_path / "m")
    note = json.loads((tmp_path / "m" / "method.json").read_text())
    note["data_stats"]["max_lag"] = 29
    (tmp_path / "m" / "method.json").write_text(json.dumps(note))
    with pytest.raises(InputError, match=r"pairs.first.weight' has shape \(512, 77\)"):
        wav2pos.Method.load(tmp_path / "m")


class Payload:
    def __reduce__(self):
        return (print, ("code was run",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"weights": Payload()}, "holds code or objects other than tensors"),
        ({"some.weight": torch.zeros(3)}, "no NGCC-PHAT weights"),
        ([1, 2], "expected a state dict"),
    ],
)
def test_checkpoints_that_are_none_are_refused(tmp_path: Path, capfd, content, words: str) -> None:
    torch.save(content, tmp_path / "c.pth")
    command = ["import-checkpoint", str(tmp_path / "c.pth"), "--out", str(tmp_path / "m")]
    assert cli.main(command) == 2
    output = capfd.readouterr()
    assert words in output.err
    assert "code was run" not in output.out
    assert not (tmp_path / "m").exists()


def test_published_checkpoint_of_ngcc(shared: Path, tmp_path: Path, capsys) -> None:
    file = shared / "parity" / "ngcc_published_checkpoint.pth"
    out = tmp_path / "ngcc"
    assert cli.main(["import-checkpoint", str(file), "--out", str(out)]) == 0
    assert "888,193 parameters" in capsys.readouterr().err
    frames = anechoic_frames(2)
    method = multilat_ngcc.Method.load(out)
    found = method.predict(frames)
    assert np.linalg.norm(found.position - frames.source_position, axis=1).max() < 0.2
    for change, words in (
        (lambda s: s.pop("mlp.1.0.bias"), "weight 'head.1.bias' is missing"),
        (lambda s: s.update({"mlp.1.0.bias": torch.zeros(5)}), "shape (5,), expected (128,)"),
        (lambda s: s.update({"odd": torch.zeros(5)}), "unexpected key 'odd'"),
    ):
        state = torch.load(file, map_location="cpu", weights_only=True)
        change(state)
        torch.save(state, tmp_path / "changed.pth")
        command = ["import-checkpoint", str(tmp_path / "changed.pth"), "--out", str(out)]
        assert cli.main(command) == 2
        assert words in capsys.readouterr().err


def test_published_layout_of_wav2pos(shared: Path, stored: Path, tmp_path: Path, capsys) -> None:
    with np.load(shared / "parity" / "wav2pos_case_m6.npz") as case:
        state = {
            k.removeprefix("state/"): torch.from_numpy(case[k])
            for k in case.files
            if k.startswith("state/")
        }
    ngcc = torch.load(
        shared / "parity" / "ngcc_published_checkpoint.pth", map_location="cpu", weights_only=True
    )
    torch.save(state | {f"ngcc.ngcc.{k}": v for k, v in ngcc.items()}, tmp_path / "w.pth")
    command = ["import-checkpoint", str(tmp_path / "w.pth"), "--out", str(tmp_path / "m")]
    assert cli.main(command) == 2
    assert "give --train FRAMES" in capsys.readouterr().err
    assert cli.main([*command, "--train", str(stored)]) == 0
    method = wav2pos.Method.load(tmp_path / "m")
    assert method.stats.max_lag == 314
    assert np.isfinite(method.predict(anechoic_frames(2)).position).all()


def test_parity_command(shared: Path, capsys) -> None:
    case = str(shared / "parity" / "wav2pos_case_m6.npz")
    assert cli.main(["parity", case]) == 0  # features as stored
    assert "full/grad_norm" in capsys.readouterr().out
    assert cli.main(["parity", str(shared / "parity" / "ngcc_case.npz")]) == 2
    assert "needs --checkpoint" in capsys.readouterr().err


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
