"""NGCC-PHAT: features of all pairs, limited lags, and what it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames
from helpers.networks import shake, trained
from wavloc.features import gcc_torch as correlation
from wavloc.methods.learned import multilat_ngcc, ngcc_phat
from wavloc.methods.learned.gnn import pair_correlations
from wavloc.methods.learned.ngcc_phat import NGCC


def test_features_of_all_pairs_are_those_of_single_pairs() -> None:
    """In chunks, with folded norms and reversed kernels, against one pair after the other."""
    network = shake(NGCC(channels=8, taps=63))
    audio = torch.randn(2, 3, 512, generator=torch.Generator().manual_seed(1))
    fast = network.all_pairs(audio, 30, chunk=2)
    with torch.no_grad():
        for place, (i, j) in enumerate(correlation.ordered_pairs(3).T.tolist()):
            assert torch.allclose(fast[:, place], network(audio[:, i], audio[:, j], 30), atol=1e-4)
    assert torch.equal(network.all_pairs(audio, 30, directions=1), fast[:, ::2])


def test_backbone_follows_circular_shifts() -> None:
    network = shake(NGCC(channels=4, taps=63))
    sound = torch.randn(1, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        shifted = network.embed(sound.roll(17, -1))
        assert torch.allclose(shifted, network.embed(sound).roll(17, -1), atol=1e-4)


def test_silence_gives_finite_features() -> None:
    assert torch.isfinite(
        NGCC(channels=4, taps=63).eval().all_pairs(torch.zeros(1, 3, 256), 9)
    ).all()
    assert (correlation.gcc_phat(torch.zeros(1, 3, 256), 9) == 0).all()
    assert (pair_correlations(torch.zeros(1, 3, 256), 32) == 0).all()


def test_features_in_training_mode_are_refused() -> None:
    with pytest.raises(RuntimeError, match="eval"):
        NGCC(channels=4, taps=63).train().all_pairs(torch.zeros(1, 3, 256), 9)


def test_limited_lags_are_the_same_within_the_limits() -> None:
    """Tolerance 1e-4 of the largest score; zero beyond."""
    torch.manual_seed(1)
    network, audio = NGCC(channels=8, taps=63).eval(), torch.randn(3, 4, 512)
    limits = torch.tensor([0, 5, 11, 40, 25, 33])
    whole = network.all_pairs(audio, 40).unflatten(1, (6, 2))
    some = network.all_pairs(audio, 40, limits=limits.tolist(), chunk=2).unflatten(1, (6, 2))
    inside = torch.arange(-40, 41).abs() <= limits[:, None]
    scale = float(whole.abs().max())
    torch.testing.assert_close(
        some, whole * inside[:, None], rtol=0, atol=1e-4 * scale, check_stride=False
    )
    assert correlation.pair_numbers(3) == [[0, 0, 1], [0, 0, 2], [0, 0, 0]]


def test_limited_lags_give_the_same_positions(tmp_path: Path) -> None:
    frames, positions = anechoic_frames(6), []
    model = ngcc_phat.Method({"channels": 4, "taps": 63})
    model.prepare(frames)
    model.save(tmp_path / "model")
    for limited in (False, True):
        method = multilat_ngcc.Method.load(tmp_path / "model", {"limit_lags": limited})
        positions.append(method.predict(frames).position)
    np.testing.assert_allclose(positions[1], positions[0], atol=1e-3)


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
