"""Frames and predictions on disk, setups, atomic writing."""

from __future__ import annotations

import dataclasses
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.frames import anechoic_frames
from wavloc import files, frames, setups
from wavloc.errors import InputError
from wavloc.frames import Frames
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


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sample_rate", [16000, 16000], r"'sample_rate' has shape \(2,\), expected one value"),
        ("mic_positions", np.full((11, 3), "a"), "'mic_positions' is <U1, expected numbers"),
        ("source_position", np.zeros((2, 3)), r"'source_position' has shape \(2, 3\)"),
    ],
)
def test_errors_in_an_npz_are_named(tmp_path, name: str, value: object, said: str) -> None:
    made = anechoic_frames(8)
    arrays = {"audio": made.audio, "mic_positions": made.mic_positions, "sample_rate": 16000}
    arrays["source_position"] = np.zeros((8, 3), int)
    np.savez(tmp_path / "f.npz", **(arrays | {name: value}))
    with pytest.raises(InputError, match=said):
        load(tmp_path / "f.npz")
    whole = (tmp_path / "f.npz").read_bytes()
    (tmp_path / "f.npz").write_bytes(whole[:5000])
    with pytest.raises(InputError, match=r"not readable as \.npz"):
        load(tmp_path / "f.npz")


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


def test_setups_hide_what_they_do_not_allow(frames) -> None:
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


def test_predictions_of_others_need_only_coordinates(tmp_path) -> None:
    (tmp_path / "p.csv").write_text("x,y,z\n1,2,3\n,,\n")
    read = predictions.load(tmp_path / "p.csv")
    assert read.status.tolist() == ["ok", "failed"]
    (tmp_path / "q.csv").write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match="column 'z' is missing"):
        predictions.load(tmp_path / "q.csv")


# Concatenation


def marked(track: str, count: int, hop_s: float = 0.064, **columns: object) -> Frames:
    """Frames of 2048 samples of one track, one every ``hop_s`` seconds."""
    made = anechoic_frames(count)
    table = {"frame": np.arange(count), "track": track, "time_s": hop_s * np.arange(count)}
    return dataclasses.replace(made, table=pd.DataFrame(table | columns))


def test_concatenated_frames_are_those_of_the_parts(tmp_path) -> None:
    one, two = marked("a", 4), marked("b", 6)
    one.meta, two.meta = ({"room": [7, 8, 2], "origin": [1, 1, 0], "seed": s} for s in (0, 1))
    two.save(tmp_path / "two")
    whole = frames.concatenate([one, frames.load(tmp_path / "two")])
    whole.check("whole")
    assert whole.mic_positions.shape == (11, 3)
    assert whole.table["track"].tolist() == ["a"] * 4 + ["b"] * 6
    for name in ("audio", "source_audio", "source_position"):
        assert np.array_equal(getattr(whole, name)[:4], getattr(one, name))
        assert np.array_equal(getattr(whole, name)[4:], getattr(two, name))
    assert whole.meta == {"room": [7, 8, 2], "origin": [1, 1, 0]}
    two.meta["room"] = [5, 5, 2]
    assert frames.concatenate([one, two]).room_bounds is None
    whole.save(tmp_path / "whole")
    assert len(frames.load(tmp_path / "whole")) == 10


def test_concatenated_frames_keep_their_microphone_positions() -> None:
    one, two, three = marked("a", 3), marked("b", 2), marked("c", 2)
    two.mic_positions = two.mic_positions + 0.1
    three.mic_positions = np.broadcast_to(three.mic_positions + 0.2, (2, 11, 3))
    whole = frames.concatenate([one, two, three])
    whole.check("whole")
    assert whole.mic_positions.shape == (7, 11, 3)
    assert np.array_equal(whole.mics(), np.concatenate([p.mics() for p in (one, two, three)]))
    unknown = [marked("a", 3), marked("b", 2)]
    for part in unknown:
        part.mic_positions[4] = np.nan
    assert frames.concatenate(unknown).mic_positions.shape == (11, 3)


