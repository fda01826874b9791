"""De-noising gain of known mixtures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from helpers.predictions import CELL, off_by
from wavloc.errors import InputError
from wavloc.evaluation import denoising, score


def test_si_sdr_of_known_mixtures() -> None:
    rng = np.random.default_rng(0)
    signal, noise = rng.standard_normal((2, 3, 200_000))
    assert denoising.si_sdr_db(signal + 0.1 * noise, signal) == pytest.approx(20, abs=0.1)
    assert denoising.si_sdr_db(7 - 5 * signal + 5 * noise, signal) == pytest.approx(0, abs=0.1)


def test_gain_of_halved_noise_is_six_decibels() -> None:
    clean = anechoic_frames(6)
    noise = np.random.default_rng(1).standard_normal(clean.audio.shape).astype(np.float32)
    noisy = dataclasses.replace(clean, audio=clean.audio + noise)
    restored = (clean.audio + 0.5 * noise) * 3 + 1
    source = np.zeros((6, 1, restored.shape[-1]), np.float32)
    better = off_by(noisy, np.zeros(6))
    better.audio = np.concatenate([source, restored], axis=1)
    both = {"better": better, "deaf": off_by(noisy, np.zeros(6))}
    table = score("denoising", both, noisy, CELL, clean=clean).set_index(["method", "metric"])
    assert table.loc[("better", "si_sdr_gain"), "value"] == pytest.approx(6.02, abs=0.2)
    assert np.isnan(table.loc[("deaf", "si_sdr_gain"), "value"])
    assert "does not reconstruct" in table.loc[("deaf", "si_sdr_gain"), "note"]
    with pytest.raises(InputError, match="source positions differ"):
        denoising.gain_db(better.audio, noisy, anechoic_frames(6, seed=1))
