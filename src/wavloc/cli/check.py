"""The command that looks at microphones and a recording before anything is located."""

import argparse

from wavloc.cli.common import Command, asked, check_plot, say
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
    add.number(
        "--speed-of-sound", "m/s, 300 to 370 in air (343)", asked("speed_of_sound"), default=343.0
    )
    add.add_argument("--other-medium", action="store_true", help="allow a speed that is not air's")
    add.add_argument("--strict", action="store_true", help="exit code 1 where anything is found")


def _check(args: argparse.Namespace) -> None:
    from wavloc import api, files
    from wavloc.checking import report

    check_plot(args)
    how = {"units": args.units, "speed_of_sound": args.speed_of_sound}
    checked = api.check(args.audio, args.mics, other_medium=args.other_medium, **how)
    tell = say if args.out == files.STDOUT else print
    tell(str(checked))
    if args.out:
        files.write_csv(args.out, checked.table, 4)
    if args.plot:
        checked.plot(args.plot)
    if args.strict and checked.findings:
        raise WorkError(f"--strict: {report.counted(checked)}")
