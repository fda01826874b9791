"""LuViRA as its files really are: each known fault once, in miniature."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers import miniature
from wavloc import cli, datasets, frames
from wavloc.datasets import luvira_robot
from wavloc.datasets.takes import alignment, names, temperature
from wavloc.errors import InputError
from wavloc.frames import Frames
from wavloc.geometry import LUVIRA_MICS, speed_in_air
from wavloc.methods import registry

RAW = "music0001"
LATE_S = 12.3
RATE = 32_000  # of long takes
SMALL = {"hop": 2048, "margin": 0}


def recorded(root: Path, track: str = "music1", name: str = "luvira", **options: object) -> Frames:
    made = datasets.create(name, {"options": SMALL | options}, 0, root)
    read = made.recorded(track)
    read.check("test")
    return read


def label_error(read: Frames, take: str = RAW) -> float:
    truth = miniature.path_of(take, read.table["time_s"].to_numpy())
    return float(np.linalg.norm(read.source_position - truth, axis=1).max())


@pytest.fixture(scope="module")
def late(tmp_path_factory) -> Path:
    """A take in which motion capture begins after 12.3 s; its start signal is in Track 13."""
    root = tmp_path_factory.mktemp("late")
    miniature.write_raw(root, RAW, 17.0, rate=RATE, offset_s=LATE_S, sync="Track 13.wav")
    return root


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("short")
    miniature.write_raw(root, RAW, 2.0, rate=RATE)
    return root


@pytest.fixture
def take(short: Path, tmp_path: Path) -> Path:
    """A copy of a short take that a test may damage."""
    shutil.copytree(short, tmp_path / "take")
    return tmp_path / "take"


def sound_folder(root: Path) -> Path:
    return root / "Audio_only" / RAW


def signal(root: Path, kind: str, offset_s: float, seconds: float = 2.0) -> None:
    made = miniature.start_signal(kind, seconds, offset_s, RATE)
    soundfile.write(sound_folder(root) / "Sync.wav", made, RATE)


# When motion capture begins


def test_misnamed_sync_channel_and_a_late_start(late: Path, short: Path, tmp_path: Path) -> None:
    """Labels are those of a clean take, with the signal and, where it is missing, by the sound."""
    root = tmp_path / "clean"
    shutil.copytree(late, root)
    (sound_folder(root) / "Track 13.wav").unlink()
    found = recorded(root)
    shutil.rmtree(root / "raw")
    miniature.write_capture(root, RAW, 17.0, 0.37)
    signal(root, "pulse", 0.37, 17.0)
    clean, told = recorded(root), recorded(late)
    assert told.meta["take"]["sync"] == "pulse"
    assert told.meta["warnings"] == []
    assert found.meta["take"]["sync"] == "search"
    assert (
        "no start signal; by the sound, motion capture begins at 12.3"
        in (found.meta["warnings"][0])
    )
    by_frame = dict(zip(clean.table["frame"], clean.source_position, strict=True))
    for read in (told, found):
        assert len(read) > 25
        rows = [k for k, frame in enumerate(read.table["frame"]) if frame in by_frame]
        same = np.array([by_frame[read.table["frame"][k]] for k in rows])
        assert len(rows) > 25
        assert np.linalg.norm(read.source_position[rows] - same, axis=1).max() < 0.02


@pytest.mark.parametrize("kind", ["pulse", "train", "step"])
def test_shapes_of_the_start_signal(take: Path, kind: str) -> None:
    signal(take, kind, miniature.OFFSET_S)
    read = recorded(take)
    assert read.meta["warnings"] == []
    assert read.meta["take"]["sync"] == "pulse"
    assert read.meta["take"]["sync_offset_s"] == pytest.approx(miniature.OFFSET_S, abs=1e-3)
    assert label_error(read) < 0.002


def test_signal_of_another_take_is_not_believed(take: Path) -> None:
    signal(take, "pulse", 1.2)
    read = recorded(take)
    words = "Sync.wav says 1.200 s, which the sound does not confirm; by the sound, motion capture"
    assert words in read.meta["warnings"][0]
    assert label_error(read) < 0.02
    again = recorded(take, sync_reach_s=1e6)  # what cannot be is not tried
    np.testing.assert_array_equal(again.source_position, read.source_position)


def test_capture_that_began_before_the_sound(tmp_path: Path) -> None:
    """As of the robot: the sound is cut, a train of pulses runs all along and says nothing."""
    take = "Random_manual_people2"
    miniature.write_raw(
        tmp_path, take, 3.0, rate=RATE, offset_s=-7.41, kind="train", part="audio_random"
    )
    (tmp_path / "audio_random" / take / "Track 4.wav").unlink()  # as published
    read = recorded(tmp_path, "random_manual_people2", "luvira_robot")
    assert read.meta["take"]["sync_offset_s"] == pytest.approx(-7.41, abs=0.01)
    assert label_error(read, take) < 0.02
    assert np.isnan(read.audio[:, 3]).all()


@pytest.mark.parametrize("sync", ["Sync.wav", ""])
def test_sound_that_fits_no_track_is_refused(take: Path, sync: str) -> None:
    """The positions are of another take, so even the start signal is not believed."""
    if not sync:
        (sound_folder(take) / "Sync.wav").unlink()
    rng = np.random.default_rng(1)
    for path in sound_folder(take).glob("Track*.wav"):
        soundfile.write(path, 0.1 * rng.standard_normal(2 * RATE), RATE)
    reason = (
        "Sync.wav says 0.370 s, which the sound does not confirm" if sync else "no start signal"
    )
    with pytest.raises(InputError) as caught:
        recorded(take)
    line = str(caught.value)
    assert line.startswith(f"{sound_folder(take)}: when motion capture begins is unknown; ")
    assert reason in line
    assert "no offset within 30 s fits the sound clearly best" in line
    assert "\n" not in line
    assert len(recorded(take, sync_offset_s={"music1": 0.37})) > 5  # the user may know better


def test_loudspeaker_at_rest_needs_a_signal(take: Path, monkeypatch) -> None:
    """Any offset fits its sound: found by none, but a signal is not contradicted either."""
    monkeypatch.setattr(miniature, "path_of", lambda _, t: np.tile([0.3, -0.2, 1.2], (len(t), 1)))
    shutil.rmtree(take)
    miniature.write_raw(take, RAW, 2.0, rate=RATE)
    assert recorded(take).meta["take"]["sync"] == "pulse"
    (sound_folder(take) / "Sync.wav").unlink()
    with pytest.raises(InputError, match=r"no start signal; no offset .* fits the sound clearly"):
        recorded(take)


def test_start_of_a_flat_channel() -> None:
    assert alignment.pulse(np.full(100, 0.3), 96000) is None


# Microphones and names


@pytest.mark.parametrize("fault", ["zero", "missing"])
def test_microphone_without_sound_is_unknown(take: Path, fault: str) -> None:
    path = sound_folder(take) / "Track 4.wav"
    whole = recorded(take)
    path.unlink()
    if fault == "zero":
        soundfile.write(path, np.zeros(2 * RATE), RATE)
    read = recorded(take)
    assert read.meta["take"]["mics_without_sound"] == [4]
    reason = "all samples are 0" if fault == "zero" else "missing"
    assert f"Track 4.wav: {reason}; the sound of microphone 4" in read.meta["warnings"][0]
    np.testing.assert_array_equal(np.isnan(read.audio).all(axis=(0, 2)), np.arange(11) == 3)
    assert np.isfinite(read.audio[:, np.arange(11) != 3]).all()
    np.testing.assert_array_equal(read.source_position, whole.source_position)
    for name in ("multilat", "multilat_plus", "srp_phat", "tdoa_grid", "nlls", "steered"):
        found = registry.create(registry.Entry(name)).predict(read)
        error = np.linalg.norm(found.position - read.source_position, axis=1)
        assert np.median(error) < 0.05, name


def test_take_without_sound_is_refused(take: Path) -> None:
    for number in range(2, 13):
        (sound_folder(take) / f"Track {number}.wav").unlink()
    with pytest.raises(InputError, match=r"1 of 11 microphones have a track with sound, expected"):
        recorded(take)


@pytest.mark.parametrize(
    ("subtype", "name"),
    [("PCM_16", "track_{:02d}.WAV"), ("PCM_24", "TRACK-{}.Wav"), ("PCM_32", "Track{}.wav"),
     ("FLOAT", "track {}.wav")],
)  # fmt: skip
def test_names_depths_and_widths(take: Path, subtype: str, name: str) -> None:
    plain = recorded(take)
    deep = take / "a" / "Music 1" / "Audio" / "cut"
    shutil.move(sound_folder(take), take / "gone")
    miniature.write_tracks(deep, RAW, 2.0, subtype, RATE, name)
    shutil.move(take / "gone" / "Sync.wav", deep / "SYNC.WAV")
    shutil.rmtree(take / "gone")
    capture = take / "raw" / "3D" / f"{RAW}.tsv"
    (take / "x" / "3d").mkdir(parents=True)
    capture.rename(take / "x" / "3d" / "MUSIC0001.TSV")
    read = recorded(take)
    assert read.meta["warnings"] == []
    np.testing.assert_array_equal(read.source_position, plain.source_position)
    assert np.abs(read.audio - plain.audio).max() < 2e-4
    (deep / "Track 1.wav").write_bytes(b"")
    with pytest.raises(InputError, match=r"track 1 is there twice"):
        recorded(take)


@pytest.mark.parametrize(
    "spellings", [("music0001", "Music_1", "music 01"), ("Grid0101", "grid101", "Grid 101"),
                  ("Random manual people2", "random_manual_people2", "RandomManualPeople2")]
)  # fmt: skip
def test_spellings_of_a_take(spellings: tuple[str, ...]) -> None:
    assert len({names.key(text) for text in spellings}) == 1
    assert names.key(f"{spellings[0]}_6D") != names.key(spellings[0])
    assert names.key("music10") != names.key("music1")


# Positions


def test_export_without_marker_names_and_a_rigid_body_beside_it(take: Path) -> None:
    path = take / "raw" / "3D" / f"{RAW}.tsv"
    plain = recorded(take)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("MARKER_NAMES")]
    path.write_text("\n".join(lines) + "\n")
    for folder in ("6D", "3D"):
        (take / "raw" / folder).mkdir(exist_ok=True)
        (take / "raw" / folder / f"{RAW}_6D.tsv").write_text("NO_OF_BODIES\t3\n")
    read = recorded(take)
    np.testing.assert_array_equal(read.source_position, plain.source_position)


@pytest.mark.parametrize("info", [{"number_of_mics": 11}, None])
def test_converted_take_with_the_time_of_motion_capture(tmp_path: Path, info: dict | None) -> None:
    """Its times begin with the capture, and info.json states no rate or is not there."""
    miniature.write_converted(tmp_path, RAW, 2.0, begin_s=0.37, info=info)
    folder = tmp_path / RAW
    if info is None:
        (folder / "info.json").unlink()
    read = recorded(tmp_path)
    words = "gt_positions.csv says 0.000 s, which the sound does not confirm; by the sound"
    assert words in read.meta["warnings"][0]
    assert label_error(read) < 0.02
    rate = soundfile.info(folder / "Track 1.wav").samplerate
    soundfile.write(folder / "Sync.wav", miniature.start_signal("pulse", 2.0, 0.37, rate), rate)
    read = recorded(tmp_path)
    assert read.meta["take"]["sync"] == "pulse"
    assert label_error(read) < 0.002


def test_slow_capture_and_one_of_a_single_moment(tmp_path: Path) -> None:
    """One position a second is enough to compare with the sound, a single one is none."""
    miniature.write_converted(tmp_path, RAW, 5.0)
    path = tmp_path / RAW / "gt_positions.csv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *lines[::100]]) + "\n")
    read = recorded(tmp_path, max_gap_s=2.0)
    assert (read.meta["warnings"], len(read) > 20) == ([], True)
    path.write_text("\n".join([header, lines[0]]) + "\n")
    with pytest.raises(InputError, match=r"csv: the loudspeaker is seen 1 times, expected more"):
        recorded(tmp_path)


def test_moment_of_sound(take: Path) -> None:
    for path in sound_folder(take).iterdir():
        samples, rate = soundfile.read(path)
        soundfile.write(path, samples[rate : rate + rate // 10], rate)
    with pytest.raises(InputError, match=r"0\.100 s of sound, expected 0\.128 s or more"):
        recorded(take)


# Temperature


LOGS = {
    "LuViRA measurement log.csv": "Trajectory,Audio,Temperature,Comments\n"
    'Grid101,speech,21.0,"noise, mic 7"\nmusic0001,music A,24.0 °C,\n',
    "temperature.tsv": "LuViRA temperatures\n\nname\tT\ttemp start\ttemp end\n"
    "Music 1\t9\t23.5\t24,5\n",
    "temp.csv": "take;temp [C]\r\nmusic_0001;24,0\r\n",
    f"Audio_only/{RAW}/temperature.txt": "24\n",
    f"Audio_only/{RAW}/Temp.log": "Temperature: 24,0 °C\n",
    f"Audio_only/{RAW}/roomtemp.csv": "time,temperature\n15:49:44,23.9\n15:50:44,24.1\n",
}


@pytest.mark.parametrize("name", LOGS)
def test_temperature_log_sets_the_speed_of_sound(take: Path, name: str) -> None:
    (take / name).write_text(LOGS[name], encoding="utf-8")
    read = recorded(take)
    assert read.meta["take"]["temperature_c"] == pytest.approx(24.0)
    assert read.speed_of_sound == pytest.approx(345.5, abs=0.1)
    scenes = datasets.create("luvira", {"options": SMALL}, 0, take).scenes("music1_sim", {})
    assert scenes.speed_of_sound == read.speed_of_sound
    assert recorded(take, temperature_c={"all": 15}).speed_of_sound == speed_in_air(15)


def test_temperature_that_is_absent_or_elsewhere(take: Path, tmp_path: Path) -> None:
    assert recorded(take).speed_of_sound == 343.0
    assert recorded(take).meta["take"]["temperature_c"] is None
    log = tmp_path / "copy of the table.csv"
    log.write_bytes("take;temp °C\nmusic1;24\n".encode("latin-1"))
    assert recorded(take, temperature_log=str(log)).speed_of_sound == speed_in_air(24)
    (take / "log.csv").write_text("take,temperature\nmusic2,24\nmusic1,-\n")
    read = recorded(take)
    assert read.speed_of_sound == 343.0
    assert "log.csv: no temperature of take 'music1' (option temp" in read.meta["warnings"][0]
    given = recorded(take, temperature_c={"music0001": 24, "all": 15})
    assert given.speed_of_sound == speed_in_air(24)
    assert given.meta["warnings"] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("take,temperature\nmusic1,warm\n", r"line 2: temperature 'warm', expected 0 to 40 deg"),
        ("take,temperature\nmusic1,297\n", r"line 2: temperature '297', expected 0 to 40 deg"),
    ],
)
def test_temperature_that_cannot_be_read(take: Path, text: str, words: str) -> None:
    (take / "temperature.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        recorded(take)


def test_log_of_a_take_without_a_value(take: Path) -> None:
    (sound_folder(take) / "temperature.txt").write_text("\n")
    with pytest.raises(InputError, match=r"temperature\.txt: no temperature in it"):
        temperature.read(
            temperature.find(take, sound_folder(take), ""), sound_folder(take), "x", []
        )


# The robot


def test_trajectories_of_the_robot(tmp_path: Path, capsys) -> None:
    for name, stem in (("Grid101", "Grid0101"), ("Random_L", "Random_L")):
        part = "audio_grid" if name.startswith("Grid") else "audio_random"
        miniature.write_raw(tmp_path, name, 2.0, rate=RATE, part=part)
        (tmp_path / "raw" / "3D" / f"{name}.tsv").rename(tmp_path / "raw" / "3D" / f"{stem}.tsv")
    made = datasets.create("luvira_robot")
    assert len(made.tracks()) == 76 + 14
    assert made.split_of("random_l") == "random"
    assert made.splits()["random"].train == luvira_robot.GRID
    for track, name in (("grid101", "Grid101"), ("random_l", "Random_L")):
        read = recorded(tmp_path, track, "luvira_robot")
        assert label_error(read, name) < 0.002
        assert read.table["take"].unique().tolist() == [track]
    command = ["simulate", "--dataset", "luvira_robot", "--data", str(tmp_path)]
    command += ["--options", json.dumps({"options": SMALL})]
    assert cli.main([*command, "--track", "grid101", "--out", str(tmp_path / "out")]) == 0
    np.testing.assert_allclose(frames.load(tmp_path / "out").mics(0), LUVIRA_MICS, atol=1e-4)
    assert cli.main([*command, "--track", "grid120", "--out", str(tmp_path / "none")]) == 2
    assert "no folder of take 'grid120' with tracks in it" in capsys.readouterr().err
