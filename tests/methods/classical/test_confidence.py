"""How sure the classical methods are, and that noise and crosstalk are no sources to them."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.recordings import MICS, ROOM, SPEED, dry_sound, heard
from wavloc.frames import Frames
from wavloc.methods import registry
from wavloc.methods.classical import confidence
from wavloc.recordings.sound import to_frames

METHODS = ["srp_phat", "multilat_plus", "multilat", "tdoa_grid", "nlls", "linear_ls"]
SAMPLES = 2048


def frames(sound: np.ndarray) -> Frames:
    """Frames (F, M, n) in the room of the microphones."""
    meta = {"room": ROOM.tolist(), "origin": [0.0, 0.0, 0.0]}
    times = np.arange(float(len(sound)))
    return to_frames(sound.astype(np.float32), times, MICS[: sound.shape[1]], SPEED, meta)


def noise(count: int, mics: int) -> np.ndarray:
    return np.random.default_rng(mics).standard_normal((count, mics, SAMPLES))


def one_place(t60_s: float) -> Frames:
    """Eight frames of sound from one place."""
    sound = heard(dry_sound(0.8), MICS, np.array([2.0, 3.0, 1.0]), t60_s=t60_s).T
    return frames(np.stack([sound[:, k : k + SAMPLES] for k in range(3000, 10_000, 900)]))


@pytest.mark.parametrize(
    ("name", "t60_s"),
    [
        *[(name, 0.2) for name in ("srp_phat", "multilat_plus")],
        *[(name, 0.0) for name in ("multilat", "tdoa_grid", "nlls", "linear_ls")],
    ],
)
def test_a_source_is_ok(name: str, t60_s: float) -> None:
    method, heard_there = registry.create(registry.named(name)), one_place(t60_s)
    found = method.predict(heard_there)
    assert (found.status == "ok").all()
    assert found.confidence is not None
    assert (found.confidence > 0.8).all()
    surer = registry.create(registry.named(name).changed({"options": {"min_confidence": 1.0}}))
    again = surer.predict(heard_there)
    assert (again.status == "uncertain").all()
    assert np.array_equal(again.position, found.position)


@pytest.mark.parametrize("mics", [5, 8])
@pytest.mark.parametrize("name", METHODS)
def test_noise_and_crosstalk_are_not_ok(name: str, mics: int) -> None:
    alone = noise(8, mics)
    common = 0.2 * alone + noise(8, 1)
    found = registry.create(registry.named(name)).predict(frames(np.concatenate([alone, common])))
    assert (found.status != "ok").all()


@pytest.mark.parametrize("radius", [1.0, 2.0])
def test_one_signal_as_far_from_all_microphones_is_not_ok(radius: float) -> None:
    """Microphones on a sphere: a source in its middle and crosstalk sound alike."""
    rng = np.random.default_rng(0)
    way = rng.standard_normal((6, 3))
    mics = 2.5 + radius * way / np.linalg.norm(way, axis=1, keepdims=True)
    sound = 0.1 * noise(4, 6) + noise(4, 1)
    meta = {"room": [5.0, 5.0, 5.0], "origin": [0.0, 0.0, 0.0]}
    given = to_frames(sound.astype(np.float32), np.arange(4.0), mics, SPEED, meta)
    found = registry.create(registry.named("srp_phat")).predict(given)
    assert (np.linalg.norm(found.position - 2.5, axis=1) < 0.05).all()
    assert (found.status != "ok").all()


def test_what_is_far_away_is_not_known_to_30_cm() -> None:
    """The microphones are known to a centimetre: 60 m away that is metres."""
    blurs = []
    for away in (0.0, 8.0, 60.0):
        source = np.array([3.0 + away, 2.5, 1.3])
        sound = heard(dry_sound(0.5), MICS, source).T[:, 4000 : 4000 + SAMPLES]
        given = frames(sound[None])
        given.meta["room"] = [80.0, 5.0, 2.7]
        method = registry.create(registry.named("srp_phat"))
        _, quantities = method.measure(given, slice(0, 1))
        blurs.append(np.sqrt(np.trace(quantities[confidence.OPEN][0])))
    assert blurs[0] < 0.03
    assert 2 * blurs[0] < blurs[1] < 0.5
    assert blurs[2] > 1
    assert method.predict(given).status.tolist() != ["ok"]


@pytest.mark.parametrize("name", METHODS)
def test_deviations_hold_the_chance_of_being_elsewhere(name: str) -> None:
    """In noise it is nearly certain; along the axis of a plane nothing is off."""
    method = registry.create(registry.named(name))
    found = method.predict(frames(np.concatenate([noise(8, 6), 0.2 * noise(8, 6) + noise(8, 1)])))
    there = np.isfinite(found.position).all(axis=1)
    variance = np.einsum("fii->fi", found.covariance)
    assert np.isnan(found.covariance[~there]).all()
    assert (np.sqrt(variance[there]) > 0.5 * confidence.fitted()[name]["wrong_m"]).all()
    if method.searches:
        level = one_place(0.2)
        level.meta |= {"room": [6.0, 5.0, 0.0], "origin": [0.0, 0.0, -1.0]}
        found = method.predict(level)
        sigma = np.sqrt(np.einsum("fii->fi", found.covariance))
        assert (sigma[:, 2] == 0).all()
        assert (sigma[:, :2] > 0).all()


def test_delays_alone_tell_no_confidence() -> None:
    given = one_place(0.0)
    arrivals = np.linalg.norm(MICS - [2.0, 3.0, 1.0], axis=1) / SPEED
    given.arrivals = np.tile(arrivals, (len(given), 1))
    found = registry.create(registry.named("multilat_plus")).predict(given)
    assert found.confidence is None
    assert (found.status == "ok").all()


def test_the_weights_fit_the_quantities() -> None:
    for model in confidence.fitted().values():
        weights = np.array(model["weights"])
        assert weights.shape == (len(confidence.OUTCOMES), len(model["quantities"]) + 1)
    assert set(METHODS) <= set(confidence.fitted())