def test_incompatible_parts_are_named() -> None:
    one, two = marked("a", 3), marked("b", 2)
    fewer = dataclasses.replace(two, audio=two.audio[:, :7], mic_positions=two.mic_positions[:7])
    longer = dataclasses.replace(anechoic_frames(2, margin=10), table=two.table)
    for other, words in (
        (dataclasses.replace(two, sample_rate=8000), r"16000 Hz in part 1 \(a\) but 8000 Hz"),
        (dataclasses.replace(two, speed_of_sound=340.0), r"343\.0 m/s .* 340\.0 m/s in part 3"),
        (fewer, r"number of microphones: 11 .* but 7 .*in part 3 \(b\)"),
        (longer, r"stored length: 2048 samples .* but 2068 samples"),
    ):
        with pytest.raises(InputError, match=words):
            frames.concatenate([one, one, other])
    with pytest.raises(InputError, match="no frames"):
        frames.concatenate([])


# Hold-out


def overlaps(one: Frames, other: Frames) -> bool:
    """Whether a frame of one shares stored samples of a recording with a frame of the other."""
    keys = [c for c in ("recording", "take") if c in one.table] or ["track"]
    pairs = one.table.merge(other.table, on=keys)
    apart = (pairs["time_s_x"] - pairs["time_s_y"]).abs() * one.sample_rate
    return bool((apart < one.audio.shape[-1] - 0.5).any())


def test_last_frames_are_held_out_with_a_gap() -> None:
    made = frames.concatenate([marked("a", 20), marked("b", 10), marked("c", 3, 1.0)])
    rest, held = made.hold_out(0.2)
    assert held.table.groupby("track")["frame"].agg(list).to_dict() == {
        "a": [16, 17, 18, 19],
        "b": [8, 9],
        "c": [2],
    }
    # 2048 samples at a hop of 1024: only the frame before overlaps; adjacent frames do not.
    assert rest.table.groupby("track")["frame"].max().to_dict() == {"a": 14, "b": 6, "c": 1}
    assert not overlaps(rest, held)
    assert np.array_equal(rest.audio[:15], made.audio[:15])
    assert np.array_equal(held.audio[:4], made.audio[16:20])


def test_margins_count_as_overlap() -> None:
    made = dataclasses.replace(anechoic_frames(12, margin=800), table=marked("a", 12).table)
    rest, held = made.hold_out(0.1)
    assert held.table["frame"].tolist() == [11]
    assert rest.table["frame"].tolist() == list(range(8))  # 3648 samples: three frames lost


def test_take_and_extension_are_held_out_at_the_same_time() -> None:
    """The last frames of the extension were silent: its hold-out begins earlier than the take's."""
    take = marked("m", 40, recording="r", take="m")
    simulated = marked("m_sim", 40, recording="r", take="m").select(np.arange(30))
    rest, held = frames.concatenate([take, simulated]).hold_out(0.1)
    assert held.table["track"].value_counts().to_dict() == {"m": 4, "m_sim": 3}
    assert not overlaps(rest, held)
    elsewhere = marked("n", 40, recording="other", take="m")
    rest, _ = frames.concatenate([take, elsewhere.select(np.arange(20))]).hold_out(0.1)
    assert (rest.table["recording"] == "r").sum() == 35


def test_frames_of_an_utterance_are_in_one_part() -> None:
    """Time is counted within an utterance here; rows far apart may have the same sound."""
    table = {"track": "train", "recording": list("ababcdcdab"), "time_s": [0.0] * 10}
    made = dataclasses.replace(anechoic_frames(10), table=pd.DataFrame(table))
    rest, held = made.hold_out(0.2)
    assert held.table["recording"].tolist() == ["a", "b"]
    assert set(rest.table["recording"]) == {"c", "d"}


