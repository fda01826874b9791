"""Time shifts, gains, noise and mirror images of a training."""

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


def test_each_microphone_of_a_frame_has_a_gain_of_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    sound = torch.randn(300, 3, 50, generator=generator)
    sound[:, 2] = float("nan")
    heard = augment.uncalibrated(sound, 3.0, generator)
    gain_db = 20 * torch.log10(heard / sound)[:, :2]
    assert torch.allclose(gain_db, gain_db[..., :1].expand(gain_db.shape), atol=1e-3)
    drawn = gain_db[..., 0].flatten()
    assert len(drawn.unique()) > 590
    assert (drawn.min().item(), drawn.max().item()) == pytest.approx((-3, 3), abs=0.05)
    assert torch.isnan(heard[:, 2]).all()


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


def test_mirror_images_keep_every_distance_and_height() -> None:
    generator = torch.Generator().manual_seed(0)
    mics, source = torch.rand(400, 6, 3, generator=generator), torch.tensor([[0.9, 0.6, 0.3]])
    places = {"mics": mics, "source": source.repeat(400, 1)}
    places["mics"][7, 2] = float("nan")
    images = augment.mirrored(places, (0.5, 0.5, 0.5), generator)
    before, after = (torch.cdist(p["mics"], p["source"][:, None]) for p in (places, images))
    assert torch.allclose(before, after, atol=1e-6, equal_nan=True)
    for name, place in places.items():
        assert torch.allclose(place[..., 2], images[name][..., 2], equal_nan=True)
    found = {tuple(round(float(v), 4) for v in point[:2]) for point in images["source"]}
    assert found == {
        *((0.9, 0.6), (0.1, 0.6), (0.9, 0.4), (0.1, 0.4)),
        *((0.6, 0.9), (0.6, 0.1), (0.4, 0.9), (0.4, 0.1)),
    }
