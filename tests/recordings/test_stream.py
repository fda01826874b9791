"""Sound from a pipe: a line per position as it comes."""

from __future__ import annotations

import io
import os
import threading
import time

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers.recordings import (
    MICS,
    RATE,
    SPEED,
    dry_sound,
    errors_m,
    heard,
    locate,
    write_mics,
    write_sound,
)
from wavloc import cli
from wavloc.methods import registry
from wavloc.recordings import positions, stream, volume

SOURCE = np.array([2.0, 3.0, 1.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    write_mics(folder / "mics.csv", MICS)
    write_sound(folder / "r.wav", heard(dry_sound(1.2), MICS, SOURCE))
    return folder


@pytest.fixture
def piped(folder, monkeypatch, capfd):
    """``wavloc locate --audio -`` with bytes on standard input: exit code, output, messages."""

    def run(sent: bytes, *more: str) -> tuple[int, str, str]:
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as pipe, os.fdopen(reading) as stdin:

            def write() -> None:
                pipe.write(sent)
                pipe.close()

            writer = threading.Thread(target=write)
            monkeypatch.setattr("sys.stdin", stdin)
            writer.start()
            given = f"locate --method srp_phat --audio - --mics {folder}/mics.csv".split()
            code = cli.main([*given, *more])
            writer.join()
        return code, *capfd.readouterr()

    return run


def content(folder, subtype: str, suffix: str = "WAV") -> bytes:
    sound, _ = soundfile.read(folder / "r.wav", dtype="float32")
    file = io.BytesIO()
    form = {"WAV": "WAV", "WAVEX": "WAVEX", "RAW": "RAW"}[suffix]
    soundfile.write(file, sound, RATE, subtype, format=form, endian="LITTLE")
    return file.getvalue()


@pytest.mark.parametrize(
    ("subtype", "form", "more"),
    [
        ("FLOAT", "WAV", ()),
        ("PCM_24", "WAVEX", ()),
        ("PCM_16", "RAW", ("--pcm", "16000:s16")),
        ("PCM_32", "RAW", ("--pcm", "16000:s32")),
    ],
)
def test_a_stream_is_located_like_a_file(folder, piped, subtype: str, form: str, more) -> None:
    code, shown, said = piped(content(folder, subtype, form), "--out", "-", *more)
    assert code == 0
    table = pd.read_csv(io.StringIO(shown))
    assert f"the sound ended; {len(table)} positions" in said
    assert len(table) == 17
    assert table["time_s"].iloc[[0, -1]].tolist() == [0.064, 1.088]
    assert errors_m(table, SOURCE).max() < 0.02
    if subtype == "FLOAT":
        whole = locate(folder)
        assert np.allclose(table[["x", "y", "z"]], whole[["x", "y", "z"]], atol=1e-3)


@pytest.mark.parametrize("name", ["srp_phat", "steered"])
def test_lines_come_while_the_source_still_sounds(folder, monkeypatch, name: str) -> None:
    """Half of the sound, then a pause: what was heard is located, a stall is said, then an end."""
    sent = content(folder, "PCM_16", "RAW")
    half = len(sent) // 2 // 16 * 16
    reading, writing = os.pipe()
    monkeypatch.setattr(stream, "STALL_S", 0.2)

    def stalled() -> None:
        said.append(len(found))
        os.write(writing, sent[half : half + 60_000])

    said: list[int] = []
    found: list[pd.DataFrame] = []
    threading.Thread(target=os.write, args=(writing, sent[:half])).start()
    recording = stream.open_stream(reading, len(MICS), stream.kind("16000:s16"), stalled)
    method = registry.create(registry.named(name, None), 0)
    meta = volume.meta(volume.search_box(MICS))
    locator = positions.Locator(method, MICS, SPEED, meta, 2048)
    rows = positions.live(locator, recording, 0.064, 30.0)
    while not said or len(found) < said[0] + 4:
        begin = time.process_time()
        found.append(next(rows))
    assert time.process_time() - begin < 0.3  # of one core, for the last line
    assert said[0] == 8  # positions from the 0.6 s that came first
    os.close(writing)
    found += list(rows)
    os.close(reading)
    assert len(found) == 12
    assert errors_m(pd.concat(found), SOURCE).max() < 0.02


def test_a_file_grows_with_the_stream(folder, piped, tmp_path) -> None:
    code, shown, _ = piped(content(folder, "PCM_16")[:-5], "--out", f"{tmp_path}/new/p.csv")
    assert (code, shown) == (0, "")
    assert errors_m(pd.read_csv(tmp_path / "new" / "p.csv"), SOURCE).max() < 0.02


@pytest.mark.parametrize(
    ("sent", "more", "words"),
    [
        (b"", (), "ends in its header"),
        (b"fLaC" + bytes(100), (), "no WAV file, expected one, or --pcm"),
        (b"", ("--pcm", "s16"), "--pcm: 's16', expected RATE:FORMAT"),
        (b"", ("--plot", "t.png"), "--plot: needs files, not standard input"),
        (b"", ("--detect",), "--detect: needs files"),
        (b"\0\0\xc0\x7f" * 80, ("--pcm", "16000:f32"), "contains NaN"),
    ],
)
def test_what_is_no_sound_is_one_line(piped, sent: bytes, more, words: str) -> None:
    code, shown, said = piped(sent, "--out", "-", *more)
    assert code == 2
    assert words in said
    assert len(said.splitlines()) == 1
    assert shown == ""


def test_raw_samples_need_a_pipe(folder, tmp_path, capsys) -> None:
    given = f"locate --method srp_phat --mics {folder}/mics.csv --audio {folder}/r.wav"
    assert cli.main([*given.split(), "--pcm", "16000:s16", "--out", f"{tmp_path}/p.csv"]) == 2
    assert "--pcm: is for standard input" in capsys.readouterr().err


def test_silence_in_a_stream_is_located_by_nobody(folder, monkeypatch) -> None:
    """Silent rows have the columns of others, the first one too, and cost no prediction."""
    dry = np.concatenate([np.zeros(RATE // 2), dry_sound(0.5), np.zeros(RATE // 2)])
    sent = (heard(dry, MICS, SOURCE) * 32767).astype("<i2").tobytes()
    reading, writing = os.pipe()
    threading.Thread(target=lambda: (os.write(writing, sent), os.close(writing))).start()
    recording = stream.open_stream(reading, len(MICS), stream.kind("16000:s16"), lambda: None)
    method = registry.create(registry.named("srp_phat", None), 0)
    located: list[int] = []
    predict = method.predict
    monkeypatch.setattr(method, "predict", lambda frames: located.append(1) or predict(frames))
    meta = volume.meta(volume.search_box(MICS))
    rows = list(
        positions.live(positions.Locator(method, MICS, SPEED, meta, 2048), recording, 0.064, 30.0)
    )
    os.close(reading)
    table = pd.concat(rows)
    assert len({tuple(row) for row in rows}) == 1
    pause = (table["time_s"] < 0.4) | (table["time_s"] > 1.1)
    assert (table["status"][pause] == "silent").all()
    assert table["x"][pause].isna().all()
    assert len(located) == 1 + (table["status"] != "silent").sum()
    assert errors_m(table[table["status"] == "ok"], SOURCE).max() < 0.02
