"""Properties of methods, measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from helpers.networks import SMALL_OPTIONS as PREDICTED
from helpers.networks import with_model
from wavloc import plugins
from wavloc.evaluation.properties import measure
from wavloc.methods import registry

SMALL = PREDICTED | {
    "dinn": {"channels": [4, 4, 4, 4], "recurrent": 8},
    "gnn": {"hidden_dim": 16},
}


@pytest.mark.parametrize("name", sorted(set(plugins.modules("methods")) - {"ngcc_phat"}))
def test_methods_are_as_they_say(name: str) -> None:
    """Order of microphones and their number: what its entry says agrees with what it does."""
    frames = anechoic_frames(12)
    noise = np.random.default_rng(0).standard_normal(frames.audio.shape)
    frames.audio += (0.6 * frames.audio.std() * noise).astype(np.float32)  # delays disagree a bit
    method = registry.create(registry.Entry(name, options=SMALL.get(name, {})))
    measured, entry = measure(with_model(method, frames), frames), registry.named(name)
    assert measured["permutation_invariant"] == entry.permutation_invariant, measured
    assert measured["variable_mics"] == entry.variable_mics


def test_a_wrong_claim_is_found_out() -> None:
    frames = anechoic_frames(8)
    method = registry.create(registry.Entry("srp_phat"))
    honest = method.estimate

    def by_order(granted, setup):
        found = honest(granted, setup)
        found.position[:] += 0.001 * granted.mics()[:, 0]
        return found

    method.estimate = by_order
    assert not measure(method, frames)["permutation_invariant"]
    few = frames.select(np.arange(8))
    few = dataclasses.replace(few, audio=few.audio[:, :4], mic_positions=few.mic_positions[:4])
    refused = measure(registry.create(registry.Entry("srp_phat")), few)
    assert refused["permutation_invariant"] is None
    assert "at least 5 microphones" in refused["reason"]
