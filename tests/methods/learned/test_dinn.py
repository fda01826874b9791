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


def test_dinn_refuses_another_number_of_microphones() -> None:
    frames = anechoic_frames(4)
    method = shaken(dinn, {"channels": [4, 4, 4, 4], "recurrent": 8}, frames)
    setup = Setup("1a", np.array([[0, 1, 2, 3, 4]] * 4))
    assert "trained for 11 microphones, got 5" in method.refusal(frames, setup)
