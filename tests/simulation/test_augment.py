"""Time shifts and noise of a training."""

from __future__ import annotations

import pytest
import torch

from wavloc.simulation import augment


def test_shifts_are_common_to_the_channels_of_a_frame() -> None:
    sound = torch.arange(3 * 2 * 100.0).reshape(3, 2, 100)
    generator = torch.Generator().manual_seed(0)
    moved = augment.shifted(sound, 40, 30, generator)
    first = moved[..., 0] - sound[..., 0]
    assert torch.equal(first[:, 0], first[:, 1])
    assert len(first[:, 0].unique()) == 3
    starts = [int(augment.shifted(sound, 40, 30, generator)[0, 0, 0]) for _ in range(300)]
    assert (min(starts), max(starts)) == (0, 60)
    assert torch.equal(augment.shifted(sound, 40, 30, None), sound[..., 30:70])


@pytest.mark.parametrize("colour", ["white", "coloured"])
def test_noise_has_the_stated_level(colour: str) -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(64, 3, 2048, generator=generator) * torch.tensor([1.0, 5.0, 0.1])[:, None]
    clean[:, 2] = float("nan")
    noise = augment.noisy(clean, (10.0, 10.0), generator, colour) - clean
    snr = 10 * torch.log10(clean.square().mean(-1) / noise.square().mean(-1))[:, :2]
    assert snr.mean() == pytest.approx(10, abs=0.1)
    assert torch.isnan(noise[:, 2]).all()
    spread = augment.noisy(clean, (0.0, 30.0), generator, colour) - clean
    snr = 10 * torch.log10(clean.square().mean(-1) / spread.square().mean(-1))[:, :2]
    assert snr.min() < 2
    assert snr.max() > 28
