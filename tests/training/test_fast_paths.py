"""The fast ways of the full-size runs give what the plain ways give."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers.frames import anechoic_frames
from helpers.networks import with_model
from wavloc import cli, devices
from wavloc.errors import InputError
from wavloc.frames import Frames
from wavloc.methods import batching
from wavloc.methods.learned import dinn, gnn, multilat_ngcc, ngcc_phat, wav2pos
from wavloc.methods.learned.ngcc_phat import NGCC
from wavloc.setups import Setup
from wavloc.training import parallel, precision
from wavloc.training.engine import Run

RELATION = {"hidden_dim": 16, "lags": 64, "epochs": 2, "batch": 8, "fewest_mics": 0, "copies": 1}
SMALL = {
    "embed_dim": 16,
    "encoder_depth": 1,
    "decoder_depth": 1,
    "pair_hidden": 16,
    "head_hidden": [16, 16],
    "coordinate_hidden": 8,
    "features": "gcc",
    "epochs": 2,
    "batch": 8,
}


def frames_of(count: int) -> Frames:
    return anechoic_frames(count, margin=80)


def trained(folder: Path, module=gnn, options: dict = RELATION, **how) -> dict[str, torch.Tensor]:
    frames = frames_of(24)
    method = module.Method(options, "small")
    method.fit(frames, frames.select(np.arange(8)), Run(folder, **how))
    return method.network.state_dict()


def assert_close(found: dict, expected: dict, tolerance: float) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance)


def test_a_batch_in_parts_trains_the_same_weights(tmp_path: Path) -> None:
    """For a network without batch statistics and dropout."""
    whole = trained(tmp_path / "a")
    assert_close(trained(tmp_path / "b", accumulate=4), whole, 1e-5)
    assert_close(trained(tmp_path / "c", accumulate=3), whole, 1e-5)  # parts of 3, 3 and 2
    with pytest.raises(InputError, match="accumulate 0, expected 1"):
        Run(tmp_path, accumulate=0)


@pytest.mark.slow
def test_two_processes_train_the_weights_of_one_and_resume(tmp_path: Path) -> None:
    """Through torch's launcher and the command line, stopped after the first epoch."""
    frames = frames_of(24)
    frames.table["track"] = "a"
    frames.save(tmp_path / "frames")

    def command(out: str, *more: str) -> list[str]:
        options = json.dumps({"options": RELATION})
        told = ["train", "--method", "gnn", "--options", options, "--device", "cpu"]
        given = ["--train", str(tmp_path / "frames"), "--save-every", "0"]
        return [*told, *given, "--out", str(tmp_path / out), *more]

    def together(*more: str) -> subprocess.CompletedProcess:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        return subprocess.run(
            [sys.executable, *launcher, "-m", "wavloc.cli", *command("two", *more)],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    assert cli.main(command("one")) == 0
    stopped = together("--minutes", "0")
    assert stopped.returncode != 0
    assert "in epoch 1 of 2; run the same command to go on" in stopped.stderr
    assert not (tmp_path / "two").exists()
    ended = together()
    assert ended.returncode == 0, ended.stderr
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert_close(two, one, 1e-5)
    note = json.loads((tmp_path / "two" / "method.json").read_text())["training"]
    assert note["provenance"]["processes"] == 2
    assert note["epochs"] == 2
    with pytest.raises(InputError, match="a batch of 8 frames, expected a multiple of the 3"):
        parallel.Group(0, 3).share(torch.arange(8))


def test_half_precision_is_near(tmp_path: Path) -> None:
    """The losses of two epochs, and the features of NGCC-PHAT."""
    losses = {}
    for kind in ("float32", "bf16"):
        run, frames = Run(tmp_path / kind, precision=kind), frames_of(24)
        wav2pos.Method(SMALL, "small").fit(frames, frames.select(np.arange(8)), run)
        losses[kind] = [row[name] for row in run.rows for name in ("train_loss", "loss")]
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.02)
    assert losses["bf16"] != losses["float32"]
    torch.manual_seed(0)
    network, audio = NGCC(channels=8, taps=255).eval(), torch.randn(2, 4, 1024)
    rows = network.all_pairs(audio, 40)
    with precision.autocast(torch.device("cpu"), torch.bfloat16, True):
        near = network.all_pairs(audio, 40)
    assert near.dtype == rows.dtype
    assert 0 < (near - rows).abs().max() < 0.05 * rows.abs().max()
    with pytest.raises(InputError, match="precision 'half', expected auto, float32, tf32"):
        Run(tmp_path, precision="half")


