"""Frames and predictions on disk, setups, atomic writing."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from conftest import anechoic_frames

from wavloc import files, frames, setups
from wavloc.errors import InputError
from wavloc.methods import predictions
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup


def test_folder_and_npz_hold_the_same(tmp_path) -> None:
    made = anechoic_frames(margin=100)
    made.save(tmp_path / "f")
    np.savez(
        tmp_path / "f.npz",
        audio=made.audio,
        mic_positions=made.mic_positions,
        source_position=made.source_position,
        sample_rate=16000,
    )
    folder, npz = frames.load(tmp_path / "f"), frames.load(tmp_path / "f.npz")
    assert np.array_equal(folder.audio, npz.audio)
    assert np.isnan(npz.source_audio).all()
    assert npz.speed_of_sound == 343.0
    assert folder.window().shape == (8, 11, 2048)
    assert np.array_equal(folder.window(slice(2, 4)), made.audio[2:4, :, 100:-100])


def test_a_folder_is_replaced_whole(tmp_path) -> None:
    anechoic_frames(4).save(tmp_path / "f")
    anechoic_frames(6).save(tmp_path / "f")
    assert len(frames.load(tmp_path / "f")) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("name", ["audio", "mic_positions", "source_position", "source_audio"])
def test_missing_array_is_named(tmp_path, frames, name: str) -> None:
    frames.save(tmp_path / "f")
    (tmp_path / "f" / f"{name}.npy").unlink()
    with pytest.raises(InputError, match=rf"{name}\.npy' is missing"):
        load(tmp_path / "f")


def load(path):
    return frames.load(path)


def test_wrong_shape_and_truncation_are_named(tmp_path, frames) -> None:
    frames.save(tmp_path / "f")
    np.save(tmp_path / "f" / "source_position.npy", np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"'source_position' has shape \(3, 3\)"):
        load(tmp_path / "f")
    shutil.rmtree(tmp_path / "f")
    frames.save(tmp_path / "f")
    audio = tmp_path / "f" / "audio.npy"
    audio.write_bytes(audio.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"audio\.npy: not readable"):
        load(tmp_path / "f")


def test_failed_write_leaves_nothing(tmp_path) -> None:

    def fails_half_way() -> None:
        with files.replacing(tmp_path / "x") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails_half_way()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        files.write_text(tmp_path / "file" / "below", "text")


def test_setups_hide_what_they_do_not_grant(frames) -> None:
    subset = setups.draw_subsets(8, 11, 7, "x", 0)
    one = Setup("1a", subset).apply(frames)
    assert one.audio.shape == (8, 7, 2048)
    assert np.isnan(one.source_position).all()
    assert np.isnan(one.source_audio).all()
    rows = np.arange(8)[:, None]
    assert np.array_equal(one.mic_positions, frames.mics()[rows, subset])
    two = Setup("2b", subset).apply(frames)
    assert two.audio.shape == (8, 11, 2048)
    assert (np.isfinite(two.mic_positions).all(axis=-1).sum(axis=1) == 7).all()
    assert np.isfinite(two.source_audio).all()
    assert np.isfinite(Setup("1a").apply(frames, reveal_truth=True).source_position).all()


def test_subsets_are_sorted_distinct_and_seeded() -> None:
    drawn = setups.draw_subsets(500, 11, 5, "a", 0)
    assert (np.diff(drawn, axis=1) > 0).all()
    assert np.array_equal(drawn, setups.draw_subsets(500, 11, 5, "a", 0))
    assert not np.array_equal(drawn, setups.draw_subsets(500, 11, 5, "a", 1))
    counts = np.bincount(drawn.ravel(), minlength=11)
    assert counts.min() > 150
    assert counts.max() < 310
    with pytest.raises(InputError, match="mics = 12"):
        setups.draw_subsets(10, 11, 12, "a", 0)


def test_predictions_round_trip(tmp_path) -> None:
    position = np.array([[1.0, 2.0, 3.0], [np.nan] * 3])
    made = Predictions(position, np.array(["ok", "no_hypothesis"], object), meta={"method": "m"})
    made.covariance = np.stack([np.eye(3), np.full((3, 3), np.nan)])
    made.save(tmp_path / "p.parquet")
    read = predictions.load(tmp_path / "p.parquet")
    assert np.array_equal(read.position, position, equal_nan=True)
    assert np.array_equal(read.covariance, made.covariance, equal_nan=True)
    assert read.meta["method"] == "m"
    assert read.status.tolist() == ["ok", "no_hypothesis"]


def test_foreign_predictions_need_only_coordinates(tmp_path) -> None:
    (tmp_path / "p.csv").write_text("x,y,z\n1,2,3\n,,\n")
    read = predictions.load(tmp_path / "p.csv")
    assert read.status.tolist() == ["ok", "failed"]
    (tmp_path / "q.csv").write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match="column 'z' is missing"):
        predictions.load(tmp_path / "q.csv")
