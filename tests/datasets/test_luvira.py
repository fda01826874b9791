"""The LuViRA recordings: positions are recovered, and gaps get no label."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers import miniature
from wavloc import cli, datasets, frames
from wavloc.datasets.takes import alignment, qualisys, reader, trajectory
from wavloc.datasets.takes.eight import SIM_MIC_M, SIM_WALL_M
from wavloc.datasets.takes.reader import ReadOptions
from wavloc.errors import InputError
from wavloc.geometry import LUVIRA_MICS, distances

RAW, CONVERTED = "music0001", "music_0001"
SMALL = {"hop": 512, "margin": 100}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """One take in both layouts, two seconds each: ``raw/`` and ``converted/``."""
    root = tmp_path_factory.mktemp("luvira")
    miniature.write_raw(root / "raw", RAW)
    miniature.write_converted(root / "converted", CONVERTED)
    return root


@pytest.fixture
def raw(recorded: Path, tmp_path: Path) -> Path:
    """A copy of the raw take that a test may damage (links, replaced when written)."""
    return copied(recorded / "raw", tmp_path / "raw")


@pytest.fixture
def converted(recorded: Path, tmp_path: Path) -> Path:
    return copied(recorded / "converted", tmp_path / "converted")


def copied(source: Path, folder: Path) -> Path:
    shutil.copytree(source, folder, copy_function=lambda a, b: Path(b).symlink_to(a))
    return folder


def dataset(root: Path, **options: object) -> datasets.Dataset:
    return datasets.create("luvira", {"options": SMALL | options}, 0, root)


def track_file(root: Path, number: int) -> Path:
    return next(root.rglob(f"Track {number}.wav"))


def rewrite(path: Path, samples: np.ndarray, rate: int = miniature.RATE) -> None:
    path.unlink()
    soundfile.write(path, samples, rate, subtype="PCM_16")


def lines_of(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()]


def write_lines(path: Path, lines: list[list[str]]) -> None:
    path.unlink()
    path.write_bytes(("\r\n".join("\t".join(line) for line in lines) + "\r\n").encode())


def tsv(root: Path) -> Path:
    return root / "raw" / "3D" / f"{RAW}.tsv"


HEAD = 13  # lines above the data
LOUDSPEAKER = 3 + 4 * 22  # its first column


# Recorded frames


@pytest.mark.parametrize("layout", ["raw", "converted"])
def test_positions_are_recovered_and_gaps_get_no_label(recorded: Path, layout: str) -> None:
    read = dataset(recorded / layout).recorded("music1")
    read.check("test")
    time_s = read.table["time_s"].to_numpy()
    truth = miniature.path_of(RAW if layout == "raw" else CONVERTED, time_s)
    assert np.linalg.norm(read.source_position - truth, axis=1).max() < 0.001
    np.testing.assert_allclose(read.mic_positions, LUVIRA_MICS, atol=1e-4)
    first, last = np.array(miniature.GAP) + miniature.OFFSET_S
    assert not ((time_s > first) & (time_s < last - 0.01)).any()
    assert ((time_s < first) & (time_s > first - 0.1)).any()
    assert read.meta["frames_unlabelled"] > 0
    assert read.meta["frames_recorded"] == len(read) + read.meta["frames_unlabelled"]
    assert read.meta["warnings"] == []
    assert time_s.min() > (miniature.OFFSET_S if layout == "raw" else 0)


def test_both_layouts_agree(recorded: Path) -> None:
    takes = [
        reader.read_take(recorded / layout, "music1", ReadOptions())
        for layout in ("raw", "converted")
    ]
    at = np.arange(0.4, 1.9, 0.01)
    places = [
        trajectory.at(at, take.time_s, take.track, 0.1) - miniature.path_of(name, at)
        for take, name in zip(takes, (RAW, CONVERTED), strict=True)
    ]
    both = np.isfinite(places[0] + places[1]).all(axis=1)
    assert both.mean() > 0.5
    assert np.abs(places[0] - places[1])[both].max() < 0.001
    assert [take.meta["layout"] for take in takes] == ["raw", "converted"]
    assert takes[0].meta["sync_offset_s"] == pytest.approx(miniature.OFFSET_S, abs=1e-4)


def test_audio_is_that_of_the_tracks_at_16_khz(recorded: Path) -> None:
    read = dataset(recorded / "raw").recorded("music1")
    assert (read.sample_rate, read.audio.shape[1:]) == (16000, (11, 2248))
    sound = miniature.sound(RAW, 2.0)
    row = 20
    start = round(read.table["time_s"].iloc[row] * 16000) - 2248 // 2
    pieces = [(read.audio[row, 4], sound[4]), (read.source_audio[row], sound[11])]
    for actual, whole in pieces:
        expected = whole[6 * start :: 6][:2248]  # band-limited, so no filter is needed
        assert np.std(actual - expected) < 0.02 * np.std(expected)


def test_audio_and_label_agree(recorded: Path) -> None:
    """The delays between microphones agree with the positions: nothing is shifted."""
    take = reader.read_take(recorded / "raw", "music1", ReadOptions())
    heard = alignment.Sound(take.audio, take.mics, take.time_s, take.track, 343.0)
    fit = heard.fit(np.array([-0.1, 0.0, 0.1])).coherence
    assert fit[1] > 0.7
    assert max(fit[0], fit[2]) < 0.4


def test_silent_frames_are_dropped_and_counted(raw: Path) -> None:
    for number in range(1, 13):
        path = track_file(raw, number)
        samples, _ = soundfile.read(path)
        samples[int(1.3 * miniature.RATE) :] *= 1e-3
        rewrite(path, samples)
    read = dataset(raw).recorded("music1")
    assert read.meta["frames_silent"] > 10
    assert read.table["time_s"].max() < 1.3 + 0.064
    assert len(dataset(raw, silence_db=90.0).recorded("music1")) > len(read)


# The extension


def test_extension_uses_the_twelfth_microphone(recorded: Path) -> None:
    made = dataset(recorded / "raw", sim_share=2.0)
    scenes = made.scenes("music1_sim", {})
    take = reader.read_take(recorded / "raw", "music1", ReadOptions())
    assert len(scenes) == 2 * len(made.grid("music1", take.audio.shape[1])[0])
    middle = slice(8000, 24000)
    assert np.corrcoef(scenes.dry[middle], take.source_audio[middle])[0, 1] > 0.99
    assert ((scenes.source >= SIM_WALL_M) & (scenes.source <= scenes.room - SIM_WALL_M)).all()
    assert distances(scenes.source, scenes.mics).min() >= SIM_MIC_M
    assert 0 <= scenes.t60_s.min() < 0.1
    assert 0.3 < scenes.t60_s.max() <= 0.4
    assert scenes.room.tolist() == [7, 8, 2]
    np.testing.assert_allclose(scenes.mics - scenes.origin, LUVIRA_MICS, atol=1e-4)


def test_twin_and_recordings_share_tracks_and_splits() -> None:
    twin, real = (datasets.create(name) for name in ("luvira_twin", "luvira"))
    assert twin.tracks() == real.tracks()
    assert twin.splits() == real.splits()
    assert real.splits()["3"].test == ("music3", "speech3")


def test_command_writes_frames_of_both_kinds(recorded: Path, tmp_path: Path, capsys) -> None:
    options = json.dumps({"options": SMALL | {"sim_share": 0.1, "sim_t60_high_s": 0.12}})
    command = ["simulate", "--dataset", "luvira", "--options", options]
    for track in ("music1", "music1_sim"):
        out = str(tmp_path / track)
        arguments = [*command, "--track", track, "--data", str(recorded / "raw"), "--out", out]
        assert cli.main(arguments) == 0
        stored = frames.load(out)
        assert np.isfinite(stored.source_position).all()
        assert stored.table["take"].unique().tolist() == ["music1"]
    assert re.search(
        r"cut luvira/music1: \d+ frames kept, 0 silent, \d+ without a label", stderr(capsys)
    )
    assert cli.main([*command, "--track", "music1", "--out", str(tmp_path / "x")]) == 2
    assert "needs --data FOLDER" in stderr(capsys)


def stderr(capsys) -> str:
    return capsys.readouterr().err


# Trajectories


def test_no_label_across_a_long_gap() -> None:
    time_s = np.arange(0, 5, 0.01)
    track = miniature.path_of(RAW, time_s)
    lost = np.zeros(len(time_s), bool)
    for first, last in ((0, 30), (100, 109), (200, 210), (300, 340), (470, 500)):
        lost[first:last] = True  # start, 0.10 s, 0.11 s, 0.41 s, end
    seen = np.where(lost[:, None], np.nan, track)
    at = np.arange(-0.2, 5.3, 0.001)
    position = trajectory.at(at, time_s, seen, max_gap_s=0.1)
    known = np.isfinite(position).all(axis=1)
    for first, last in ((-0.2, 0.3), (1.99, 2.1), (2.99, 3.4), (4.69, 5.3)):
        assert not known[(at > first + 1e-9) & (at < last - 1e-9)].any()
    assert known[(at > 0.3) & (at < 1.99)].all()
    assert np.linalg.norm(position - miniature.path_of(RAW, at), axis=1)[known].max() < 0.001
    wide = trajectory.at(at, time_s, seen, max_gap_s=0.5)
    assert np.isfinite(wide).all(axis=1)[(at > 0.31) & (at < 4.68)].all()


def test_position_of_the_loudspeaker_from_four_or_three_markers() -> None:
    time_s = np.arange(0, 3, 0.01)
    seen = miniature.markers(RAW, time_s)
    body = np.stack([seen[f"speaker{k}"] for k in range(1, 5)], axis=1)
    truth = miniature.path_of(RAW, time_s + miniature.OFFSET_S)
    body += np.random.default_rng(0).normal(0, 0.0001, body.shape)  # 0.1 mm
    for lost in range(4):
        body[50 * lost : 50 * lost + 40, lost] = np.nan
    body[200:210, [0, 2]] = np.nan
    body[220, 1] += [0, 0, 0.05]  # another object was taken for the marker
    position = trajectory.loudspeaker(body)
    known = np.isfinite(position).all(axis=1)
    assert np.flatnonzero(~known).tolist() == [*range(200, 210), 220]
    assert np.linalg.norm(position - truth, axis=1)[known].max() < 0.001


def test_microphone_is_a_median_and_one_marker_suffices() -> None:
    right = np.tile([1.0, 2.0, 3.0], (9, 1))
    left = right + np.array([0.03, 0, 0])
    right[:3], left[4] = np.nan, [9, 9, 9]
    np.testing.assert_allclose(trajectory.microphone(right, left), [1.015, 2, 3])
    np.testing.assert_allclose(trajectory.microphone(None, left), [1.03, 2, 3])
    assert np.isnan(trajectory.microphone(None, np.full((9, 3), np.nan))).all()


# Errors in the audio


def test_missing_track_of_the_loudspeaker(raw: Path) -> None:
    track_file(raw, 12).unlink()
    read = dataset(raw).recorded("music1")  # eleven of twelve: the source signal is unknown
    assert np.isnan(read.source_audio).all()
    assert "sound at the source is unknown" in read.meta["warnings"][0]
    with pytest.raises(InputError, match=r"'music1_sim' is simulated from Track 12\.wav"):
        dataset(raw).scenes("music1_sim", {})


def test_tracks_of_other_length_or_rate(raw: Path) -> None:
    path = track_file(raw, 7)
    samples, rate = soundfile.read(path)
    rewrite(path, samples[:-300])  # 3 ms: accepted
    read = dataset(raw).recorded("music1")
    assert "all cut to the shortest" in read.meta["warnings"][0]
    rewrite(path, samples[: -rate // 50])
    with pytest.raises(InputError, match=r"Track 7\.wav: 1\.980 s, but Track \d+\.wav has 2\.000"):
        dataset(raw).recorded("music1")
    rewrite(path, samples[::2], rate // 2)
    with pytest.raises(InputError, match=r"Track 7\.wav: 48000 Hz, expected 96000 Hz"):
        dataset(raw).recorded("music1")
    rewrite(path, np.stack([samples, samples], axis=1))
    with pytest.raises(InputError, match=r"Track 7\.wav: 2 channels, expected 1"):
        dataset(raw).recorded("music1")


def test_truncated_track(raw: Path) -> None:
    path = track_file(raw, 3)
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"Track 3\.wav: truncated, 9\d{4} of 192000 samples"):
        dataset(raw).recorded("music1")


def test_clipped_track(raw: Path) -> None:
    path = track_file(raw, 2)
    samples, _ = soundfile.read(path)
    loudest = np.abs(samples).max()
    rewrite(path, np.clip(samples * 1.2 / loudest, -1, 1))
    read = dataset(raw).recorded("music1")
    assert "clipped samples, share by track: {'Track 2.wav'" in read.meta["warnings"][0]
    rewrite(path, np.clip(samples * 20 / loudest, -1, 1))
    with pytest.raises(InputError, match=r"Track 2\.wav: clipped, \d+\.\d\d% of the samples"):
        dataset(raw).recorded("music1")
    assert len(dataset(raw, max_clipped_share=0.9).recorded("music1"))


def test_missing_and_duplicate_takes(raw: Path) -> None:
    with pytest.raises(InputError, match=r"no folder of take 'speech2' .*speech2/Track 1"):
        dataset(raw).recorded("speech2")
    hidden = raw / "__MACOSX" / RAW / "._Track 1.wav"  # some archives have such
    hidden.parent.mkdir(parents=True)
    hidden.touch()
    assert len(dataset(raw).recorded("music1"))
    shutil.copytree(raw / "Audio_only" / RAW, raw / "again" / "music_1", symlinks=True)
    with pytest.raises(InputError, match="take 'music1' is there twice"):
        dataset(raw).recorded("music1")
    with pytest.raises(InputError, match="nowhere: no such folder"):
        dataset(raw / "nowhere").recorded("music1")


# Errors in the synchronisation


def test_missing_sync_is_a_warning_and_can_be_given_or_searched(raw: Path) -> None:
    (raw / "Audio_only" / RAW / "Sync.wav").unlink()
    blind = reader.read_take(raw, "music1", ReadOptions())
    assert re.search(r"no start signal; by the sound, .* begins at 0\.37\d s", blind.warnings[0])
    given = {"music0001": miniature.OFFSET_S}
    for options in (ReadOptions(), ReadOptions(sync_offset_s=given), ReadOptions("search")):
        take = reader.read_take(raw, "music1", options)
        assert take.warnings == (blind.warnings if options == ReadOptions() else [])
        assert take.meta["sync_offset_s"] == pytest.approx(miniature.OFFSET_S, abs=0.006)


@pytest.mark.parametrize("options", [ReadOptions("none"), ReadOptions(sync_offset_s={"music1": 0})])
def test_what_the_user_says_stands_with_a_warning(raw: Path, options: ReadOptions) -> None:
    take = reader.read_take(raw, "music1", options)
    assert take.meta["sync_offset_s"] == 0
    assert re.search(r"begin at 0\.000 s .*fit better at 0\.37", take.warnings[0])


def test_sync_without_a_pulse_is_a_warning(raw: Path) -> None:
    rewrite(raw / "Audio_only" / RAW / "Sync.wav", np.zeros(2 * miniature.RATE))
    take = reader.read_take(raw, "music1", ReadOptions())
    assert "no start signal" in take.warnings[0]
    assert take.meta["sync"] == "search"


def test_pulse_of_either_sign_on_any_level() -> None:
    signal = np.full(9600, 0.1)
    signal[3000:3500] = -0.6
    assert alignment.pulse(signal, 96000) == pytest.approx(3000 / 96000)
    assert alignment.pulse(np.full(100, 0.3), 96000) is None


# Errors in the ground truth


def spoil_time(lines: list[list[str]]) -> None:
    lines[HEAD + 30][1] = lines[HEAD + 28][1]


def spoil_cell(lines: list[list[str]]) -> None:
    lines[HEAD + 30][LOUDSPEAKER] = "12,5"


def to_metres(lines: list[list[str]]) -> None:
    for line in lines[HEAD:]:
        for k in range(3, len(line)):
            if line[k] != "Measured":
                line[k] = f"{float(line[k]) / 1000:.6f}"


def no_names(lines: list[list[str]]) -> None:
    del lines[12], lines[10]


def in_milliseconds(lines: list[list[str]]) -> None:
    for line in lines[HEAD:]:
        line[1] = f"{float(line[1]) * 10_000:.3f}"


def without(name: str):
    def spoil(lines: list[list[str]]) -> None:
        at = lines[10].index(name)
        del lines[10][at], lines[11][at]
        for line in lines[HEAD - 1 :]:
            del line[3 + 4 * (at - 1) : 3 + 4 * at]

    return spoil


def cut_in_two(lines: list[list[str]]) -> None:
    del lines[HEAD + 60 :]


def mostly_lost(lines: list[list[str]]) -> None:
    for line in lines[HEAD + 40 :]:
        line[LOUDSPEAKER:] = ["0.000", "0.000", "0.000", "Measured"] * 4


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_time, rf"line {HEAD + 31}: time 0\.28 s after 0\.29 s, expected time stamps that"),
        (spoil_cell, rf"line {HEAD + 31}, cell {LOUDSPEAKER + 1}: '12,5', expected a number"),
        (to_metres, r"microphones 0\.006\d* m apart.*millimetres taken for metres"),
        (without("speaker2"), "3 markers of the loudspeaker, expected speaker1..speaker4"),
        (cut_in_two, "60 moments, but NO_OF_FRAMES is 163"),
        (mostly_lost, r"missing in \d+% of the moments, expected 50 % at most"),
        (no_names, "neither MARKER_NAMES nor columns such as 'mic01R X' above the data"),
        (in_milliseconds, r"positions over 16\d\d\d s, expected 3600 s at most"),
        (lambda lines: lines[12].__setitem__(7, "mic1 X"), r"no column 'mic01L X'"),
        (
            lambda lines: lines[HEAD + 9].__delitem__(slice(40, None)),
            rf"line {HEAD + 10}: 40 cells",
        ),
    ],
)
def test_errors_in_the_capture_are_named(raw: Path, spoil, words: str) -> None:
    lines = lines_of(tsv(raw))
    spoil(lines)
    write_lines(tsv(raw), lines)
    with pytest.raises(InputError, match=words) as caught:
        dataset(raw).recorded("music1")
    assert str(tsv(raw)) in str(caught.value)


def test_missing_capture(raw: Path) -> None:
    tsv(raw).unlink()
    with pytest.raises(InputError, match=r"expected one ground truth music0001\.tsv below"):
        dataset(raw).recorded("music1")


@pytest.mark.parametrize("name", ["mic07R", "mic07L"])
def test_missing_marker_is_replaced(raw: Path, name: str) -> None:
    lines = lines_of(tsv(raw))
    without(name)(lines)
    write_lines(tsv(raw), lines)
    read = dataset(raw).recorded("music1")
    assert "one marker of microphone 7 was never seen" in read.meta["warnings"][0]
    assert np.linalg.norm(read.mic_positions - LUVIRA_MICS, axis=1).max() < 0.016
    lines = lines_of(tsv(raw))
    without("mic07L" if name == "mic07R" else "mic07R")(lines)
    write_lines(tsv(raw), lines)
    read = dataset(raw).recorded("music1")
    assert "microphone 7 was never seen; its published position" in read.meta["warnings"][0]
    np.testing.assert_allclose(read.mic_positions, LUVIRA_MICS, atol=1e-4)


def test_microphone_far_from_its_published_position_is_a_warning(raw: Path) -> None:
    lines = lines_of(tsv(raw))
    for line in lines[HEAD:]:
        for column in (3, 7):  # both markers of microphone 1, x
            line[column] = f"{float(line[column]) + 400:.3f}"
    write_lines(tsv(raw), lines)
    take = reader.read_take(raw, "music1", ReadOptions())
    assert "microphone 1 is 0.40 m from its published position" in take.warnings[0]


def test_gaps_at_start_middle_and_end_get_no_label(raw: Path) -> None:
    lines = lines_of(tsv(raw))
    for row in (*range(8), *range(90, 104), *range(150, 163)):
        lines[HEAD + row][LOUDSPEAKER:] = ["0.000", "0.000", "0.000", "Measured"] * 4
    write_lines(tsv(raw), lines)
    read = dataset(raw, hop=64).recorded("music1")
    time_s = read.table["time_s"].to_numpy() - miniature.OFFSET_S
    for first, last in ((-9, 0.08), (0.5, 0.79), (0.9, 1.03), (1.5, 9)):
        assert not ((time_s > first) & (time_s < last)).any()
    truth = miniature.path_of(RAW, time_s + miniature.OFFSET_S)
    assert np.linalg.norm(read.source_position - truth, axis=1).max() < 0.001


def test_unreadable_lines_at_both_ends_are_dropped(raw: Path) -> None:
    lines = lines_of(tsv(raw))
    lines[HEAD][5] = "#####"
    lines[-1] = lines[-1][:50]
    write_lines(tsv(raw), lines)
    capture = qualisys.read(tsv(raw))
    assert len(capture.time_s) == 161
    assert capture.time_s[0] == 0.01
    assert len(capture.warnings) == 2


def test_export_without_column_names(raw: Path) -> None:
    whole = qualisys.read(tsv(raw))
    lines = lines_of(tsv(raw))
    names = lines[12]
    plain = [k for k, name in enumerate(names) if name[-2:] in (" X", " Y", " Z")]
    write_lines(tsv(raw), lines[:12] + [[line[k] for k in plain] for line in lines[HEAD:]])
    plain_capture = qualisys.read(tsv(raw))
    np.testing.assert_allclose(plain_capture.time_s, whole.time_s)
    for name, place in whole.markers.items():
        np.testing.assert_array_equal(plain_capture.markers[name], place)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("speaker_z", "speaker_height"), "no column 'speaker_z'"),
        (("0.010,", "0.000,"), r"line 3: time 0 s after 0 s"),
        (("0.020,", "0.02o,"), r"line 4, time: '0\.02o', expected a number"),
    ],
)
def test_errors_in_the_converted_layout(converted: Path, change, words: str) -> None:
    path = next(converted.rglob("gt_positions.csv"))
    text = (
        path.read_text()
        .replace("\n" + change[0], "\n" + change[1])
        .replace("," + change[0], "," + change[1], 1 if change[0].startswith("speaker") else 0)
    )
    path.unlink()
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        dataset(converted).recorded("music1")


def test_millimetres_in_the_converted_layout(converted: Path) -> None:
    path = next(converted.rglob("gt_positions.csv"))
    header, *lines = path.read_text().splitlines()
    rows = [line.split(",") for line in lines]
    scaled = [[row[0], *(str(1000 * float(cell)) for cell in row[1:])] for row in rows]
    path.unlink()
    path.write_text("\n".join([header, *map(",".join, scaled)]) + "\n")
    with pytest.raises(InputError, match=r"microphones 60\d\d m apart.*millimetres"):
        dataset(converted).recorded("music1")


def test_info_of_the_converted_layout(converted: Path) -> None:
    path = next(converted.rglob("info.json"))
    path.unlink()
    path.write_text(json.dumps({"sampling_rate": 48000, "number_of_mics": 12}))
    read = dataset(converted).recorded("music1")
    assert "sampling_rate 48000 Hz, but the tracks have 96000 Hz" in read.meta["warnings"][0]
    for text, words in (
        ('{"sampling_rate": 96000}', "'number_of_mics' is missing"),
        ('{"sampling_rate": 96000, "number_of_mics": 7}', "has 11 microphones"),
        ("{", "not readable as JSON"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            dataset(converted).recorded("music1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sync": "guess"}, "options.sync: 'guess', expected one of pulse, search, none"),
        ({"sync_offset_s": {"music1": float("nan")}}, "sync_offset_s.music1: nan, expected"),
        ({"sync_offset_s": 0.3}, "sync_offset_s: 0.3, expected seconds by take"),
        ({"sync_offset_s": {"music9": 1.0}}, "sync_offset_s: no take 'music9' in luvira"),
        ({"temperature_c": {"all": 400}}, "temperature_c.all: 400, expected a number from 0 to 40"),
        ({"temperature_log": "nowhere.csv"}, r"nowhere\.csv: no such temperature log, here or in"),
        ({"max_gap_s": 0}, "max_gap_s: 0, expected a number above 0"),
        ({"margin": -1}, "margin: -1, expected a number from 0 to 1,000,000 samples"),
        ({"margin": 20000}, "take 'music1': 2.000 s, shorter than one frame"),
        ({"room": [3.0, 3.0, 2.0]}, "smaller than the array|has no place"),
    ],
)
def test_errors_in_options_are_named(recorded: Path, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dataset(recorded / "raw", **options).scenes("music1_sim", {})
