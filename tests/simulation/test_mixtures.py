"""Several sources at once: mixtures, matching against brute force, both methods, the command."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.frames import anechoic_frames
from helpers.networks import SMALL, untrained
from wavloc import cli, plugins
from wavloc.errors import InputError
from wavloc.evaluation import multi_source as matching
from wavloc.evaluation import score
from wavloc.frames import Frames
from wavloc.methods.classical import srp_multi_source
from wavloc.methods.learned import multi_source
from wavloc.methods.learned.multi_source import matched_loss
from wavloc.methods.predictions import Predictions
from wavloc.simulation import mixtures
from wavloc.training.engine import Run


def mixture(count: int = 8, sources: int = 2, seed: int = 0) -> Frames:
    frames = anechoic_frames(count, seed=seed)
    return mixtures.mixed(frames, anechoic_frames(40, seed=99), np.full(count, sources), seed)


# ------------------------------------------------------------------ mixtures


def test_a_mixture_is_the_sum_of_equally_loud_frames() -> None:
    frames, partners = anechoic_frames(6), anechoic_frames(40, seed=99)
    frames.audio *= np.arange(1, 7, dtype=np.float32)[:, None, None]
    mixed = mixtures.mixed(frames, partners, np.full(6, 2))
    places = mixtures.positions(mixed)
    assert places.shape == (6, 2, 3)
    np.testing.assert_array_equal(places[:, 0], frames.source_position)
    for added, place, own in zip(
        mixed.audio - frames.audio, places[:, 1], frames.audio, strict=True
    ):
        which = np.flatnonzero((partners.source_position == place).all(axis=1))
        assert len(which) == 1
        partner = partners.audio[which[0]]
        assert np.corrcoef(added.ravel(), partner.ravel())[0, 1] > 0.9999
        assert np.square(added).mean() == pytest.approx(np.square(own).mean(), rel=1e-3)
    assert np.isnan(mixed.source_audio).all()
    assert np.isfinite(frames.source_audio).all()  # its own stay


def test_sources_are_apart_and_as_many_as_asked_for() -> None:
    counts = np.array([1, 2, 3] * 10)
    frames = anechoic_frames(30)
    mixed = mixtures.mixed(frames, anechoic_frames(60, seed=1), counts)
    places = mixtures.positions(mixed)
    assert (np.isfinite(places).all(-1).sum(axis=1) == counts).all()
    for one, other in itertools.combinations(range(3), 2):
        apart = np.linalg.norm(places[:, one] - places[:, other], axis=-1)
        assert (apart[np.isfinite(apart)] >= 0.5).all()
    alone = counts == 1
    np.testing.assert_array_equal(mixed.audio[alone], frames.audio[alone])
    assert np.isfinite(mixed.source_audio[alone]).all()


def test_mixtures_are_seeded() -> None:
    again, other = mixture(), mixture(seed=0)
    np.testing.assert_array_equal(again.audio, other.audio)
    frames, partners = anechoic_frames(8), anechoic_frames(40, seed=99)
    named = mixtures.mixed(frames, partners, np.full(8, 2), 0, "another")
    assert not np.array_equal(named.audio, again.audio)


def test_what_cannot_be_mixed_is_refused() -> None:
    frames = anechoic_frames(4)
    with pytest.raises(InputError, match="at least 1"):
        mixtures.mixed(frames, frames, np.zeros(4, int))
    with pytest.raises(InputError, match="one array"):
        mixtures.mixed(replace(frames, mic_positions=frames.mics()), frames, np.full(4, 2))
    with pytest.raises(InputError, match="shape"):
        mixtures.mixed(frames, anechoic_frames(4, margin=8), np.full(4, 2))


# ------------------------------------------------------------------ matching


def scattered(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimates (F, 3, 3), their certainty and 1 to 3 true sources, with missing estimates."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 3, (60, 3, 3))
    estimates = truth[:, rng.permutation(3)] + rng.normal(0, 0.4, (60, 3, 3))
    estimates[rng.random((60, 3)) < 0.2] = np.nan
    truth[np.arange(3) >= rng.integers(1, 4, (60, 1))] = np.nan
    return estimates, rng.random((60, 3)), truth


def test_matched_error_is_that_of_the_best_assignment() -> None:
    estimates, _, truth = scattered()
    found = matching.matched_error_m(estimates, truth)
    for frame in range(len(truth)):
        real = truth[frame][np.isfinite(truth[frame]).all(-1)]
        best = np.inf
        for way in itertools.permutations(range(len(real))):
            errors = np.linalg.norm(estimates[frame, list(way)] - real, axis=1)
            best = min(best, np.where(np.isnan(errors), 3.0, np.minimum(errors, 3.0)).mean())
        assert found[frame] == pytest.approx(best)


def test_detections_are_the_largest_matching_within_reach() -> None:
    estimates, certainty, truth = scattered()
    rate, alarms = matching.detections(estimates, certainty, truth)
    for frame in range(len(truth)):
        real = truth[frame][np.isfinite(truth[frame]).all(-1)]
        told = estimates[frame][certainty[frame] >= 0.5]
        told = told[np.isfinite(told).all(-1)]
        near = np.linalg.norm(told[:, None] - real, axis=-1) < 0.5
        small = min(near.shape)
        most = max(
            sum(near[e, s] for e, s in zip(es, ss, strict=True))
            for es in itertools.permutations(range(len(told)), small)
            for ss in itertools.permutations(range(len(real)), small)
        )
        assert rate[frame] == pytest.approx(most / len(real))
        assert alarms[frame] == len(told) - most


def test_metrics_rows_and_methods_that_answer_with_one_source() -> None:
    frames = mixture(20)
    places = mixtures.positions(frames)
    exact = Predictions(places[:, 0], np.full(20, "ok"), positions=places[:, ::-1])
    exact.certainty = np.full((20, 2), 0.9)
    one = Predictions(places[:, 0], np.full(20, "ok"))
    table = score("sources", {"exact": exact, "one": one}, frames, {"track": "t"}, resamples=1000)
    values = table[table.method == "exact"].set_index("metric")["value"]
    assert values.to_dict() == {"source_mae": 0, "detection_rate": 100, "false_alarms": 0}
    assert (table[table.method == "one"]["note"] == matching.ONE_ONLY).all()


# ------------------------------------------------------------------ the loss


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


# ------------------------------------------------------------------ methods


def test_srp_phat_finds_each_of_the_sources() -> None:
    frames = mixture(12, sources=2)
    found = srp_multi_source.Method({"sources": 2}).predict(frames)
    truth = mixtures.positions(frames)
    errors = matching.matched_error_m(found.positions, truth)
    assert np.median(errors) < 0.02
    assert (errors < 0.1).mean() >= 0.75
    np.testing.assert_array_equal(found.position, found.positions[:, 0])
    assert (np.diff(found.certainty, axis=1) <= 1e-9).mean() > 0.9


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


# ------------------------------------------------------------------ commands


def test_from_frames_to_scores(tmp_path: Path) -> None:
    anechoic_frames(10).save(tmp_path / "one")
    anechoic_frames(20, seed=5).save(tmp_path / "two")

    def run(*words: object) -> None:
        assert cli.main([str(word) for word in words]) == 0

    run("mix", "--frames", tmp_path / "one", "--partners", tmp_path / "one", tmp_path / "two",
        "--sources", 2, "--out", tmp_path / "mixed")  # fmt: skip
    for name in ("srp_multi_source", "center"):
        run("predict", "--method", name, "--frames", tmp_path / "mixed",
            "--out", tmp_path / f"{name}.parquet")  # fmt: skip
    run("several", "--frames", tmp_path / "mixed", "--predictions",
        tmp_path / "srp_multi_source.parquet", tmp_path / "center.parquet",
        "--track", "t", "--mics", 11, "--out", tmp_path / "m.csv")  # fmt: skip
    table = pd.read_csv(tmp_path / "m.csv").set_index(["method", "metric"])
    assert table.loc[("srp_multi_source", "source_mae"), "value"] < 20
    assert table.loc[("center", "source_mae"), "note"] == matching.ONE_ONLY
    assert {"srp_multi_source", "multi_source"} <= set(plugins.modules("methods"))


def test_a_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    anechoic_frames(4).save(tmp_path / "one")
    words = ["mix", "--frames", tmp_path / "one", "--partners", tmp_path / "one"]
    words += ["--sources", 0, "--out", tmp_path / "mixed"]
    assert cli.main([str(word) for word in words]) != 0
    assert "expected at least 1" in capsys.readouterr().err
    assert not (tmp_path / "mixed").exists()
