"""Candidates and aligned maps against sources whose place is known."""

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames
from wavloc.features import cells, steering

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


@pytest.mark.parametrize(("low", "high"), [(0.0, 5.0), (-30.0, 40.0), (2.0, 3.0), (1.5, 1.5)])
def test_cells_fill_an_axis_and_grow_outside(low: float, high: float) -> None:
    middle, size = cells.along(low, high, (1.0, 4.0), 0.2)
    assert size.sum() == pytest.approx(high - low, abs=1e-4)
    assert (middle.diff() > 0).all()
    inside = (middle > 1.0) & (middle < 4.0)
    assert (size[inside] < 0.25).all()
    assert len(size) < 60


def test_a_source_far_outside_is_a_candidate() -> None:
    rng = np.random.default_rng(0)
    mics = torch.from_numpy(rng.uniform(0, 3, (1, 8, 3))).float()
    source = torch.tensor([[9.0, -6.0, 2.0]])
    delay = ((mics[0] - source).norm(dim=-1) * RATE / SPEED).numpy()
    sound = rng.standard_normal(4096)
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(4096)[None] * delay[:, None])
    audio = np.fft.irfft(np.fft.rfft(sound)[None] * turn, 4096)[None, :, 1024:3072]
    audio = torch.from_numpy(audio.astype(np.float32))
    present = torch.ones(1, 8, dtype=torch.bool)
    gcc = steering.correlate(audio, present, RATE, 420)
    inner = torch.zeros(3) - 0.5, torch.full((3,), 3.5)
    box = torch.full((3,), -20.0), torch.full((3,), 20.0)
    tops = (24, 4, 4, 4, 4)
    points, _ = steering.candidates(gcc, mics, present, *box, PER_M, tops, inner)
    assert (points[0] - source).norm(dim=-1).min() < 0.3


@pytest.mark.parametrize("shared", [True, False])
def test_power_of_cells_is_that_of_their_middles(shared: bool, monkeypatch) -> None:
    """Sums over all frames and rows at once, in pieces of cells, through tables that are kept."""
    monkeypatch.setattr(steering, "CELLS_AT_ONCE", 100)
    draw = torch.Generator().manual_seed(0)
    gcc = torch.randn(3, 2, 6, 201, generator=draw)
    mics = torch.rand(3, 4, 3, generator=draw)
    mics = mics[:1].expand(3, -1, -1) if shared else mics
    corners = ((0.0, 0.0, 0.0), (1.0, 1.2, 0.8)) * 2
    cell = cells.fill(corners, gcc.device)
    assert len(cell.middles) > 200
    seen = steering.widened(gcc, cell.side * PER_M)
    for _ in range(2):  # the second time with the tables of the first
        score = steering._grid_power(gcc, corners, mics, PER_M)
        for rows, array, own in zip(seen, mics, score, strict=True):
            lags = steering.lags_of(cell.middles, array, PER_M, gcc.shape[-1])
            for row, found in zip(rows, own, strict=True):
                mean = steering.steered_power(row[None], lags, torch.ones(6))
                assert torch.allclose(found / 6, mean, atol=1e-5)