def test_hold_out_works_on_stored_frames_and_at_the_ends(tmp_path) -> None:
    made = marked("a", 10)
    made.save(tmp_path / "f")
    rest, held = frames.load(tmp_path / "f").hold_out(0.01)
    assert [len(rest), len(held)] == [8, 1]
    rest, held = made.hold_out(0)
    assert [len(rest), len(held)] == [10, 0]
    for fraction in (-0.1, 1.0):
        with pytest.raises(InputError, match="0 <= fraction < 1"):
            made.hold_out(fraction)
    with pytest.raises(InputError, match="nothing is left to train on: of 2 frames 1"):
        marked("a", 2).hold_out(0.5)
    with pytest.raises(InputError, match="no column 'time_s'"):
        dataclasses.replace(made, table=made.table[["frame"]]).hold_out(0.5)
    alone = dataclasses.replace(made, table=made.table[["time_s"]])
    assert len(alone.hold_out(0.2)[1]) == 2


# What must not be read as frames


def npz(folder, **changes: object):
    """An .npz of frames with changed arrays."""
    made = anechoic_frames(4)
    arrays = {"audio": made.audio, "mic_positions": made.mic_positions, "sample_rate": 16000}
    arrays["source_position"] = made.source_position
    np.savez(folder / "f.npz", **(arrays | changes))
    return folder / "f.npz"


def with_value(array: np.ndarray, index: tuple, value: float) -> np.ndarray:
    changed = np.array(array, float)
    changed[index] = value
    return changed


MADE = anechoic_frames(4)
MICS, SOURCES = MADE.mic_positions, MADE.source_position
FAULTS = [
    ("mic_positions", with_value(MICS, (2, 1), np.nan), "mic_positions has .* in row 2"),
    ("mic_positions", with_value(MICS, (2,), np.inf), "mic_positions has .* in row 2"),
    ("source_position", with_value(SOURCES, (1, 0), -np.inf), "source_position has .* in row 1"),
    ("source_position", with_value(SOURCES, (1, 0), np.nan), "source_position has .* in row 1"),
    ("source_position", 1000 * SOURCES, r"positions are .* apart, .*are they millimetres\?"),
    ("mic_positions", 1000 * MICS, r"positions are .* apart, .*are they millimetres\?"),
    ("audio", MADE.audio[..., :0], "0 samples a frame, expected 32 or more"),
    ("audio", MADE.audio[..., :1], "1 samples a frame, expected 32 or more"),
    ("audio", MADE.audio[:0], "array 'audio' has shape"),
    ("sample_rate", np.nan, "sample_rate: nan, expected a whole number from 1,000 to 1,000,000 Hz"),
    ("sample_rate", np.inf, "sample_rate: inf"),
    ("sample_rate", 0, "sample_rate: 0"),
    ("sample_rate", -16000, "sample_rate: -16000"),
    ("sample_rate", 1, "sample_rate: 1, expected"),
    ("sample_rate", 2**31 - 1, "sample_rate: 2147483647"),
    ("sample_rate", 16000.5, "sample_rate: 16000.5, expected a whole number"),
    ("speed_of_sound", 5.0, "speed_of_sound: 5.0, expected a number from 300 to 370 m/s in air"),
    ("speed_of_sound", np.nan, "speed_of_sound: nan"),
    ("room", "large", "room: 'large', expected three numbers in m"),
    ("room", [5.0, 4.0], r"room: \[5.0, 4.0\], expected three numbers in m"),
    ("room", [5.0, 4.0, 0.0], "room, z: 0.0, expected a number above 0 to 500 m"),
    ("room", [5000.0, 4000.0, 2500.0], "room, x: 5000.0, expected a number above 0 to 500 m"),
    ("origin", [0.0, np.nan, 0.0], "origin, y: nan, expected a number"),
    ("other_medium", 1, "other_medium: 1, expected true or false"),
]


