"""The steered network: what must not matter does not, and its training learns and goes on."""

import numpy as np
import torch

from helpers.frames import anechoic_frames
from wavloc.methods.learned import steered, steered_training

RATE, SPEED = 16_000, 343.0


def posterior(frames, order: torch.Tensor | None = None, shift: float = 0.0) -> dict:
    torch.manual_seed(0)
    network = steered.SteeredNetwork().eval()
    audio = torch.from_numpy(np.array(frames.window(slice(None)), np.float32))
    mics = torch.from_numpy(np.array(frames.mics(), np.float32)) + shift
    if order is not None:
        audio, mics = audio[:, order], mics[:, order]
    corners = mics[0].min(0).values - 0.2, mics[0].max(0).values + 0.2
    present = torch.ones(audio.shape[:2], dtype=torch.bool)
    return steered.posterior(network, audio, mics, present, corners, steered.Options(), RATE, SPEED)


def test_order_of_microphones_and_place_of_the_origin_do_not_matter() -> None:
    frames = anechoic_frames(3)
    plain = posterior(frames)
    order = torch.randperm(frames.n_mics, generator=torch.Generator().manual_seed(1))
    turned, moved = posterior(frames, order), posterior(frames, shift=8.0)
    first = plain["points"][:, 0]
    assert torch.allclose(turned["points"][:, 0], first, atol=1e-4)
    assert torch.allclose(moved["points"][:, 0] - 8.0, first, atol=2e-3)
    assert torch.allclose(turned["posterior"][:, 0], plain["posterior"][:, 0], atol=2e-3)
    assert torch.allclose(turned["trust"], plain["trust"][:, order], atol=2e-3)
    total = plain["posterior"].sum(1)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-5)


def test_the_point_of_least_expected_distance() -> None:
    points = torch.tensor([[[0.0, 0, 0], [0.2, 0, 0], [5.0, 0, 0]]])
    place, cost = steered.least_expected(points, torch.tensor([[0.8, 0.1, 0.1]]))
    assert place[0].norm() < 0.05  # the heavy candidate
    assert abs(float(cost) - (0.1 * 0.2 + 0.1 * 3.0)) < 0.02  # distances are cut at 3 m


def test_training_learns_and_goes_on(tmp_path) -> None:
    rng = np.random.default_rng(0)
    sounds = {"speech": [[rng.standard_normal(30_000).astype(np.float32)]]}
    steered_training.train(tmp_path, sounds, 2, 0)
    network = steered.SteeredNetwork()
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1]},
        {"params": [p for p in network.parameters() if p.ndim <= 1]},
    ]
    optimizer = torch.optim.AdamW(groups, 1e-3)
    assert steered_training._resume(tmp_path, network, optimizer) == 2
    one, other = (next(steered_training.batches(sounds, 0, 1)) for _ in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)  # same seed, same frames
    losses = []
    for _ in range(12):
        loss, _ = steered_training.loss_of(network, one, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_batches_are_repeated_once_they_are_old() -> None:
    numbers = [steered_training.number_at(step) for step in range(2000)]
    assert numbers[::2] == list(range(1000))
    assert (np.diff(numbers[1::2]) >= 0).all()
    apart = np.subtract(numbers[400::2], numbers[401::2])
    assert (apart == steered_training.DELAY).all()
