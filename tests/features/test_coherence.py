"""Coherence of pairs of microphones."""

from __future__ import annotations

import pytest
import torch

from helpers.networks import seeded
from wavloc.features import coherence
from wavloc.features.gcc_torch import gcc_features


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Two microphones with the same sound 300 samples apart, two with noise; measured delays."""
    sound = seeded(4, 2500)
    audio = torch.stack([sound[:, 300:2348], sound[:, :2048]], dim=1)
    audio = torch.cat([audio, seeded(4, 2, 2048, seed=1)], dim=1)
    return audio, coherence.delays(gcc_features(audio, 314))


def test_delay_of_a_pair_taken_the_other_way_round_has_the_other_sign() -> None:
    """Although the rows of the two directions are no mirror images of each other."""
    rows = seeded(20, 2, 41)
    assert (coherence.delays(rows[:, [1, 0]]) == -coherence.delays(rows)).all()


@pytest.mark.parametrize("kind", ["adaptive", "phase"])
def test_coherence_is_one_up_to_delay_and_zero_for_noise(kind: str) -> None:
    audio, delay = scene()
    assert (delay[:, 0] == -300).all()  # the first hears earlier
    found = coherence.coherence(audio, delay, kind)
    assert (found[:, 0] > 0.99).all()
    assert (found[:, 1:] < 0.05).all()
    unaligned = coherence.coherence(audio, delay, "magnitude_squared")
    assert (unaligned[:, 0] < 0.3).all()


def test_weights_of_identical_signals_are_one() -> None:
    sound = seeded(2, 1, 2048).expand(-1, 5, -1)
    found = coherence.coherence(sound, torch.zeros(2, 10, dtype=torch.long))
    assert torch.allclose(found, torch.ones(2, 10), atol=1e-4)
    weight = coherence.weights(found, torch.ones(2, 10, dtype=torch.bool))
    assert torch.allclose(weight, torch.ones(2, 10), atol=1e-4)


@pytest.mark.parametrize("kind", ["adaptive", "magnitude_squared", "phase"])
def test_gain_does_not_matter_to_coherence_but_silence_does(kind: str) -> None:
    audio, delay = scene()
    audio = audio + 0.5 * seeded(*audio.shape, seed=2)
    plain = coherence.coherence(audio, delay, kind)
    for gain in (100.0, 0.01):
        louder = audio * torch.tensor([gain, 1.0, 1.0, 1.0])[:, None]
        assert (coherence.coherence(louder, delay, kind) - plain).abs().max() < 1e-6
    silent = audio * torch.tensor([0.0, 1.0, 1.0, 1.0])[:, None]
    assert (coherence.coherence(silent, delay, kind)[:, :3] == 0).all()


def test_weights_favour_coherent_pairs_and_keep_their_mean() -> None:
    agreement = torch.tensor([[0.9, 0.1, 0.5, 0.7]])
    counted = torch.tensor([[True, True, True, False]])
    for alpha in (0.5, 1.0, 2.0):
        weight = coherence.weights(agreement, counted, alpha)
        assert weight[counted].mean() == pytest.approx(1, abs=1e-6)
        assert weight[0, 0] > weight[0, 2] > weight[0, 1]
    assert torch.equal(coherence.weights(agreement, counted, 0.0)[counted], torch.ones(3))
