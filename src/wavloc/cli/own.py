"""Commands for own recordings and rooms, and lists of methods and datasets."""

import argparse

from wavloc.cli.common import METRES, Command, method_of, say
from wavloc.errors import InputError, WorkError

PLOTS = (".png", ".pdf", ".svg")


def register(command: Command) -> None:
    """Add the commands and their arguments."""
    add = command("locate", _locate, "positions over time from a recording")
    add.method()
    add.path("--mics", "csv: name,x,y,z in metres", required=True)
    text = "one multichannel WAV/FLAC, or one file <name>.wav per microphone"
    add.paths("--audio", text, required=True)
    add.out("csv: time_s,x,y,z,status", to_stdout=True)
    add.path("--plot", "also draw the track (.png, .pdf or .svg)")
    add.number("--hop", "seconds between positions (0.064)", 1e-3, 3600, "s", default=0.064)
    text = "m/s, 300 to 370 in air (343)"
    add.number("--speed-of-sound", text, 10, 20_000, "m/s", default=343.0)
    text = "allow a speed of sound that is not that of air"
    add.add_argument("--other-medium", action="store_true", help=text)
    add.number("--silence-db", "dB under the loud frames (30)", 0, 200, "dB", default=30.0)

    add = command("check", _check, "faults of microphones and a recording, before locating")
    add.path("--mics", "csv: name,x,y,z in metres", required=True)
    text = "one multichannel WAV/FLAC, or one file <name>.wav per microphone"
    add.paths("--audio", text, required=True)
    add.out("csv: what was measured of each channel", to_stdout=True, required=False)
    add.path("--plot", "also draw levels and delays (.png, .pdf or .svg)")
    add.number("--speed-of-sound", "m/s, 300 to 370 in air (343)", 10, 20_000, "m/s", default=343.0)
    add.add_argument("--other-medium", action="store_true", help="allow a speed that is not air's")
    add.add_argument("--strict", action="store_true", help="exit code 1 where anything is found")

    add = command("own-room", _own_room, "write the profile that trains and maps errors for a room")
    add.path("--mics", "csv: name,x,y,z in metres", required=True)
    size = (0, 500, "m", False, True)
    add.numbers("--room", ("X", "Y", "Z"), "its size in m", *size, required=True)
    text = "where the room begins in the coordinates of the microphones, m (0 0 0)"
    add.numbers("--corner", ("X", "Y", "Z"), text, METRES, default=[0.0, 0.0, 0.0])
    text = "of what is to be located above the floor, m (1 1.8)"
    add.numbers("--heights", ("LOW", "HIGH"), text, METRES, default=[1.0, 1.8])
    text = "nominal reverberation time, or its lowest and highest (0.2 0.4)"
    add.numbers("--t60", "SECONDS", text, 0, 10, "s", nargs="+", default=[0.2, 0.4])
    add.number("--snr", "dB at the microphones (20)", -100, 200, "dB", default=20.0)
    add.path("--model", "wav2pos model to fine-tune; its sizes are taken")
    add.out("config .yaml to write")

    command("methods", _methods, "list the methods there are")
    command("datasets", _datasets, "list the datasets there are")


def _locate(args: argparse.Namespace) -> None:
    import numpy as np
    import pandas as pd

    from wavloc import files, recordings

    _check_plot(args)
    names, mics = recordings.read_mics(args.mics)
    method = method_of(args)
    channels, rate = recordings.read_channels(args.audio, names)
    data = recordings.cut(channels, rate, mics, args.hop, args.speed_of_sound, args.other_medium)
    predictions = method.predict(data)
    quiet = recordings.silent(data, args.silence_db)
    predictions.position[quiet] = np.nan
    predictions.status[quiet] = "silent"
    table = pd.DataFrame(
        {"time_s": data.table["time_s"]} | dict(zip("xyz", predictions.position.T, strict=True))
    )
    table["status"] = predictions.status
    if predictions.covariance is not None:
        deviation = np.sqrt(np.einsum("fii->fi", predictions.covariance))
        table[["sigma_x", "sigma_y", "sigma_z"]] = np.where(quiet[:, None], np.nan, deviation)
    files.write_csv(args.out, table, 4)
    if predictions.reliability is not None:
        for name, value in recordings.suspicious(names, predictions.reliability[~quiet]):
            say(
                f"locate: warning: microphone '{name}' does not agree with the others (reliability "
                f"{value:.2f}): mute, noisy, out of step, or not where mics.csv says?"
            )
    good = int(np.isfinite(predictions.position).all(axis=1).sum())
    say(f"locate: {good} of {len(table)} frames located ({int(quiet.sum())} silent) -> {args.out}")
    if args.plot:  # last: the table is written, whatever happens to the picture
        from wavloc.reporting.figures.located import located

        located(table, names, mics, args.plot)


