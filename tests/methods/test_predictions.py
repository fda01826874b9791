"""Predictions on disk: one unit of table and arrays, matched to frames by their names."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.frames import anechoic_frames
from helpers.predictions import CELL
from wavloc import files
from wavloc.errors import InputError
from wavloc.evaluation import score
from wavloc.evaluation.errors import ranked_errors_m
from wavloc.frames import Frames
from wavloc.methods import predictions, registry
from wavloc.methods.predictions import Predictions


def made(count: int = 6, **arrays: np.ndarray) -> Predictions:
    rng = np.random.default_rng(0)
    position = rng.uniform(0, 3, (count, 3))
    return Predictions(position, np.full(count, "ok", object), meta={"method": "m"}, **arrays)


RATED = np.linspace(0, 1, 66).reshape(6, 11)


def test_arrays_of_an_earlier_method_are_not_taken_for_ones_own(tmp_path) -> None:
    path = tmp_path / "q.parquet"
    made(reliability=RATED, positions=np.zeros((6, 2, 3))).save(path)
    assert np.array_equal(predictions.load(path).reliability, RATED)
    made(positions=np.ones((6, 2, 3))).save(path)
    read = predictions.load(path)
    assert read.reliability is None
    assert (read.positions == 1).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["q.parquet", "q.positions.npy"]
    np.save(tmp_path / "q.reliability.npy", RATED)  # somebody else's
    assert predictions.load(path).reliability is None
    made().save(path)
    assert np.array_equal(np.load(tmp_path / "q.reliability.npy"), RATED)


def test_an_array_that_was_changed_or_lost_is_refused(tmp_path) -> None:
    path, other = tmp_path / "q.parquet", tmp_path / "other.parquet"
    made(reliability=RATED).save(path)
    made(reliability=1 - RATED).save(other)
    array = tmp_path / "q.reliability.npy"
    (tmp_path / "other.reliability.npy").rename(array)
    with pytest.raises(InputError, match=r"q\.reliability\.npy: does not belong to .*q\.parquet"):
        predictions.load(path)
    array.unlink()
    with pytest.raises(InputError, match=r"q\.reliability\.npy: no such file, but it is part of"):
        predictions.load(path)


def test_a_failure_replaces_neither_table_nor_arrays(tmp_path, monkeypatch) -> None:
    path = tmp_path / "q.parquet"
    made(reliability=RATED).save(path)
    monkeypatch.setattr(predictions.pq, "write_table", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made(reliability=1 - RATED, certainty=np.ones((6, 2))).save(path)
    assert np.array_equal(predictions.load(path).reliability, RATED)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["q.parquet", "q.reliability.npy"]


@pytest.mark.parametrize("name", ["x.csv", "x.CSV", "x.parquet", "x.PARQUET", "x.Parquet"])
def test_the_suffix_says_what_is_written_and_the_content_what_is_read(tmp_path, name) -> None:
    frames = anechoic_frames(6)
    found = dataclasses.replace(made(), frame=np.arange(6), covariance=np.ones((6, 3, 3)))
    found.save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert content.startswith(b"frame,x,y,z,status,cov_xx" if "csv" in name.lower() else b"PAR1")
    for other in (name, "y.csv", "y.parquet", "y"):
        (tmp_path / other).write_bytes(content)
        read = predictions.load(tmp_path / other).of(frames)
        assert np.allclose(read.position, found.position, rtol=0, atol=1e-12)
        assert (read.covariance == 1).all()


@pytest.mark.parametrize("name", ["x", "x.txt", "x.json", "x.npz", "x.csv.gz"])
def test_other_suffixes_are_refused(tmp_path, name) -> None:
    with pytest.raises(InputError, match=r"expected a name that ends in \.parquet or \.csv"):
        made().save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# Which prediction is of which frame


@pytest.fixture
def sparse() -> Frames:
    """Frames of which silence has taken some: their numbers are not their places."""
    frames = anechoic_frames(8)
    frames.table["frame"] = [0, 1, 4, 5, 6, 9, 12, 13]
    frames.table["time_s"] = 0.064 * frames.table["frame"] + 0.0641
    return frames


def written(folder: Path, frames: Frames, columns: list[str], order: np.ndarray) -> Path:
    table = frames.table.copy()
    table[["x", "y", "z"]] = frames.source_position
    table["status"] = "ok"
    path = folder / "p.csv"
    table[[*columns, "x", "y", "z", "status"]].iloc[order].to_csv(path, index=False)
    return path


@pytest.mark.parametrize("columns", [["frame"], ["time_s"], ["frame", "time_s"]])
def test_permuted_predictions_are_matched(tmp_path, sparse, columns) -> None:
    order = np.random.default_rng(0).permutation(8)
    read = predictions.load(written(tmp_path, sparse, columns, order))
    assert np.allclose(read.of(sparse).position, sparse.source_position)
    table = score("errors", {"m": read}, sparse, CELL, resamples=1000).set_index("metric")["value"]
    assert table["mae"] == pytest.approx(0, abs=1e-6)
    assert ranked_errors_m(read, sparse) == pytest.approx(np.zeros(8), abs=1e-6)


def test_times_may_be_rounded_to_milliseconds(tmp_path, sparse) -> None:
    rounded = dataclasses.replace(sparse, table=sparse.table.round({"time_s": 3}))
    read = predictions.load(written(tmp_path, rounded, ["time_s"], np.arange(8)[::-1]))
    assert np.allclose(read.of(sparse).position, sparse.source_position)


@pytest.mark.parametrize("columns", [["frame"], ["time_s"]])
@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([0, 1, 2, 3, 4, 5, 6], r"p\.csv: 7 rows, expected one per frame \(8\)"),
        ([0, 1, 2, 3, 4, 5, 6, 7, 7], r"p\.csv: 9 rows, expected one per frame \(8\)"),
        ([0, 1, 2, 3, 4, 5, 6, 6], r"p\.csv: 7 of the 8 frames by .*, 7 different ones in 8 rows"),
    ],
)
def test_missing_and_repeated_frames_are_counted(tmp_path, sparse, columns, order, words) -> None:
    read = predictions.load(written(tmp_path, sparse, columns, np.array(order)))
    for attempt in (read.of, lambda frames: score("errors", {"m": read}, frames, CELL)):
        with pytest.raises(InputError, match=words):
            attempt(sparse)


def test_predictions_of_other_frames_are_refused(tmp_path, sparse) -> None:
    other = dataclasses.replace(sparse, table=sparse.table + 1)
    read = predictions.load(written(tmp_path, other, ["frame"], np.arange(8)))
    with pytest.raises(InputError, match=r"4 of the 8 frames by 'frame', 8 different ones in 8"):
        read.of(sparse)
    later = dataclasses.replace(
        sparse, table=sparse.table.assign(time_s=sparse.table["time_s"] + 1)
    )
    read = predictions.load(written(tmp_path, later, ["frame", "time_s"], np.arange(8)))
    with pytest.raises(InputError, match=r"other frames than these, time_s of row 0 is 1\.0641"):
        read.of(sparse)


def test_a_method_names_its_frames(tmp_path, sparse) -> None:
    registry.create(registry.Entry("center")).predict(sparse).save(tmp_path / "p.parquet")
    table = pd.read_parquet(tmp_path / "p.parquet")
    assert table["frame"].tolist() == sparse.table["frame"].tolist()
    assert np.allclose(table["time_s"], sparse.table["time_s"])
    shuffled = sparse.select(np.random.default_rng(0).permutation(8))
    read = predictions.load(tmp_path / "p.parquet").of(shuffled)
    assert read.frame.tolist() == shuffled.table["frame"].tolist()


# What other programs write


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not readable as predictions"),
        ("x,y,z\n1,2,a\n", "column 'z' must be numbers"),
        ("x;y;z\n1;2;3\n", "column 'x' is missing"),
        ("frame,x,y,z\nfirst,1,2,3\n", "column 'frame' must be numbers"),
        ("x,y,z,cov_xx\n1,2,3,4\n", "column 'cov_xy' is missing"),
    ],
)
def test_mistakes_in_a_table_are_named(tmp_path, text, words) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        predictions.load(tmp_path / "p.csv")


@pytest.mark.parametrize(
    ("note", "words"),
    [
        (b"{", "its metadata are not readable"),
        (b"[1]", "its metadata are not those of predictions"),
        (b'{"arrays": {"../x": "0"}}', "its metadata are not those of predictions"),
        (b'{"arrays": [1]}', "its metadata are not those of predictions"),
        (b'{"seconds_per_frame": "fast"}', "seconds_per_frame: 'fast', expected a number"),
    ],
)
def test_mistakes_in_the_metadata_are_named(tmp_path, note, words) -> None:
    table = pa.table({axis: [1.0, 2.0] for axis in "xyz"}).replace_schema_metadata({"wavloc": note})
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(InputError, match=words):
        predictions.load(tmp_path / "p.parquet")


def test_damage_is_one_line(tmp_path) -> None:
    made().save(tmp_path / "p.parquet")
    whole = (tmp_path / "p.parquet").read_bytes()
    for content in (whole[:-20], whole[:4], b"\0" * 100, files.sha256(__file__).encode("utf-16")):
        (tmp_path / "p.parquet").write_bytes(content)
        with pytest.raises(InputError, match=r"p\.parquet: "):
            predictions.load(tmp_path / "p.parquet")
