"""Candidates and aligned maps against sources whose place is known."""

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames
from wavloc.features import steering

RATE, SPEED = 16_000, 343.0
PER_M = steering.OVERSAMPLE * RATE / SPEED


def tensors(frames) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    audio = torch.from_numpy(np.array(frames.window(slice(None)), np.float32))
    mics = torch.from_numpy(np.array(frames.mics(), np.float32))
    source = torch.from_numpy(np.array(frames.source_position, np.float32))
    return audio, mics, torch.ones(audio.shape[:2], dtype=torch.bool), source


def found(audio, mics, present) -> tuple[torch.Tensor, torch.Tensor]:
    gcc = steering.correlate(audio, present, RATE, 420)
    corners = mics[0].min(0).values - 0.2, mics[0].max(0).values + 0.2
    points, powers = steering.candidates(gcc, mics, present, *corners, PER_M, (24, 4, 4, 4, 4))
    return points, powers[..., 0]


def test_the_best_candidate_is_the_source() -> None:
    audio, mics, present, source = tensors(anechoic_frames(6))
    points, power = found(audio, mics, present)
    assert points.shape == (6, 40, 3)
    assert ((points[:, 0] - source).norm(dim=-1) < 0.03).all()
    assert (power[:, 0] > power[:, 1]).all()


def test_order_of_microphones_and_absent_ones_do_not_matter() -> None:
    audio, mics, present, source = tensors(anechoic_frames(4))
    order = torch.randperm(audio.shape[1], generator=torch.Generator().manual_seed(0))
    points, _ = found(audio[:, order], mics[:, order], present)
    assert torch.allclose(points[:, 0], found(audio, mics, present)[0][:, 0], atol=1e-4)
    missing = present.clone()
    missing[:, 2] = False
    noisy = audio.clone()
    noisy[:, 2] = torch.randn_like(noisy[:, 2])
    assert ((found(noisy, mics, missing)[0][:, 0] - source).norm(dim=-1) < 0.06).all()


@pytest.mark.parametrize("away", [0.0, 1.0])
def test_aligned_signals_agree_at_the_source_alone(away: float) -> None:
    audio, mics, present, source = tensors(anechoic_frames(4))
    unit, magnitude = steering.short_spectra(audio)
    place = source[:, None] + torch.tensor([away, 0.0, 0.0])
    delay = steering.distances(place, mics) * RATE / SPEED
    maps, agree = steering.aligned_maps(unit, magnitude, delay, present)
    coherence = maps[:, 0, 0] / 2
    if away:
        assert coherence.mean().abs() < 0.1
        assert agree.mean().abs() < 0.1
    else:
        assert coherence.mean() > 0.85
        assert agree.mean() > 0.85


def test_noise_alone_has_no_coherence() -> None:
    audio = torch.randn(2, 6, 2048, generator=torch.Generator().manual_seed(1))
    present = torch.ones(2, 6, dtype=torch.bool)
    maps, _ = steering.aligned_maps(
        *steering.short_spectra(audio), torch.rand(2, 5, 6) * 200, present
    )
    assert maps[:, :, 0].mean().abs() < 0.02  # the estimate is unbiased