def _check_plot(args: argparse.Namespace) -> None:
    """Raise `InputError` if --plot cannot be written."""
    from wavloc import files

    if not args.plot:
        return
    files.check_file(args.plot)
    if args.plot.suffix.lower() not in PLOTS:
        expected = ", ".join(PLOTS)
        raise InputError(f"--plot {args.plot}: expected a name that ends in {expected}")
    if args.out and args.plot.absolute() == args.out.absolute():
        raise InputError(f"--plot {args.plot}: is --out too, expected another name")


def _check(args: argparse.Namespace) -> None:
    from wavloc import checking, files, recordings
    from wavloc.checking import report
    from wavloc.geometry import check_speed

    _check_plot(args)
    check_speed(args.speed_of_sound, "speed of sound", args.other_medium)
    names, mics = recordings.read_mics(args.mics)
    channels, rate = recordings.read_channels(args.audio, names)
    checked = checking.check(channels, rate, mics, names, args.speed_of_sound)
    tell = say if args.out == files.STDOUT else print
    tell(report.as_text(checked))
    if args.out:
        files.write_csv(args.out, checked.table, 4)
    if args.plot:
        from wavloc.reporting.figures.checked import checked as draw

        draw(checked, args.plot)
    if args.strict and checked.findings:
        raise WorkError(f"--strict: {report.counted(checked)}")


def _own_room(args: argparse.Namespace) -> None:
    from wavloc import own_room

    room = own_room.Room(args.room, args.corner, args.heights, args.t60, args.snr)
    name = own_room.name_of(args.out)
    made = own_room.profile(args.mics, room, name, args.seed, args.model)
    own_room.write(args.out, made, args.typed)
    results = made["pathvars"]["results"]
    model = f"{results}/models/own_room/speakers/{own_room.METHOD}"
    count = len(made["datasets"]["own_room"]["options"]["mics"])
    run = f"snakemake --cores 2 --configfile {args.out} -- all"
    say(f"own-room: {count} microphones -> {args.out}; `{run}` makes {results} and {model}")


def _methods(args: argparse.Namespace) -> None:
    from wavloc.methods import registry

    entries = dict(args.plan.methods if args.plan else registry.shipped())
    used = {entry.module for entry in entries.values()}
    entries |= {name: registry.Entry(name) for name in registry.modules() if name not in used}
    for entry in entries.values():
        traits = "learned" if entry.learned else "control" if entry.control else "classical"
        traits += ", variable mics" * entry.variable_mics
        traits += ", permutation invariant" * entry.permutation_invariant
        traits += ", from delays" * entry.from_delays
        _print(entry.name, f"{entry.label} [{traits}]", entry.reference)


def _datasets(args: argparse.Namespace) -> None:
    from wavloc import plugins

    entries = args.plan.config["datasets"] if args.plan else {}
    names = {name: entry["module"] for name, entry in entries.items()}
    for name, module in ({name: name for name in plugins.modules("datasets")} | names).items():
        dataset, entry = plugins.plugin_class("datasets", module), entries.get(name, {})
        _print(name, *(entry.get(key, getattr(dataset, key)) for key in ("label", "reference")))


def _print(name: str, label: str, reference: str) -> None:
    print(f"{name:28s} {label}\n{'':28s} {reference}".rstrip())
