"""DI-NN: published shapes and its limits."""

from __future__ import annotations

import numpy as np
import torch

from helpers.frames import anechoic_frames
from helpers.networks import shake, shaken
from wavloc.methods.learned import dinn
from wavloc.methods.learned.dinn import DINN
from wavloc.setups import Setup


def test_order_of_microphones_matters_to_dinn() -> None:
    """A documented limitation of the method."""
    network = shake(DINN(4, (4, 4, 4, 4), 8))
    audio = torch.randn(2, 4, 2048, generator=torch.Generator().manual_seed(0))
    positions = torch.randn(2, 4, 3)
    with torch.no_grad():
        plain = network(audio, positions)
        mixed = network(audio[:, [1, 0, 2, 3]], positions[:, [1, 0, 2, 3]])
    assert (plain - mixed).abs().max() > 1e-3


def test_stages_of_dinn_have_the_published_shapes() -> None:
    network, audio = DINN(11), torch.randn(1, 11, 2048)
    assert network.spectrum(audio).shape == (1, 11, 9, 1024)
    shapes = []
    for block in network.convolutions:
        block.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape[1:])))
    network.eval()(audio, torch.randn(1, 11, 3))
    assert shapes == [(64, 5, 513), (128, 3, 257), (256, 2, 129), (512, 2, 65)]


def test_the_normalisation_of_the_input_is_in_the_first_convolution() -> None:
    """As a normalisation before it, at the edges of the spectrum too, in training and after it."""
    network = DINN(4, (4, 4, 4, 4), 8)
    norm, block = network.input_norm, network.convolutions[0]
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    plain = torch.nn.BatchNorm2d(4)
    plain.load_state_dict(norm.state_dict())
    spectrum = network.spectrum(torch.randn(3, 4, 2048))
    for training in (True, False):
        network.train(training), plain.train(training)
        expected = torch.nn.Sequential(*block)(plain(spectrum))
        torch.testing.assert_close(block(spectrum, norm), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(norm.running_mean, plain.running_mean)
        torch.testing.assert_close(norm.running_var, plain.running_var)
    (block(spectrum, norm) - expected.detach()).square().sum().backward()
    assert norm.weight.grad is not None


def test_dinn_refuses_another_number_of_microphones() -> None:
    frames = anechoic_frames(4)
    method = shaken(dinn, {"channels": [4, 4, 4, 4], "recurrent": 8}, frames)
    setup = Setup("1a", np.array([[0, 1, 2, 3, 4]] * 4))
    assert "trained for 11 microphones, got 5" in method.refusal(frames, setup)