@pytest.mark.parametrize(("name", "value", "said"), FAULTS)
def test_impossible_values_in_an_npz_are_named(tmp_path, name: str, value: object, said: str):
    with pytest.raises(InputError, match=said):
        load(npz(tmp_path, **{name: value}))


def test_an_unknown_position_is_a_row_of_nan(tmp_path) -> None:
    read = load(npz(tmp_path, source_position=with_value(SOURCES, (1,), np.nan)))
    assert np.isnan(read.source_position[1]).all()


def test_an_npz_knows_its_room_as_a_folder_does(tmp_path) -> None:
    place = {"room": [7.0, 8.0, 2.5], "origin": [3.5, 4.0, 0.0]}
    made = anechoic_frames(4)
    made.meta = dict(place)
    made.save(tmp_path / "f")
    folder, stored = load(tmp_path / "f"), load(npz(tmp_path, **place))
    assert stored.meta == folder.meta == place
    for bounds, expected in zip(stored.room_bounds, folder.room_bounds, strict=True):
        assert np.array_equal(bounds, expected)
    assert np.array_equal(stored.room_bounds[0], [-3.5, -4.0, 0.0])
    assert np.array_equal(load(npz(tmp_path, room=place["room"])).room_bounds[1], [7.0, 8.0, 2.5])
    assert load(npz(tmp_path)).room_bounds is None


def test_another_medium_is_asked_for(tmp_path) -> None:
    water = load(npz(tmp_path, speed_of_sound=1482.0, other_medium=True))
    assert water.speed_of_sound == 1482.0
    water.save(tmp_path / "f")
    assert frames.concatenate([water, load(tmp_path / "f")]).meta == {"other_medium": True}


@pytest.mark.parametrize("kind", ["npy", "text", "folder member", "huge", "lying"])
def test_what_is_no_npz_is_one_line(tmp_path, kind: str) -> None:
    path = tmp_path / "f.npz"
    if kind == "npy":
        np.save(tmp_path / "f.npy", MADE.audio)
        (tmp_path / "f.npy").rename(path)
    elif kind == "text":
        path.write_text("audio")
    else:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10, 1024)}
        with zipfile.ZipFile(path, "w") as archive, archive.open("audio.npy", "w") as handle:
            if kind == "folder member":
                handle.write(b"no array")
            else:
                np.lib.format.write_array_header_1_0(handle, header)
                handle.write(bytes(1000))
    if kind == "lying":  # the directory of the archive states as much as the header
        content = bytearray(path.read_bytes())
        at = content.rindex(b"PK\x01\x02") + 24
        content[at : at + 4] = (0xFFFFFFFE).to_bytes(4, "little")
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"f\.npz: not readable as \.npz"):
        load(path)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("meta.json", "[1, 2]", r"meta\.json: \[1, 2\], expected names and values"),
        ("meta.json", None, r"meta\.json: not a regular file"),
        (
            "meta.json",
            '{"sample_rate": "16000", "speed_of_sound": 343}',
            "'sample_rate' is missing",
        ),
        ("meta.json", '{"sample_rate": NaN, "speed_of_sound": 343}', "sample_rate: nan"),
        (
            "meta.json",
            '{"sample_rate": 16000, "speed_of_sound": 343, "room": "big"}',
            "room: 'big'",
        ),
        ("meta.json", '{"sample_rate": 16000, "speed_of_sound": 343, "room": [1, 2]}', "room: "),
        ("frames.parquet", None, r"frames\.parquet: not readable \(no such file\)"),
        ("frames.parquet", "frame\n1\n", r"frames\.parquet: not readable"),
        ("audio.npy", None, r"audio\.npy' is missing"),
        ("audio.npy", "no array", r"audio\.npy: not readable as an array"),
    ],
)
def test_a_folder_with_other_content_is_one_line(tmp_path, file, content, said) -> None:
    anechoic_frames(4).save(tmp_path / "f")
    path = tmp_path / "f" / file
    path.unlink()
    if content is None:
        os.mkfifo(path)
    else:
        path.write_text(content)
    with pytest.raises(InputError, match=said):
        load(tmp_path / "f")


