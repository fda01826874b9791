"""The command that locates sources in a recording."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wavloc import files
from wavloc.cli.common import Command, Parser, asked, check_plot, method_of, say
from wavloc.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from wavloc.recordings.locating import Asked
    from wavloc.recordings.microphones import Microphones
    from wavloc.recordings.positions import Locator

FORMATS = ("csv", "audacity", "raven", "geojson")
STDIN = Path("-")


def register(command: Command) -> None:
    """Add the command and its arguments."""
    add = command("locate", _locate, "positions over time from a recording")
    add.method("steered")
    text = "csv: name,x,y,z in metres or name,lat,lon,alt; start_s where recordings begin apart"
    add.path("--mics", text, required=True)
    add.add_argument("--units", choices=("m", "cm", "mm", "ft"), default="m", help="of x, y, z (m)")
    text = "one multichannel WAV/FLAC, or one file <name>.wav per microphone; - for standard input"
    add.paths("--audio", text, required=True)
    text = "standard input is raw samples, little-endian: 48000:s16, or s24, s32, f32"
    add.add_argument("--pcm", metavar="RATE:FORMAT", help=text)
    text = (
        "csv: time_s,x,y,z,status; sigma_x,y,z: standard deviations, m, of methods that have them"
    )
    text += "; or .txt (Audacity labels), .selections.txt (Raven), .geojson"
    add.out(text, to_stdout=True)
    add.add_argument("--format", choices=FORMATS, help="of --out (by its name)")
    add.path("--plot", "also draw the track (.png, .pdf or .svg)")
    add.path("--html", "also write one page with pictures and the table (.html)")
    text = "probability of being within 30 cm below which a position is `uncertain` (0.6)"
    add.number("--min-confidence", text, asked("min_confidence"))
    text = "do not look for faults of the recording first (see `wavloc check`)"
    add.add_argument("--no-check", dest="check", action="store_false", help=text)
    _where(add)
    _when(add)
    _sound(add)


def _where(add: Parser) -> None:
    """Arguments of the search volume."""
    text = "search in a room of this size, m (default: some way around the microphones)"
    add.numbers("--room", ("X", "Y", "Z"), text, asked("room"))
    text = "where the room begins in the coordinates of the microphones, m (0 0 0)"
    add.numbers("--corner", ("X", "Y", "Z"), text, asked("corner"))
    form = ("XMIN", "YMIN", "ZMIN", "XMAX", "YMAX", "ZMAX")
    add.numbers("--box", form, "search in this box, m", asked("box"))
    text = "sources are at this height (or x, y), m: three microphones are enough"
    add.add_argument("--plane", metavar="z=HEIGHT", help=text)


def _when(add: Parser) -> None:
    """Arguments of time."""
    add.number("--hop", "seconds between positions (0.064)", asked("hop"), default=0.064)
    text = "seconds of sound per position (0.128, or more for wide arrays)"
    add.number("--window", text, asked("window"))
    text = "follow sources: what all frames say together, with speeds (steered)"
    add.add_argument("--track", action="store_true", help=text)
    text = "with --track: gaps of up to so long get positions, as `bridged` (0)"
    add.number("--bridge", text, asked("bridge"), default=0.0)
    text = "Audacity labels or a Raven selection table: a position for each, in its band"
    add.path("--events", text)
    text = "events are what is so many dB over the floor (10)"
    add.number("--detect", text, asked("detect"), nargs="?", const=10.0)
    add.path("--starts", "csv: name,start_s, seconds at which each recording begins")
    text = "find out by how much recordings begin apart, from a source that moves"
    add.add_argument("--estimate-offsets", action="store_true", help=text)
    text = "as --estimate-offsets, and how much faster or slower each clock runs"
    add.add_argument("--estimate-drift", action="store_true", help=text)


def _sound(add: Parser) -> None:
    """Arguments of sound."""
    text = "m/s, 300 to 370 in air (343)"
    add.number("--speed-of-sound", text, asked("speed_of_sound"))
    add.number("--temperature", "of the air, for the speed of sound", asked("temperature"))
    text = "allow a speed of sound that is not that of air"
    add.add_argument("--other-medium", action="store_true", help=text)
    add.number("--silence-db", "dB under the loud frames (30)", asked("silence_db"), default=30.0)


def _locate(args: argparse.Namespace) -> None:
    from wavloc.recordings import locating, outputs, sound

    _check_usage(args)
    said: list[str] = []

    def tell(line: str) -> None:
        said.append(line.removeprefix("warning: "))
        say(f"locate: {line}")

    wanted = _what(args)
    array = _microphones(args)
    form = outputs.format_of(args.out, args.format, array.plane is not None)
    locator = locating.locator(method_of(args), array, wanted, args.model is not None, tell)
    if args.audio == [STDIN]:
        _live(args, array, locator)
        return
    recording = sound.open_files(args.audio, array.names, array.start_s)
    found = locating.locate(locator, recording, array, wanted, tell)
    outputs.write(args.out, found.table, form)
    for doubt in locating.doubts(array, found):
        tell(doubt)
    _sum_up(args, found.table)
    if args.html:
        from wavloc.reporting.html import located as page

        about = locating.about(locator, recording)
        shown = found.table, found.reliability, array.names, array.positions
        page.write(args.html, *shown, about, said)
    if args.plot:  # last: the table is written, whatever happens to the picture
        from wavloc.reporting.figures.located import located

        located(found.table, array.names, array.positions, args.plot)


def _what(args: argparse.Namespace) -> Asked:
    import dataclasses

    from wavloc.recordings.locating import Asked

    return Asked(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Asked)})


def _check_usage(args: argparse.Namespace) -> None:
    """What can be refused before anything is read."""
    live, later = args.audio == [STDIN], ("events", "detect", "starts", "plot", "html")
    for name in (*later, "estimate_offsets", "estimate_drift", "track"):
        if live and getattr(args, name) not in (None, False):
            raise InputError(f"--{name.replace('_', '-')}: needs files, not standard input")
    if live and args.format not in (None, "csv"):
        raise InputError(f"--format {args.format}: standard input gives csv alone")
    if args.pcm and not live:
        raise InputError("--pcm: is for standard input, expected --audio -")
    check_plot(args)
    if args.html:
        files.check_file(args.html)
        if args.html.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"--html {args.html}: expected a name that ends in .html")
        if args.html.absolute() == args.out.absolute():
            raise InputError(f"--html {args.html}: is --out too, expected another name")


def _microphones(args: argparse.Namespace) -> Microphones:
    from wavloc.recordings import microphones

    array = microphones.read(args.mics, args.units)
    if args.starts:
        array.start_s = microphones.read_starts(args.starts, array.names)
    return array


def _live(args: argparse.Namespace, array: Microphones, locator: Locator) -> None:
    """A line for each position as soon as its sound has come, until it ends."""
    import contextlib
    import sys

    from wavloc.recordings import locating, outputs, positions, stream

    def stalled() -> None:
        say(f"locate: warning: no sound for {stream.STALL_S:g} s; waiting")

    raw = stream.kind(args.pcm) if args.pcm else None
    recording = stream.open_stream(sys.stdin.fileno(), len(array.names), raw, stalled)
    count = 0
    with contextlib.ExitStack() as open_files:
        out = sys.stdout
        if args.out != STDIN:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            out = open_files.enter_context(args.out.open("w", encoding="utf-8"))
        for row in positions.live(locator, recording, args.hop, args.silence_db):
            line = outputs.csv(locating.globe(row, array), header=count == 0)
            print(line, end="", file=out, flush=True)
            count += 1
    say(f"locate: the sound ended; {count} positions -> {args.out}")


def _sum_up(args: argparse.Namespace, table: pd.DataFrame) -> None:
    good, quiet = int(table["x"].notna().sum()), int((table["status"] == "silent").sum())
    what = "frames" if "time_s" in table else "events"
    doubtful = int(table["status"].isin(["uncertain", "no_source"]).sum())
    notes = [f"{quiet} silent"] * (what == "frames")
    notes += [f"{doubtful} uncertain or without a source"] * bool(doubtful)
    if bridged := int((table["status"] == "bridged").sum()):
        notes.append(f"{bridged} bridged")
    for status, words in (("edge", "at the edge of the volume"), ("ambiguous", "or their images")):
        count = int((table["status"] == status).sum())
        notes += [f"{count} {words}"] * bool(count)
    noted = f" ({', '.join(notes)})" if notes else ""
    say(f"locate: {good} of {len(table)} {what} located{noted} -> {args.out}")
