"""Splits of the datasets and the twin's extension for training."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from wavloc import datasets, frames
from wavloc.datasets.base import Dataset, Scenes
from wavloc.datasets.sound import corpus
from wavloc.datasets.sound.corpus import Corpus
from wavloc.datasets.takes.eight import SIM_MIC_M, SIM_WALL_M
from wavloc.errors import InputError
from wavloc.geometry import distances
from wavloc.simulation import render

RATE = 16000


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> dict[str, Corpus]:
    """Twelve utterances and two songs of noise; utterance k has the level k + 1."""
    folder, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    made = {}
    for kind, count, seconds in (("speech", 12, 0.7), ("music", 2, 3.0)):
        items = []
        for k in range(count):
            sign = rng.choice([-1.0, 1.0], int(seconds * RATE))
            items.append(corpus.Item(f"{kind}{k}", f"s{k}", "train", (k + 1) * sign))
        corpus.write(folder / kind, kind, items, {})
        made[kind] = Corpus.load(folder / kind)
    return made


def twin(seed: int = 0, **options: object) -> Dataset:
    return datasets.create("luvira_twin", {"options": {"seconds": 4, **options}}, seed)


def utterances(scenes: Scenes) -> set[int]:
    """Which utterances of the fixture's corpus are in a take."""
    return set(np.unique(np.abs(scenes.dry)).astype(int).tolist()) - {0}


# Splits


@pytest.mark.parametrize("name", ["luvira_twin", "six_faces"])
def test_splits_are_disjoint_and_name_tracks(name: str) -> None:
    dataset = datasets.create(name)
    for split in dataset.splits().values():
        parts = [set(split.train), set(split.valid), set(split.test)]
        assert set.union(*parts) <= set(dataset.tracks())
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert split.train
        assert split.test


def test_twin_leaves_out_both_takes_of_a_number_and_their_extension() -> None:
    dataset = twin()
    assert len(dataset.tracks()) == len(set(dataset.tracks())) == 16
    splits = dataset.splits()
    assert {dataset.split_of(take) for take in dataset.takes()} == set(splits) == set("1234")
    split = splits[dataset.split_of("music3")]
    assert split.test == ("music3", "speech3")
    assert len(split.train) == 12
    assert not [track for track in split.train if "3" in track]
    assert {track + "_sim" for track in split.train if "_sim" not in track} < set(split.train)


@pytest.mark.parametrize("options", [{}, {"sim_seconds": 9, "sim_share": 3}])
def test_no_frame_of_training_or_validation_has_anything_of_a_test_track(
    sounds: dict[str, Corpus], options: dict
) -> None:
    """Neither its take nor an utterance nor the draws of its positions, in any split."""
    dataset = twin(**options)
    scenes = {track: dataset.scenes(track, sounds) for track in dataset.tracks()}
    for split in dataset.splits().values():
        for tested in split.test:
            for track in (*split.train, *split.valid):
                one, other = scenes[tested], scenes[track]
                assert not set(one.table["take"]) & set(other.table["take"])
                assert not set(map(tuple, one.source)) & set(map(tuple, other.source))
                if tested.startswith("speech") and track.startswith("speech"):
                    assert not utterances(one) & utterances(other)


def test_no_simulated_frame_for_training_has_anything_of_a_test_frame(tmp_path: Path) -> None:
    rng, items = np.random.default_rng(0), []
    for k in range(12):
        part = ("train", "valid", "test")[k % 3]
        items.append(
            corpus.Item(f"u{k}", f"s{k % 6}", part, rng.standard_normal(2 * RATE, np.float32))
        )
    corpus.write(tmp_path / "speech", "speech", items, {})
    given = {"speech": Corpus.load(tmp_path / "speech")}
    options = {"train": 40, "valid": 20, "test": 40, "max_order": 1}
    dataset = datasets.create("six_faces", {"options": options})
    (split,) = dataset.splits().values()
    learned = [dataset.scenes(track, given) for track in (*split.train, *split.valid)]
    for tested in (dataset.scenes(track, given) for track in (*split.test, "test_clean")):
        for scenes in learned:
            for column in ("recording", "speaker"):
                assert not set(tested.table[column]) & set(scenes.table[column])
            assert not set(map(tuple, tested.source)) & set(map(tuple, scenes.source))
            assert not set(map(tuple, tested.mics[:, 0])) & set(map(tuple, scenes.mics[:, 0]))


def test_the_extension_hears_more_of_the_sound_of_its_take(sounds: dict[str, Corpus]) -> None:
    short, long = (twin(seconds=2, sim_seconds=more) for more in (0, 9))
    heard = [utterances(dataset.scenes("speech1_sim", sounds)) for dataset in (short, long)]
    assert heard[0] < heard[1]
    one, other = (dataset.scenes("speech1", sounds) for dataset in (short, long))
    assert np.array_equal(one.dry, other.dry)  # the take itself stays as it is
    assert np.array_equal(one.source, other.source)


def test_track_without_a_test_split_is_named() -> None:
    with pytest.raises(InputError, match="tests on track 'music3_sim', expected one of music1"):
        twin().split_of("music3_sim")
    with pytest.raises(InputError, match="expected one of test"):
        datasets.create("six_faces").split_of("train")
    with pytest.raises(TypeError, match="defines no splits"):
        Dataset.splits(twin())


def test_training_never_has_an_utterance_of_the_test_take(sounds) -> None:
    dataset = twin()
    for split in dataset.splits().values():
        tested = [utterances(dataset.scenes(t, sounds)) for t in split.test if "speech" in t]
        trained = [utterances(dataset.scenes(t, sounds)) for t in split.train if "speech" in t]
        assert all(tested)
        assert len(trained) == 6
        assert not set.union(*tested) & set.union(*trained)


