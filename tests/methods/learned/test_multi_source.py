"""Several sources: the matched loss and the method."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames, mixture
from helpers.networks import SMALL, untrained
from wavloc.errors import InputError
from wavloc.methods.learned import multi_source
from wavloc.methods.learned.multi_source import matched_loss
from wavloc.training.engine import Run


def test_loss_is_that_of_the_best_assignment_and_does_not_see_the_order_of_sources() -> None:
    generator = torch.Generator().manual_seed(0)
    places = torch.randn(12, 3, 3, generator=generator)
    logits = torch.randn(12, 3, generator=generator)
    truth = torch.randn(12, 3, 3, generator=generator)
    truth[:4, 1:] = torch.nan
    truth[4:8, 2] = torch.nan
    place, presence = matched_loss(places, logits, truth, 1.0, 0.5)
    for order in itertools.permutations(range(3)):
        other = matched_loss(places, logits, truth[:, list(order)], 1.0, 0.5)
        torch.testing.assert_close(place, other[0])
        torch.testing.assert_close(presence, other[1])
    certain = torch.sigmoid(logits)
    for frame in range(12):
        real = [k for k in range(3) if torch.isfinite(truth[frame, k]).all()]
        best = np.inf
        for way in itertools.permutations(range(3), len(real)):
            error = sum(
                (places[frame, q] - truth[frame, k]).square().mean()
                for q, k in zip(way, real, strict=True)
            )
            share = [certain[frame, q] if q in way else 1 - certain[frame, q] for q in range(3)]
            best = min(best, error / len(real) - 0.5 * sum(map(torch.log, share)) / 3)
        assert float(place[frame] + presence[frame]) == pytest.approx(float(best), abs=1e-5)


def test_network_answers_with_ordered_sources_and_ignores_the_order_of_microphones() -> None:
    method = untrained(mixture(30, sources=3), multi_source.Method)
    frames = mixture(6, sources=3)
    found = method.predict(frames)
    assert found.positions.shape == (6, 3, 3)
    assert (np.diff(found.certainty, axis=1) <= 0).all()
    order = np.random.default_rng(0).permutation(frames.n_mics)
    turned = replace(
        frames, audio=frames.audio[:, order], mic_positions=frames.mic_positions[order]
    )
    again = method.predict(turned)
    np.testing.assert_allclose(again.positions, found.positions, atol=1e-4)


def test_it_learns_to_tell_how_many_and_where(tmp_path: Path) -> None:
    """A small network, no reverberation; validation frames are mixed otherwise."""
    method = multi_source.Method(
        SMALL
        | {"embed_dim": 64, "epochs": 60, "batch": 12, "learning_rate": 3e-3, "snr_low_db": 30}
        | {"shift_s": 0.0, "masking": "none", "copies": 1, "weight_decay": 0.0}
    )
    frames = anechoic_frames(36)
    run = Run(tmp_path)
    method.fit(frames, frames, run)
    first, last = run.rows[0], run.rows[-1]
    assert last["train_loss_source"] < 0.3 * first["train_loss_source"]
    assert last["train_loss_presence"] < 0.5 * first["train_loss_presence"]
    assert last["mae_m"] < 0.8 * first["mae_m"]
    method.save(tmp_path / "model")
    loaded = multi_source.Method.load(tmp_path / "model")
    mixed = method.mixture(frames, "valid")
    np.testing.assert_array_equal(loaded.predict(mixed).positions, method.predict(mixed).positions)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sources": 4}, "sources: 4, expected 2 or 3"),
        ({"fresh": True}, "fresh: True, expected False"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        multi_source.Method(options)