def test_a_header_of_terabytes_takes_no_memory(tmp_path) -> None:
    anechoic_frames(4).save(tmp_path / "f")
    with (tmp_path / "f" / "audio.npy").open("wb") as handle:
        shape = (10**9, 11, 2048)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(handle, header)
    with pytest.raises(InputError, match=r"audio\.npy: not readable as an array"):
        load(tmp_path / "f")


@pytest.mark.parametrize(
    ("subset", "said"),
    [
        (np.array([[0, -1, 2]]), "microphone -1, expected numbers from 0"),
        (np.array([[0, 2, 2]]), "names a microphone twice"),
        (np.array([[0.0, 1.0]]), "expected a 2-D integer array"),
        (np.array([0, 1]), "expected a 2-D integer array"),
        (np.zeros((3, 0), int), "expected one or more microphones"),
    ],
)
def test_impossible_subsets_are_named(tmp_path, subset: np.ndarray, said: str) -> None:
    np.save(tmp_path / "s.npy", subset)
    with pytest.raises(InputError, match=rf"s\.npy: .*{said}"):
        setups.load_subset(tmp_path / "s.npy")
    with pytest.raises(InputError, match=said):
        Setup("1a", subset)


def timed(count: int = 6) -> Frames:
    """Frames that hold arrival times, the first of them missing, and no sound."""
    made = anechoic_frames(count)
    arrivals = np.arange(11.0 * count).reshape(count, 11)
    arrivals[0, 0] = np.nan
    return dataclasses.replace(
        made, audio=made.audio[..., :0], source_audio=made.source_audio[..., :0], arrivals=arrivals
    )


def test_arrival_times_go_with_their_frames(tmp_path: Path) -> None:
    made = timed()
    made.save(tmp_path / "f")
    loaded = frames.load(tmp_path / "f")
    assert not loaded.has_sound
    assert np.array_equal(loaded.arrivals, made.arrivals, equal_nan=True)
    assert np.array_equal(loaded.select(np.array([2, 1])).arrivals, made.arrivals[[2, 1]])
    both = frames.concatenate([made, made.select(np.arange(2, 5))])
    assert np.array_equal(both.arrivals[6:], made.arrivals[2:5])
    subset = np.tile([1, 4, 7], (6, 1))
    assert np.array_equal(Setup("1a", subset).apply(loaded).arrivals, made.arrivals[:, [1, 4, 7]])
    anechoic_frames(2).save(tmp_path / "f")  # the old arrival times go
    assert frames.load(tmp_path / "f").arrivals is None
    silent = dataclasses.replace(made, arrivals=None)
    with pytest.raises(InputError, match="0 samples a frame"):
        silent.save(tmp_path / "f")
    with pytest.raises(InputError, match="arrivals: no arrival times in part 1"):
        frames.concatenate([silent, made])


def test_npz_of_arrival_times_needs_no_sound(tmp_path: Path) -> None:
    made = timed()
    given = {"arrivals": made.arrivals, "mic_positions": made.mic_positions}
    np.savez(tmp_path / "a.npz", **given)
    loaded = frames.load(tmp_path / "a.npz")
    assert np.array_equal(loaded.arrivals, made.arrivals, equal_nan=True)
    for wrong, words in (
        (made.arrivals[:, :5], r"mic_positions' has shape \(11, 3\)"),
        (made.arrivals[0], "'audio' is missing"),
        (np.full((6, 11), np.inf), "arrivals are infinite"),
    ):
        np.savez(tmp_path / "a.npz", **given | {"arrivals": wrong})
        with pytest.raises(InputError, match=words):
            frames.load(tmp_path / "a.npz")
