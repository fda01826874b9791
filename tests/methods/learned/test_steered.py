"""Steered: what must not matter does not, its weights score as their card says, its training
learns, goes on, and has seen nothing of what is tested.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames
from wavloc.config import read_yaml
from wavloc.datasets.sound import librispeech
from wavloc.datasets.sound.sentences import sentences
from wavloc.errors import InputError
from wavloc.frames import Frames
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
    learner = steered_training.Learner(steered.SteeredNetwork())
    assert steered_training._resume(tmp_path, learner) == 2
    network, optimizer = learner.network, learner.optimizer
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


STORED = Path(__file__).parent / "data" / "steered.npz"
CARD = json.loads(steered.WEIGHTS.with_suffix(".json").read_text())


def stored_frames(root, monkeypatch) -> Frames:
    monkeypatch.syspath_prepend(root / "benchmarks")  # scripts, not a package
    from localization import read

    return read(STORED)[0]


def test_the_weights_score_as_their_card_says(root, monkeypatch) -> None:
    """Six microphones, T60 0.2 to 0.4 s, SNR 10 to 30 dB, voices of no training."""
    frames = stored_frames(root, monkeypatch)
    predictions = steered.Method().predict(frames)
    error = np.linalg.norm(predictions.position - frames.source_position, axis=1)
    stated = CARD["scores"]["stored_frames"]
    assert 100 * np.minimum(error, 3).mean() == pytest.approx(stated["mae_cm"], abs=6)
    assert 100 * np.median(error) == pytest.approx(stated["median_cm"], rel=0.1, abs=0.05)
    assert steered.WEIGHTS.stat().st_size < 2 * 2**20


def test_other_weights_than_those_of_the_version_are_refused(tmp_path, monkeypatch) -> None:
    damaged = tmp_path / "steered.safetensors"
    content = bytearray(steered.WEIGHTS.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(steered, "WEIGHTS", damaged)
    with pytest.raises(InputError, match="other weights than those of this version"):
        steered.Method().predict(anechoic_frames(1))


def test_a_card_without_calibration_is_named(tmp_path) -> None:
    weights = tmp_path / "steered.safetensors"
    weights.write_bytes(steered.WEIGHTS.read_bytes())
    weights.with_suffix(".json").write_text("{}")
    with pytest.raises(InputError, match=r"steered\.json: calibration: .*expected 6 numbers"):
        steered.Method({"weights": str(weights)}).predict(anechoic_frames(1))


def test_as_many_candidates_are_read_as_the_sieve_is_unsure_of(root, monkeypatch) -> None:
    frames = stored_frames(root, monkeypatch).select(np.arange(8))
    few = steered.Method({"kept_share": 0.5, "fewest": 2}).predict(frames)
    many = steered.Method({"kept_share": 1.0}).predict(frames)
    counts = [(predictions.posterior > 0).sum(1) for predictions in (few, many)]
    assert counts[0].min() >= 2
    assert (counts[0] < counts[1]).all()
    assert len(set(counts[0])) > 1


def test_frames_do_not_depend_on_those_beside_them(root, monkeypatch) -> None:
    frames = stored_frames(root, monkeypatch).select(np.arange(4))
    together = steered.Method().predict(frames)
    for room in (True, False):  # a box that all share, and one for each array
        if not room:
            frames.meta.pop("room")
            together = steered.Method().predict(frames)
        alone = steered.Method({"block": 1}).predict(frames)
        assert np.allclose(together.position, alone.position, atol=1e-3)
        assert np.allclose(together.confidence, alone.confidence, atol=1e-3)


def test_unknown_microphones_take_no_part() -> None:
    frames = anechoic_frames(4)
    unknown = frames.select(np.arange(4))
    unknown.mic_positions = np.repeat(unknown.mic_positions[None], 4, axis=0)
    unknown.mic_positions[:, 3] = np.nan
    audio = np.array(unknown.audio)
    audio[:, 5] = 0.0  # without signal
    unknown.audio = audio
    predictions = steered.Method().predict(unknown)
    error = np.linalg.norm(predictions.position - frames.source_position, axis=1)
    assert np.median(error) < 0.02
    assert np.isnan(predictions.reliability[:, [3, 5]]).all()
    assert np.isfinite(np.delete(predictions.reliability, [3, 5], 1)).all()


def test_noise_has_no_source() -> None:
    frames = anechoic_frames(32)
    rng = np.random.default_rng(0)
    frames.audio = rng.standard_normal(frames.audio.shape).astype(np.float32)
    predictions = steered.Method().predict(frames)
    assert (predictions.status == "no_source").mean() > 0.9
    assert predictions.confidence.max() < 0.5


def test_a_track_of_noise_has_no_source_either() -> None:
    frames = anechoic_frames(24)
    frames.table["time_s"] = np.arange(24) * 0.128
    still = frames.select(np.zeros(24, int))  # a source that stays
    still.table["time_s"] = frames.table["time_s"].to_numpy()
    found = steered.Method({"track": True}).predict(still)
    assert (found.status == "ok").all()
    assert np.linalg.norm(found.position - still.source_position, axis=1).max() < 0.05
    rng = np.random.default_rng(0)
    frames.audio = rng.standard_normal(frames.audio.shape).astype(np.float32)
    alone = steered.Method().predict(frames)
    followed = steered.Method({"track": True}).predict(frames)
    assert (followed.status == "no_source").all()
    assert np.array_equal(followed.confidence, alone.confidence)


def test_its_training_has_seen_nothing_of_what_is_tested(root, shared) -> None:
    recorded = {
        speaker
        for corpus in CARD["sounds"]["speech"]
        if corpus["source"] == "librispeech"
        for speaker in corpus["speakers"]
    }
    kept_apart = read_yaml(root / "config" / "steered.yaml")["steered"]["speech"]["exclude"]
    assert not recorded & {str(speaker) for speaker in kept_apart}
    assert not recorded & (librispeech.TEST_SPEAKERS | librispeech.VALID_SPEAKERS)
    for path in sorted((shared / "bench").glob("frames_*.npz")):
        with np.load(path) as stored:
            assert not recorded & set(stored["speaker"].tolist()), path.name


def test_its_embedded_sound_is_that_of_no_run(root) -> None:
    """Voices and songs are drawn by another seed, sentences are those of the training split."""
    seeds = {corpus["seed"] for kind in CARD["sounds"].values() for corpus in kind
             if corpus["source"] == "embedded"}  # fmt: skip
    used = {read_yaml(path).get("seed", 0) for path in sorted((root / "config").glob("*.yaml"))
            if path.name != "steered.yaml"}  # fmt: skip
    assert not seeds & used
    assert not set(sentences("train")) & (set(sentences("test")) | set(sentences("valid")))