def test_fewer_utterances_than_takes_are_refused(sounds) -> None:
    few = dataclasses.replace(sounds["speech"], items=sounds["speech"].items[:3])
    with pytest.raises(InputError, match="has 3 utterances, expected at least 4"):
        twin().scenes("speech1", sounds | {"speech": few})


# The extension


def test_extension_has_the_sound_of_its_take_at_other_positions(sounds) -> None:
    dataset = twin()
    for take in ("music2", "speech3"):
        real, made = dataset.scenes(take, sounds), dataset.scenes(take + "_sim", sounds)
        assert np.array_equal(real.dry, made.dry)
        assert np.array_equal(real.start, made.start)
        assert real.table["speaker"].tolist() == made.table["speaker"].tolist()
        assert real.table.columns.tolist() == made.table.columns.tolist()
        assert set(made.table["track"]) == {take + "_sim"}
        assert set(made.table["take"]) == set(real.table["take"]) == {take}
        assert np.array_equal(real.mics, made.mics)
        assert np.linalg.norm(real.source - made.source, axis=1).min() > 0.01
        assert made.occluded is None
        assert "gain_db" not in made.meta
        assert np.isposinf(made.snr_db).all()


def test_extension_draws_inside_its_limits(sounds) -> None:
    scenes = twin(seconds=30, hop=512).scenes("music1_sim", sounds)
    assert len(scenes) > 900
    low, high = scenes.source.min(axis=0), scenes.source.max(axis=0)
    assert (low >= SIM_WALL_M).all()
    assert (high <= scenes.room - SIM_WALL_M).all()
    assert distances(scenes.source, scenes.mics).min() >= SIM_MIC_M
    # All of the room: 900 uniform draws come within 5 % of both ends of every range.
    span = scenes.room - 2 * SIM_WALL_M
    assert (low < SIM_WALL_M + 0.05 * span).all()
    assert (high > scenes.room - SIM_WALL_M - 0.05 * span).all()
    assert scenes.t60_s.min() < 0.02
    assert 0.38 < scenes.t60_s.max() <= 0.4
    assert scenes.t60_s.mean() == pytest.approx(0.2, abs=0.02)
    assert np.array_equal(scenes.table["t60_nominal_s"], scenes.t60_s)
    narrow = twin(sim_t60_low_s=0.15, sim_t60_high_s=0.2).scenes("music1_sim", sounds)
    assert narrow.t60_s.min() >= 0.15
    assert narrow.t60_s.max() <= 0.2
    assert (twin(sim_t60_high_s=0).scenes("music1_sim", sounds).t60_s == 0).all()


def test_smaller_share_is_a_subset(sounds) -> None:
    whole = twin().scenes("speech1_sim", sounds)
    half, fifth = (twin(sim_share=s).scenes("speech1_sim", sounds) for s in (0.5, 0.2))
    assert [len(half), len(fifth)] == [round(0.5 * len(whole)), round(0.2 * len(whole))]
    chosen = half.table["frame"].to_numpy()
    assert (np.diff(chosen) > 0).all()
    assert set(fifth.table["frame"]) < set(chosen)
    assert np.array_equal(half.source, whole.source[chosen])
    assert np.array_equal(half.t60_s, whole.t60_s[chosen])
    assert np.array_equal(half.start, whole.start[chosen])


def test_share_above_one_repeats_frames_at_other_positions(sounds) -> None:
    whole, more = (twin(sim_share=s).scenes("speech1_sim", sounds) for s in (1.0, 2.5))
    assert len(more) == round(2.5 * len(whole))
    assert (
        np.diff(more.table["frame"]) >= 0
    ).all()  # in time order, so that the end can be held out
    assert set(np.bincount(more.table["frame"])) == {2, 3}
    assert len(np.unique(more.source, axis=0)) == len(more)
    shared = (more.source[:, None] == whole.source).all(-1).any(0)
    assert shared.all()


def test_every_track_and_seed_has_its_own_draws(sounds) -> None:
    drawn = [
        twin(seed).scenes(track, sounds).source
        for seed, track in (
            (0, "music1_sim"),
            (0, "music2_sim"),
            (0, "speech1_sim"),
            (1, "music1_sim"),
        )
    ]
    for k, source in enumerate(drawn):
        for earlier in drawn[:k]:
            assert np.linalg.norm(source - earlier, axis=1).min() > 0.01


def test_extension_is_reproducible_and_without_silence(sounds, tmp_path) -> None:
    dataset = twin(seconds=2, max_order=1, margin=100)
    for name in ("a", "b"):
        render.render(dataset.scenes("speech2_sim", sounds), tmp_path / name, seed=0)
    for file in (tmp_path / "a").glob("*.npy"):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    made = frames.load(tmp_path / "a")
    assert made.meta["frames_silent"] >= 5  # the lead of half a second
    assert len(made) + made.meta["frames_silent"] == made.meta["frames_rendered"]
    assert made.table["time_s"].min() > 0.4
    low, high = made.room_bounds
    assert ((made.source_position >= low) & (made.source_position <= high)).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sim_share": 0}, "sim_share: 0, expected a number above 0 to 100"),
        ({"sim_t60_low_s": 0.5}, "0.5 and 0.4 s, expected 0 <= low <= high"),
        ({"sim_t60_low_s": -0.1}, "sim_t60_low_s: -0.1, expected a number from 0 to 10 s"),
        ({"room": [7.0, 8.0, 0.5]}, "no place at least 0.3 m from the walls"),
    ],
)
def test_bad_options_of_the_extension_are_named(sounds, options, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        twin(**options).scenes("music1_sim", sounds)