def test_automatic_precision_is_half_only_where_the_processor_has_it(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
    assert Run(tmp_path, device="cpu", precision="auto").precision == "float32"
    for flags, expected in (("fma avx512_bf16 amx", "bf16"), ("fma avx512f", "float32")):
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\n")
        run = Run(tmp_path, device="cpu", precision="auto")
        assert run.describe()["precision"] == expected
        assert run.format == precision.FORMATS[expected]
    (tmp_path / "cpuinfo").write_text("flags : avx512_bf16\n")
    for module, expected in ((gnn, "bf16"), (ngcc_phat, "float32")):
        options = RELATION if module is gnn else {"channels": 4, "taps": 63}
        run = Run(tmp_path / module.__name__, device="cpu", precision="auto")
        module.Method(options | {"epochs": 1}, "m").fit(frames_of(8), frames_of(8), run)
        assert run.precision == expected
    assert precision.resolved("auto", torch.device("cuda")) == "float32"
    assert precision.resolved("tf32", torch.device("cpu")) == "tf32"


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (dinn, {"channels": [4, 4, 4, 4], "recurrent": 8}),
        (gnn, RELATION),
        (multilat_ngcc, {}),
        (wav2pos, SMALL),
    ],
)
def test_answers_do_not_depend_on_the_block(module, options: dict) -> None:
    frames = frames_of(7)
    method = with_model(module.Method(options, "m"), frames)
    answers = []
    for size in ("1", "3", "auto"):
        chosen = batching.choose(method, frames, Setup(), size)
        assert chosen == method.options.predict_batch == (16 if size == "auto" else int(size))
        answers.append(method.predict(frames).position)
        if size == "3":
            method = with_model(module.Method(options, "m"), frames)
    for found in answers[1:]:
        np.testing.assert_allclose(found, answers[0], atol=1e-4)
    with pytest.raises(InputError, match="--batch 0, expected auto or a number"):
        batching.choose(method, frames, Setup(), "0")


def test_the_block_is_extrapolated_from_two_small_ones() -> None:
    """A fixed 10 bytes and 5 for each frame."""
    assert batching.fitting([20, 50], 1010, frames=1000) == 200
    assert batching.fitting([20, 50], 1010, frames=50) == 50
    assert batching.fitting([20, 50], 0, frames=50) == 2
    assert devices.fitting(torch.device("cpu"), 10, 100, 7) == 7


def test_the_check_of_a_gpu_runs_on_a_cpu_too(root: Path, monkeypatch) -> None:
    """At a small size; tolerances of a step are for larger batches."""
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    check = importlib.import_module("check_gpu")
    args = argparse.Namespace(batch=2, mics=2, rounds=1, product=64, compile=False)
    rows = check.run(args, torch.device("cpu"))
    judged = {(row["part"], row["mode"]): row["passed"] for row in rows if "passed" in row}
    assert {part for part, _ in judged} == {"features", "step", "simulation"}
    assert all(passed for (part, _), passed in judged.items() if part != "step")
    counted = next(row["gflop_per_frame"] for row in rows if row["part"] == "features")
    assert 4.6 < counted < 4.9  # two backbones of 1.81 and two heads of 0.56 GFLOP
