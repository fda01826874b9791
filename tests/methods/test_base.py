"""The interface of methods: every method on frames, knowing only what its setup grants."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from helpers.networks import SMALL_OPTIONS as SMALL
from helpers.networks import shake, with_model
from wavloc import plugins
from wavloc.errors import InputError, Refusal
from wavloc.methods import registry
from wavloc.methods.learned.base import LearnedMethod
from wavloc.setups import Setup, draw_subsets

ALL = sorted(set(plugins.modules("methods")) - {"ngcc_phat"})
UNTRAINED = [
    "multilat", "multilat_plus", "srp_phat", "tdoa_grid", "nlls", "linear_ls", "steered"
]  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_contract(name: str, tmp_path) -> None:
    """An entry, options with defaults, positions and status of the right shape, save and load."""
    frames = anechoic_frames(5)
    method = registry.create(registry.Entry(name, options=SMALL.get(name, {})))
    entry = registry.named(name)
    assert entry.label
    assert entry.reference
    if entry.learned:
        with pytest.raises(InputError, match="must be trained first"):
            method.predict(frames)
        with_model(method, frames)
    predictions = method.predict(frames)
    assert predictions.position.shape == (5, 3)
    assert predictions.status.shape == (5,)
    assert predictions.seconds_per_frame > 0
    assert predictions.meta["method"] == name
    method.save(tmp_path)
    again = type(method).load(tmp_path).predict(frames)
    assert np.array_equal(predictions.position, again.position, equal_nan=True)


@pytest.mark.parametrize("name", ALL)
def test_a_microphone_without_sound_is_left_out(name: str) -> None:
    """Its signal is unknown (NaN), as of a recorded take in which its track is missing."""
    frames = anechoic_frames(3)
    method = with_model(registry.create(registry.Entry(name, options=SMALL.get(name, {}))), frames)
    if isinstance(method, LearnedMethod):
        shake(method.network)
    frames.audio[:, 3] = np.nan
    position = method.predict(frames).position
    assert np.isfinite(position).all()
    if name != "center":  # the others are still heard
        assert np.ptp(position, axis=0).max() > 1e-4
    if name in [*UNTRAINED, "oracle"]:
        assert np.linalg.norm(position - frames.source_position, axis=1).max() < 0.5


def test_ngcc_phat_locates_nothing_itself() -> None:
    frames = anechoic_frames(5)
    method = with_model(
        registry.create(registry.Entry("ngcc_phat", options=SMALL["ngcc_phat"])), frames
    )
    with pytest.raises(Refusal, match="ngcc_phat measures delays and no positions"):
        method.predict(frames)


@pytest.mark.parametrize("name", UNTRAINED)
def test_clean_sound_is_located(name: str) -> None:
    frames = anechoic_frames(8)
    position = registry.create(registry.Entry(name)).predict(frames).position
    error = np.linalg.norm(position - frames.source_position, axis=1)
    assert np.median(error) < 0.02
    assert error.max() < 0.5


@pytest.mark.parametrize("name", UNTRAINED)
def test_truth_does_not_leak(name: str) -> None:
    """Another source position or source signal in the frames changes nothing in setup 1a."""
    frames = anechoic_frames(4)
    changed = dataclasses.replace(
        frames, source_position=frames.source_position + 1, source_audio=frames.source_audio * 0
    )
    method = registry.create(registry.Entry(name))
    before, after = method.predict(frames).position, method.predict(changed).position
    assert np.array_equal(before, after, equal_nan=True)


@pytest.mark.parametrize("name", UNTRAINED)
def test_order_of_microphones_and_common_shift_do_not_matter(name: str) -> None:
    frames = anechoic_frames(4, margin=64)
    method = registry.create(registry.Entry(name))
    order = np.random.default_rng(0).permutation(11)
    reordered = dataclasses.replace(
        frames, audio=frames.audio[:, order], mic_positions=frames.mic_positions[order]
    )
    shifted = dataclasses.replace(frames, audio=np.roll(frames.audio, 20, axis=-1))
    base = method.predict(frames).position
    tolerance = 0.5 if name == "linear_ls" else 0.05
    for changed in (reordered, shifted):
        assert np.nanmax(np.abs(method.predict(changed).position - base)) < tolerance


@pytest.mark.parametrize("setup", ["1a", "2a"])
@pytest.mark.parametrize("name", ["multilat_plus", "srp_phat", "steered", "oracle"])
def test_subsets_of_microphones(name: str, setup: str) -> None:
    frames = anechoic_frames(6)
    subset = draw_subsets(6, 11, 7, "t", 0)
    position = registry.create(registry.Entry(name)).predict(frames, Setup(setup, subset)).position
    error = np.linalg.norm(position - frames.source_position, axis=1)
    assert np.median(error) < 0.03


@pytest.mark.parametrize("name", UNTRAINED)
def test_too_few_microphones_are_refused(name: str) -> None:
    frames = anechoic_frames(3)
    method = registry.create(registry.Entry(name))
    few = method.min_mics - 1
    with pytest.raises(Refusal, match=f"at least {few + 1} microphones, got {few}"):
        method.predict(frames, Setup("1a", draw_subsets(3, 11, few, "t", 0)))


def test_oracle_is_exact_and_center_is_not() -> None:
    frames = anechoic_frames(8)
    oracle = registry.create(registry.Entry("oracle")).predict(frames).position
    assert np.abs(oracle - frames.source_position).max() < 1e-6
    center = registry.create(registry.Entry("center")).predict(frames).position
    assert np.abs(center - center[0]).max() == 0


def test_errors_name_the_wrong_option() -> None:
    with pytest.raises(InputError, match=r"methods\.srp_phat\.options: unknown key 'exponnent'"):
        registry.create(registry.Entry("srp_phat", options={"exponnent": 1}))
    with pytest.raises(InputError, match=r"exponent: 'full' is not a number"):
        registry.create(registry.Entry("srp_phat", options={"exponent": "full"}))


def test_config_repeats_no_default(root) -> None:
    """An option in config/methods that equals the code's default would hide its changes."""
    from wavloc.config import read_yaml

    for path in sorted((root / "config" / "methods").glob("*.yaml")):
        entry = read_yaml(path)
        variants = {
            name: {"module": path.stem} | v for name, v in entry.get("variants", {}).items()
        }
        for name, stated in {path.stem: entry, **variants}.items():
            defaults = plugins.option_defaults("methods", stated.get("module", name))
            for key, value in stated.get("options", {}).items():
                assert defaults[key] != value, f"{path.name}: {name}, {key}"


@pytest.mark.parametrize("name", ["srp_phat", "multilat_plus", "steered"])
def test_reverberant_speech_is_located(root, shared, monkeypatch, name: str) -> None:
    """Real speech in simulated rooms, 11 microphones: every third frame covers all conditions."""
    monkeypatch.syspath_prepend(root / "benchmarks")  # scripts, not a package
    from localization import read

    frames, _, _ = read(shared / "bench" / "frames_luvira_geometry.npz")
    some = frames.select(np.arange(0, 100, 3))
    position = registry.create(registry.Entry(name)).predict(some).position
    error = np.linalg.norm(position - some.source_position, axis=1)
    assert np.median(error) < 0.01
    assert (error < 0.3).mean() > 0.9
