"""Sound from a pipe: a line per position as it comes."""

from __future__ import annotations

import io
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers.recordings import (
    MICS,
    RATE,
    dry_sound,
    errors_m,
    heard,
    locate,
    write_mics,
    write_sound,
)
from wavloc import cli

SOURCE = np.array([2.0, 3.0, 1.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    write_mics(folder / "mics.csv", MICS)
    write_sound(folder / "r.wav", heard(dry_sound(1.2), MICS, SOURCE))
    return folder


def start(folder, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "wavloc.cli", "locate", "--method", "srp_phat", "--audio", "-"]
    command += ["--mics", str(folder / "mics.csv"), *more]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


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
def test_a_stream_is_located_like_a_file(folder, subtype: str, form: str, more) -> None:
    done = start(folder, "--out", "-", *more)
    shown, said = done.communicate(content(folder, subtype, form))
    assert done.returncode == 0, said
    table = pd.read_csv(io.BytesIO(shown))
    whole = locate(folder)
    assert np.allclose(table["time_s"], whole["time_s"])
    assert errors_m(table, SOURCE).max() < 0.02
    if subtype == "FLOAT":
        assert np.allclose(table[["x", "y", "z"]], whole[["x", "y", "z"]], atol=1e-3)
    assert f"the sound ended; {len(table)} positions" in said.decode()


def test_lines_come_while_the_source_still_sounds(folder) -> None:
    """Half of the sound, then a pause: what was heard is located, a stall is said, then an end."""
    sent = content(folder, "PCM_16", "RAW")
    half = len(sent) // 2 // 16 * 16
    running = start(folder, "--out", "-", "--pcm", "16000:s16")
    running.stdin.write(sent[:half])
    running.stdin.flush()
    lines = [running.stdout.readline().decode() for _ in range(7)]  # header and six positions
    assert lines[0].startswith("time_s,x,y,z,status")
    assert lines[6].startswith("0.3840,2.0")
    assert b"no sound for 2 s" in running.stderr.readline()
    running.stdin.write(sent[half:])
    running.stdin.flush()
    begin = time.perf_counter()
    running.stdout.readline()
    assert time.perf_counter() - begin < 5  # 0.3 s on a machine that does nothing else
    rest, _ = running.communicate()
    assert len(rest.splitlines()) == 16 - 7
    assert running.returncode == 0


def test_a_file_grows_with_the_stream(folder, tmp_path) -> None:
    done = start(folder, "--out", str(tmp_path / "p.csv"))
    done.communicate(content(folder, "PCM_16")[:-5])
    assert done.returncode == 0
    assert errors_m(pd.read_csv(tmp_path / "p.csv"), SOURCE).max() < 0.02


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
def test_what_is_no_sound_is_one_line(folder, tmp_path, sent: bytes, more, words: str) -> None:
    done = start(folder, "--out", "-", *more)
    _, said = done.communicate(sent)
    assert done.returncode == 2
    assert words in said.decode()


def test_raw_samples_need_a_pipe(folder, tmp_path, capsys) -> None:
    given = f"locate --method srp_phat --mics {folder}/mics.csv --audio {folder}/r.wav"
    assert cli.main([*given.split(), "--pcm", "16000:s16", "--out", f"{tmp_path}/p.csv"]) == 2
    assert "--pcm: is for standard input" in capsys.readouterr().err
