"""Events from Audacity, Raven and the sound itself; positions for these programs and for a map."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from recordings.test_microphones import write_globe

from helpers.recordings import MICS, RATE, dry_sound, heard, locate, write_mics, write_sound
from wavloc import audio
from wavloc.errors import InputError
from wavloc.recordings import events, outputs

AUDACITY = "0.200000\t0.350000\tlow\n\\\t300.0\t1500.0\n0.200000\t0.350000\thigh\n\\\t3000\t-1\n"
RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tNote\n"
    "1\tWaveform 1\t1\t0.2\t0.35\t300\t1500\ta\n"
    "1\tSpectrogram 1\t1\t0.2\t0.35\t300\t1500\ta\n"
    "2\tSpectrogram 1\t1\t0,2\t0,35\t3000\t8000\tb\n"
)
LOW, HIGH = np.array([1.0, 3.5, 1.2]), np.array([4.6, 1.3, 1.5])


@pytest.fixture(scope="module")
def duet() -> np.ndarray:
    """0.6 s: from 0.2 to 0.35 s one source sounds below 2 kHz and another one above."""
    sounds = []
    for seed, (source, high) in enumerate(((LOW, False), (HIGH, True))):
        dry = dry_sound(0.6, seed)
        low_part = dry - audio.highpass(dry, 2000, RATE)
        dry = audio.highpass(dry, 2500, RATE) if high else low_part
        dry[: int(0.2 * RATE)] = dry[int(0.35 * RATE) :] = 0
        sounds.append(heard(dry, MICS, source))
    noise = 1e-3 * np.random.default_rng(9).standard_normal(sounds[0].shape)
    return (sounds[0] + sounds[1] + noise).astype(np.float32)


@pytest.fixture
def folder(tmp_path, duet):
    write_mics(tmp_path / "mics.csv", MICS)
    write_sound(tmp_path / "r.wav", duet)
    return tmp_path


@pytest.mark.parametrize("labels", [AUDACITY, RAVEN], ids=["audacity", "raven"])
def test_each_event_is_located_in_its_band(folder, labels: str) -> None:
    (folder / "labels.txt").write_text(labels)
    table = locate(folder, "--events", folder / "labels.txt")
    assert list(table.columns[:5]) == ["begin_s", "end_s", "low_hz", "high_hz", "label"]
    assert len(table) == 2
    found = table[["x", "y", "z"]].to_numpy()
    assert np.linalg.norm(found - [LOW, HIGH], axis=1).max() < 0.05


def test_events_are_detected(folder) -> None:
    table = locate(folder, "--detect")
    assert len(table) == 1
    assert table["begin_s"][0] == pytest.approx(0.2, abs=0.07)
    assert table["end_s"][0] == pytest.approx(0.36, abs=0.07)
    assert table["label"][0] == "event 1"


def test_what_is_heard_nowhere_is_said(folder, capsys) -> None:
    (folder / "labels.txt").write_text("7\t8\ttoo late\n")
    with pytest.raises(AssertionError, match="exit code 2"):
        locate(folder, "--events", folder / "labels.txt")
    assert "event from 7.000 to 8.000 s, expected one between 0.000" in capsys.readouterr().err
    with pytest.raises(AssertionError, match="exit code 2"):
        locate(folder, "--detect", "150")
    assert "no sound is 150 dB over the floor" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no events"),
        ("1.0 2.0 label\n", "line 1: '1.0 2.0 label', expected begin, end and label between tabs"),
        ("2\t1\tx\n", "line 1: from 2.0 to 1.0 s, expected begin < end"),
        ("1\tlater\tx\n", "line 1: 'later', expected a number"),
        ("1\t2\tx\n\\\t900\t800\n", "line 1: from 900 to 800 Hz, expected low < high"),
        ("1\t2\tx\n\\\t9000\t-1\n", "line 1: from 9000 Hz on, expected less than 8000 Hz"),
        ("Selection\tBegin Time (s)\n1\t2\n", "line 2: no Begin"),
    ],
)
def test_what_is_no_list_of_events_is_one_line(tmp_path, text: str, words: str) -> None:
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(InputError, match=words):
        events.read(tmp_path / "labels.txt")


def test_labels_and_selections_can_be_read_again(folder) -> None:
    (folder / "labels.txt").write_text(AUDACITY)
    expected = events.read(folder / "labels.txt")
    for name in ("out.txt", "out.selections.txt"):
        locate(folder, "--events", folder / "labels.txt")
        table = pd.read_csv(folder / "positions.csv")
        chosen = outputs.format_of(folder / name, None, False)
        outputs.write(folder / name, table, chosen)
        again = events.read(folder / name)
        bounds = [(e.begin_s, e.end_s, e.low_hz, e.high_hz) for e in again]
        assert bounds == [(e.begin_s, e.end_s, e.low_hz, e.high_hz) for e in expected]
    assert "low: 1.0" in (folder / "out.txt").read_text()
    selections = pd.read_csv(folder / "out.selections.txt", sep="\t")
    assert np.allclose(selections[["x (m)", "y (m)", "z (m)"]], [LOW, HIGH], atol=0.05)
    assert selections["Annotation"].tolist() == ["low", "high"]


def test_positions_over_time_as_labels(tmp_path) -> None:
    table = pd.DataFrame(
        {"time_s": [0.1, 0.2], "x": [1.0, np.nan], "y": [2.0, np.nan], "z": [0.5, np.nan]}
    )
    table["status"] = ["low_support", "silent"]
    assert outputs.audacity(table) == (
        "0.050000\t0.150000\t1.00 2.00 0.50 (low_support)\n0.150000\t0.250000\tsilent\n"
    )


def test_geojson_is_a_map(tmp_path, duet, capsys) -> None:
    pytest.importorskip("pyproj")
    write_mics(tmp_path / "mics.csv", MICS)
    write_sound(tmp_path / "r.wav", duet)
    (tmp_path / "labels.txt").write_text(AUDACITY)
    given = ("--events", tmp_path / "labels.txt", "--format", "geojson")
    with pytest.raises(AssertionError, match="exit code 2"):
        locate(tmp_path, *given)
    assert "GeoJSON needs latitudes" in capsys.readouterr().err
    plane = write_globe(tmp_path / "mics.csv", MICS)
    table = locate(tmp_path, *given[:2])
    outputs.write(tmp_path / "map.geojson", table, "geojson")
    features = json.loads((tmp_path / "map.geojson").read_text())["features"]
    points = np.array([feature["geometry"]["coordinates"] for feature in features])
    assert np.linalg.norm(plane.metres(points[:, [1, 0, 2]]) - [LOW, HIGH], axis=1).max() < 0.05
    assert features[0]["properties"]["label"] == "low"
    assert features[0]["properties"]["status"] == "ok"
