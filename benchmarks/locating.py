"""How fast recordings are located and checked on one core, in how much memory, and how late a
position of a stream comes.

    python benchmarks/locating.py [--parts locate check stream hours] [--mics 6 11] [--json OUT]

A voice that changes its place twice a second in a simulated room (T60 0.3 s), among six microphones
or the eleven of LuViRA. All times but `late` are CPU seconds of one core, so that they mean
something beside other work too; speed is seconds of sound a CPU second, 5 is five times real time.

locate: WAV file to table, as `wavloc locate`, the room known or not, without the check.
check:  what `wavloc locate` looks at first (20 s at most), and `wavloc check` of all (8 channels).
stream: samples as raw as a sound card gives them, as fast as they sound, to `wavloc locate --audio
        -`; late: seconds from the last sample of a frame to its line. No more than 0.3 on a free
        core; CPU seconds a line must be below the hop.
hours:  two hours of 8 channels, a sparse WAV file, silent but for six seconds: peak memory in MiB,
        which may be no more than 2,048.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one core

import numpy as np
import pandas as pd
import soundfile
import torch
from measuring import add_output, canvas, finish, input_errors, peak_mb

import wavloc
from wavloc import checking
from wavloc.audio import SAMPLE_RATE
from wavloc.geometry import LUVIRA_MICS
from wavloc.recordings.locating import CHECKED_S, CHECKED_WINDOWS
from wavloc.reporting.style import save

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.recordings import MICS, dry_sound, heard, write_mics, write_sparse
from helpers.spoken import ROOM, SIX, recording, speech

LUVIRA_ROOM = (7.0, 8.0, 2.0)
ARRAYS = {6: (SIX, ROOM), 8: (MICS, ROOM), 11: (LUVIRA_MICS + np.array([3.6, 4.2, 0]), LUVIRA_ROOM)}
HOP_S, WINDOW_S = 0.064, 0.128  # of `wavloc locate`
PIECE_S = 0.016  # of sound that a sound card gives at once
BEFORE_S = 0.4  # of sound that is there at the start
Row = dict[str, Any]


def row(metric: str, mics: int, sound_s: float, value: float, unit: str) -> Row:
    return {"metric": metric, "mics": mics, "sound_s": sound_s, "value": value, "unit": unit}


def spent(function: Any, *given: Any, **options: Any) -> tuple[float, Any]:
    """CPU seconds of a call, and what it returned."""
    started = time.process_time()
    result = function(*given, **options)
    return time.process_time() - started, result


def located(mics: int, seconds: float, folder: Path) -> Iterator[Row]:
    """Speed of `wavloc.locate`, which has located a second of it before."""
    places, room = ARRAYS[mics]
    sound = recording(speech(seconds), places, room, t60_s=0.3)
    path = folder / "voice.wav"
    soundfile.write(path, sound.T, SAMPLE_RATE)
    for name, volume in (("room known", room), ("default volume", None)):
        about = {"room": volume, "check": False}
        wavloc.locate(sound[:, :SAMPLE_RATE], places, SAMPLE_RATE, **about)
        used, found = spent(wavloc.locate, path, places, **about)
        yield row(f"locate, {name}: speed", mics, seconds, seconds / used, "x real time")
        quiet = int((found.table["status"] == "silent").sum())
        each = 1e3 * used / (len(found.table) - quiet)
        yield row(f"locate, {name}: a frame", mics, seconds, each, "CPU ms")


def checked(seconds: float) -> Iterator[Row]:
    """CPU seconds of a check: of what `wavloc locate` looks at, and of all of a recording."""
    for mics, length, name in ((11, CHECKED_S, "excerpt"), (8, seconds, "all")):
        places, room = ARRAYS[mics]
        sound = recording(speech(length), places, room, step_s=2.0, t60_s=0.3)
        most = {"most_windows": CHECKED_WINDOWS} if name == "excerpt" else {}
        used, _ = spent(
            checking.check,
            sound,
            SAMPLE_RATE,
            places,
            [str(k) for k in range(mics)],
            **most,
        )
        yield row(f"check, {name}", mics, length, used, "CPU s")


def _arrivals(lines: Iterable[bytes], came: list[float]) -> None:
    for _ in lines:
        came.append(time.monotonic())


def streamed(mics: int, seconds: float, folder: Path) -> Iterator[Row]:
    """How late lines of ``wavloc locate --audio -`` come, and the CPU seconds that they take."""
    places, room = ARRAYS[mics]
    sound = recording(speech(seconds), places, room, t60_s=0.3)
    raw = np.ascontiguousarray((sound.T * 32767).astype("<i2"))
    listed = write_mics(folder / "mics.csv", places)
    given = f"locate --mics {listed} --audio - --pcm {SAMPLE_RATE}:s16 --out - --room".split()
    call = [sys.executable, "-c", "import sys; from wavloc.cli import main; sys.exit(main())"]
    program = subprocess.Popen(
        [*call, *given, *map(str, room)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert program.stdin
    assert program.stdout
    came: list[float] = []
    reader = threading.Thread(target=_arrivals, args=(program.stdout, came))
    reader.start()
    size, before = round(PIECE_S * SAMPLE_RATE), round(BEFORE_S * SAMPLE_RATE)
    program.stdin.write(raw[:before].tobytes())  # while it loads what it needs
    program.stdin.flush()
    while not came:
        time.sleep(0.1)
    begin = time.monotonic() + 1.0
    for number, start in enumerate(range(before, len(raw), size), 1):
        time.sleep(max(0.0, begin + number * PIECE_S - time.monotonic()))
        program.stdin.write(raw[start : start + size].tobytes())
        program.stdin.flush()
    program.stdin.close()
    reader.join()
    _, _, usage = os.wait4(program.pid, 0)
    frames = np.arange(len(came) - 1)  # the first line is the header
    due = begin + frames * HOP_S + WINDOW_S - BEFORE_S
    late = (np.array(came[1:]) - due)[due > begin]
    for name, value in (("median", np.median(late)), ("99 %", np.percentile(late, 99))):
        yield row(f"stream, late, {name}", mics, seconds, float(value), "s")
    each = (usage.ru_utime + usage.ru_stime) / len(frames)
    yield row("stream: a line, with its share of the start", mics, seconds, each, "CPU s")


def hours_of(hours: float, folder: Path) -> None:
    """Locate hours of 8 channels with the default method, sound at the begin, middle and end."""
    path, listed = folder / "hours.wav", write_mics(folder / "mics.csv", MICS)
    sound = heard(dry_sound(2.0), MICS, np.array([2.0, 3.0, 1.0]))
    seconds = 3600 * hours
    write_sparse(path, sound, seconds, (1.0, seconds / 2, seconds - 3))
    found = wavloc.locate(path, listed, room=ROOM).table
    print(found["status"].value_counts().to_dict())


def plot(rows: pd.DataFrame, stem: Path) -> None:
    """Speeds as bars, with the bound."""
    figure, axes = canvas(1, 6)
    part = rows[rows["unit"] == "x real time"]
    labels = part["metric"].str.removesuffix(": speed") + ", " + part["mics"].astype(str) + " mics"
    axes[0, 0].bar(labels, part["value"], color="#0072B2")
    axes[0, 0].axhline(5, color="#000000", lw=0.8)
    axes[0, 0].set(ylabel="seconds of sound a CPU second")
    axes[0, 0].tick_params(axis="x", labelsize=6)
    save(figure, stem)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = ("locate", "check", "stream", "hours")
    parser.add_argument("--parts", nargs="+", choices=kinds, default=list(kinds))
    parser.add_argument("--mics", type=int, nargs="+", choices=sorted(ARRAYS), default=[6, 11])
    parser.add_argument("--seconds", type=float, default=20.0, help="of what is located")
    parser.add_argument("--hours", type=float, default=2.0, help="of the long recording")
    parser.add_argument("--check-seconds", type=float, default=300.0)
    add_output(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name, input_errors():
        folder = Path(name)
        for mics in args.mics:
            if "locate" in args.parts:
                rows += located(mics, args.seconds, folder)
            if "stream" in args.parts:
                rows += streamed(mics, args.seconds, folder)
        if "check" in args.parts:
            rows += checked(args.check_seconds)
        if "hours" in args.parts:
            peak = peak_mb(hours_of, args.hours, folder)
            rows.append(row("long recording: peak memory", 8, 3600 * args.hours, peak, "MiB"))
    finish(rows, args, "locating", plot)


if __name__ == "__main__":
    sys.exit(main())
