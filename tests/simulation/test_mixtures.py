"""Several sources at once: mixtures, both methods, the command."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.frames import anechoic_frames, mixture
from wavloc import cli, plugins
from wavloc.errors import InputError
from wavloc.evaluation.multi_source import ONE_ONLY, matched_error_m
from wavloc.methods.classical import srp_multi_source
from wavloc.simulation import mixtures

# ------------------------------------------------------------------ mixtures


def test_mixture_is_the_sum_of_equally_loud_frames() -> None:
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


def test_sources_are_apart_and_have_the_given_number() -> None:
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


def test_a_microphone_without_sound_leaves_the_others_as_loud() -> None:
    frames, partners = anechoic_frames(6), anechoic_frames(40, seed=99)
    frames.audio[:, 4] = np.nan
    mixed = mixtures.mixed(frames, partners, np.full(6, 2))
    heard = np.arange(11) != 4
    assert np.isnan(mixed.audio[:, 4]).all()
    added, own = (np.square(a[:, heard]).mean() for a in (mixed.audio - frames.audio, frames.audio))
    assert added == pytest.approx(own, rel=0.3)


def test_mixtures_are_seeded() -> None:
    again, other = mixture(), mixture(seed=0)
    np.testing.assert_array_equal(again.audio, other.audio)
    frames, partners = anechoic_frames(8), anechoic_frames(40, seed=99)
    named = mixtures.mixed(frames, partners, np.full(8, 2), 0, "another")
    assert not np.array_equal(named.audio, again.audio)


def test_unsuitable_frames_are_refused() -> None:
    frames = anechoic_frames(4)
    with pytest.raises(InputError, match="at least 1"):
        mixtures.mixed(frames, frames, np.zeros(4, int))
    with pytest.raises(InputError, match="one array"):
        mixtures.mixed(replace(frames, mic_positions=frames.mics()), frames, np.full(4, 2))
    with pytest.raises(InputError, match="shape"):
        mixtures.mixed(frames, anechoic_frames(4, margin=8), np.full(4, 2))


# ------------------------------------------------------------------ methods


def test_srp_phat_finds_each_of_the_sources() -> None:
    frames = mixture(12, sources=2)
    found = srp_multi_source.Method({"sources": 2}).predict(frames)
    truth = mixtures.positions(frames)
    errors = matched_error_m(found.positions, truth)
    assert np.median(errors) < 0.02
    assert (errors < 0.1).mean() >= 0.75
    np.testing.assert_array_equal(found.position, found.positions[:, 0])
    assert (np.diff(found.certainty, axis=1) <= 1e-9).mean() > 0.9


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
    run("evaluate", "--kind", "sources", "--frames", tmp_path / "mixed", "--predictions",
        tmp_path / "srp_multi_source.parquet", tmp_path / "center.parquet",
        "--track", "t", "--mics", 11, "--out", tmp_path / "m.csv")  # fmt: skip
    table = pd.read_csv(tmp_path / "m.csv").set_index(["method", "metric"])
    assert table.loc[("srp_multi_source", "source_mae"), "value"] < 20
    assert table.loc[("center", "source_mae"), "note"] == ONE_ONLY
    assert {"srp_multi_source", "multi_source"} <= set(plugins.modules("methods"))


def test_a_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    anechoic_frames(4).save(tmp_path / "one")
    words = ["mix", "--frames", tmp_path / "one", "--partners", tmp_path / "one"]
    words += ["--sources", 0, "--out", tmp_path / "mixed"]
    assert cli.main([str(word) for word in words]) != 0
    assert "expected a whole number from 1 to 16" in capsys.readouterr().err
    assert not (tmp_path / "mixed").exists()
