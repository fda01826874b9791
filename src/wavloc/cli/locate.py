"""The command that locates sources in a recording."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from wavloc.cli.common import METRES, Command, Parser, check_plot, method_of, say
from wavloc.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from wavloc.methods.base import Method
    from wavloc.recordings.events import Event
    from wavloc.recordings.microphones import Microphones
    from wavloc.recordings.positions import Locator
    from wavloc.recordings.sound import Recording

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
    text = "probability of being within 30 cm below which a position is `uncertain` (0.5)"
    add.number("--min-confidence", text, 0, 1)
    _where(add)
    _when(add)
    _sound(add)


def _where(add: Parser) -> None:
    """Arguments of the search volume."""
    text = "search in a room of this size, m (default: some way around the microphones)"
    add.numbers("--room", ("X", "Y", "Z"), text, 0, 500, "m", False, True)
    text = "where the room begins in the coordinates of the microphones, m (0 0 0)"
    add.numbers("--corner", ("X", "Y", "Z"), text, METRES)
    form = ("XMIN", "YMIN", "ZMIN", "XMAX", "YMAX", "ZMAX")
    add.numbers("--box", form, "search in this box, m", METRES)
    text = "sources are at this height (or x, y), m: three microphones are enough"
    add.add_argument("--plane", type=plane, metavar="z=HEIGHT", help=text)


def _when(add: Parser) -> None:
    """Arguments of time."""
    add.number("--hop", "seconds between positions (0.064)", 1e-3, 3600, "s", default=0.064)
    text = "seconds of sound per position (0.128, or more for wide arrays)"
    add.number("--window", text, 0.016, 60, "s")
    text = "Audacity labels or a Raven selection table: a position for each, in its band"
    add.path("--events", text)
    text = "events are what is so many dB over the floor (10)"
    add.number("--detect", text, 0, 200, "dB", nargs="?", const=10.0)
    add.path("--starts", "csv: name,start_s, seconds at which each recording begins")


def _sound(add: Parser) -> None:
    """Arguments of sound."""
    text = "m/s, 300 to 370 in air (343)"
    add.number("--speed-of-sound", text, 10, 20_000, "m/s")
    add.number("--temperature", "of the air, for the speed of sound", -50, 65, "degrees Celsius")
    text = "allow a speed of sound that is not that of air"
    add.add_argument("--other-medium", action="store_true", help=text)
    add.number("--silence-db", "dB under the loud frames (30)", 0, 200, "dB", default=30.0)


def plane(text: str) -> tuple[int, float]:
    """``z=1.2``: number of the axis and the value."""
    axis, _, value = text.replace(" ", "").partition("=")
    if axis not in ("x", "y", "z"):
        raise argparse.ArgumentTypeError(f"'{text}', expected z=HEIGHT in metres, or x=, y=")
    return "xyz".index(axis), METRES(value)


def _locate(args: argparse.Namespace) -> None:
    from wavloc.recordings import outputs, positions, sound

    _check_usage(args)
    array = _microphones(args)
    outputs.format_of(args.out, args.format, array.plane is not None)
    locator = _locator(args, array)
    if args.audio == [STDIN]:
        _live(args, array, locator)
        return
    recording = sound.open_files(args.audio, array.names, array.start_s)
    if unused := recording.unused():
        say(f"locate: {unused}")
    found = _events(args, recording, locator)
    if found is None:
        table, reliability = positions.over_time(locator, recording, args.hop, args.silence_db)
    else:
        table, reliability = positions.of_events(locator, recording, found)
    _write(args, table, array)
    _warn_of(array.names, reliability)
    _sum_up(args, table)
    if args.plot:  # last: the table is written, whatever happens to the picture
        from wavloc.reporting.figures.located import located

        table = table.rename(columns={"begin_s": "time_s"})
        located(table, array.names, array.positions, args.plot)


def _check_usage(args: argparse.Namespace) -> None:
    """What can be refused before anything is read."""
    apart = [("box", "room"), ("box", "corner"), ("temperature", "speed_of_sound")]
    for one, other in (*apart, ("events", "detect")):
        if getattr(args, one) is not None and getattr(args, other) is not None:
            names = [f"--{name.replace('_', '-')}" for name in (one, other)]
            raise InputError(f"{names[0]} and {names[1]} are both given, expected one of them")
    if args.corner and not args.room:
        raise InputError("--corner is given without --room, expected both")
    live, later = args.audio == [STDIN], ("events", "detect", "starts", "plot")
    for name in later:
        if live and getattr(args, name) is not None:
            raise InputError(f"--{name}: needs files, not standard input")
    if live and args.format not in (None, "csv"):
        raise InputError(f"--format {args.format}: standard input gives csv alone")
    if args.pcm and not live:
        raise InputError("--pcm: is for standard input, expected --audio -")
    check_plot(args)


def _microphones(args: argparse.Namespace) -> Microphones:
    from wavloc.recordings import microphones

    array = microphones.read(args.mics, args.units)
    if args.starts:
        array.start_s = microphones.read_starts(args.starts, array.names)
    return array


def _locator(args: argparse.Namespace, array: Microphones) -> Locator:
    """The method, where it searches and how long its frames are; warnings about the geometry."""
    from wavloc.audio import SAMPLE_RATE
    from wavloc.recordings import mirror, positions, volume

    method, speed, mics = _method(args), _speed(args), array.positions
    box = volume.search_box(mics, args.room, args.corner, args.box, args.plane)
    given = [name for name in ("plane", "room", "box") if getattr(args, name) is not None]
    if given and not method.searches:
        raise InputError(
            f"--{given[0]}: {method.name} searches no volume, expected multilat_plus, srp_phat or "
            "another method that does"
        )
    window_s = args.window
    if window_s is None:
        window_s = volume.window_s(mics, speed, fixed=args.model is not None)
    plane = None
    if not method.any_array:
        warnings = volume.look(array.names, mics, box, window_s, speed)
        plane = mirror.of(mics, box)
        for warning in warnings + (plane.doubts(box) if plane else []):
            say(f"locate: warning: {warning}")
    size, learned = round(window_s * SAMPLE_RATE), args.model is not None
    meta = volume.meta(plane.search(box) if plane else box)
    meta |= {"other_medium": True} if args.other_medium else {}
    return positions.Locator(method, mics, speed, meta, size, learned, box=box, mirror=plane)


def _method(args: argparse.Namespace) -> Method:
    """The method, which may be asked for more confidence."""
    method: Method = method_of(args)
    if args.min_confidence is not None:
        if not hasattr(method.options, "min_confidence"):
            raise InputError(
                f"--min-confidence: {method.name} states no confidence, expected steered or "
                "another method that does"
            )
        method.options = dataclasses.replace(method.options, min_confidence=args.min_confidence)
    return method


def _speed(args: argparse.Namespace) -> float:
    """Speed of sound in m/s."""
    from wavloc.geometry import SPEED_OF_SOUND, check_speed, speed_in_air

    if args.temperature is not None:
        return speed_in_air(args.temperature)
    speed = SPEED_OF_SOUND if args.speed_of_sound is None else args.speed_of_sound
    return check_speed(speed, "--speed-of-sound", args.other_medium)


def _live(args: argparse.Namespace, array: Microphones, locator: Locator) -> None:
    """A line for each position as soon as its sound has come, until it ends."""
    import contextlib
    import sys

    from wavloc.recordings import outputs, positions, stream

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
            print(outputs.csv(_globe(row, array), header=count == 0), end="", file=out, flush=True)
            count += 1
    say(f"locate: the sound ended; {count} positions -> {args.out}")


def _globe(table: pd.DataFrame, array: Microphones) -> pd.DataFrame:
    """The table with latitudes where microphones have them."""
    if array.plane:
        table[["lat", "lon", "alt"]] = array.plane.globe(table[[*"xyz"]].to_numpy(float))
    return table


def _events(args: argparse.Namespace, recording: Recording, locator: Locator) -> list[Event] | None:
    """The events that are asked for; None for positions over time."""
    from wavloc.recordings import events, positions

    if args.events:
        return events.read(args.events)
    if args.detect is None:
        return None
    found = positions.detected(locator, recording, args.detect)
    if not found:
        raise InputError(f"no sound is {args.detect:g} dB over the floor, expected less (--detect)")
    return found


def _write(args: argparse.Namespace, table: pd.DataFrame, array: Microphones) -> None:
    from wavloc.recordings import outputs

    chosen = outputs.format_of(args.out, args.format, array.plane is not None)
    outputs.write(args.out, _globe(table, array), chosen)


def _sum_up(args: argparse.Namespace, table: pd.DataFrame) -> None:
    good, quiet = int(table["x"].notna().sum()), int((table["status"] == "silent").sum())
    what = "frames" if "time_s" in table else "events"
    doubtful = int(table["status"].isin(["uncertain", "no_source"]).sum())
    notes = [f"{quiet} silent"] * (what == "frames")
    notes += [f"{doubtful} uncertain or without a source"] * bool(doubtful)
    for status, words in (("edge", "at the edge of the volume"), ("ambiguous", "or their images")):
        count = int((table["status"] == status).sum())
        notes += [f"{count} {words}"] * bool(count)
    noted = f" ({', '.join(notes)})" if notes else ""
    say(f"locate: {good} of {len(table)} {what} located{noted} -> {args.out}")


def _warn_of(names: list[str], reliability: np.ndarray) -> None:
    from wavloc.recordings import positions

    for name, value in positions.suspicious(names, reliability):
        say(
            f"locate: warning: microphone '{name}' does not agree with the others (reliability "
            f"{value:.2f}): mute, noisy, out of step, or not where mics.csv says?"
        )
