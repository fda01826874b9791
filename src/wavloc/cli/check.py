"""The command that looks at microphones and a recording before anything is located."""

import argparse

from wavloc.cli.common import Command, check_plot, say
from wavloc.errors import WorkError


def register(command: Command) -> None:
    """Add the command and its arguments."""
    add = command("check", _check, "faults of microphones and a recording, before locating")
    add.path("--mics", "csv: name,x,y,z in metres or name,lat,lon,alt", required=True)
    add.add_argument("--units", choices=("m", "cm", "mm", "ft"), default="m", help="of x, y, z (m)")
    text = "one multichannel WAV/FLAC, or one file <name>.wav per microphone"
    add.paths("--audio", text, required=True)
    add.out("csv: what was measured of each channel", to_stdout=True, required=False)
    add.path("--plot", "also draw levels and delays (.png, .pdf or .svg)")
    add.number("--speed-of-sound", "m/s, 300 to 370 in air (343)", 10, 20_000, "m/s", default=343.0)
    add.add_argument("--other-medium", action="store_true", help="allow a speed that is not air's")
    add.add_argument("--strict", action="store_true", help="exit code 1 where anything is found")


def _check(args: argparse.Namespace) -> None:
    from wavloc import checking, files
    from wavloc.checking import report
    from wavloc.geometry import check_speed
    from wavloc.recordings import microphones, sound

    check_plot(args)
    check_speed(args.speed_of_sound, "speed of sound", args.other_medium)
    array = microphones.read(args.mics, args.units)
    channels, rate = sound.read_whole(args.audio, array.names)
    checked = checking.check(channels, rate, array.positions, array.names, args.speed_of_sound)
    tell = say if args.out == files.STDOUT else print
    tell(report.as_text(checked))
    if args.out:
        files.write_csv(args.out, checked.table, 4)
    if args.plot:
        from wavloc.reporting.figures.checked import checked as draw

        draw(checked, args.plot)
    if args.strict and checked.findings:
        raise WorkError(f"--strict: {report.counted(checked)}")
