"""Commands for recordings and rooms of your own, and for what there is."""

from __future__ import annotations

import argparse
from pathlib import Path

from wavloc.cli.common import Command, add_method, finite, method_of, say


def register(command: Command) -> None:
    """Add the commands and their arguments."""
    add = command("locate", _locate, "positions over time from a recording")
    add_method(add)
    add.add_argument("--mics", type=Path, required=True, help="csv: name,x,y,z in metres")
    add.add_argument(
        "--audio", type=Path, nargs="+", required=True,
        help="one multichannel WAV/FLAC, or one file <name>.wav per microphone",
    )  # fmt: skip
    add.add_argument("--out", type=Path, required=True, help="csv: time_s,x,y,z,status")
    add.add_argument("--plot", type=Path, help="also draw the track (.png or .pdf)")
    add.add_argument("--hop", type=float, default=0.064, help="seconds between positions (0.064)")
    add.add_argument("--speed-of-sound", type=float, default=343.0, help="m/s (343)")
    add.add_argument("--silence-db", type=float, default=30.0, help="dB under the loud frames (30)")

    add = command("my-room", _my_room, "write the profile that trains and maps errors for a room")
    add.add_argument("--mics", type=Path, required=True, help="csv: name,x,y,z in metres")
    add.add_argument(
        "--room", type=finite, nargs=3, required=True, metavar=("X", "Y", "Z"),
        help="its size in m",
    )  # fmt: skip
    add.add_argument(
        "--corner", type=finite, nargs=3, default=[0.0, 0.0, 0.0], metavar=("X", "Y", "Z"),
        help="where the room begins in the coordinates of the microphones, m (0 0 0)",
    )  # fmt: skip
    add.add_argument(
        "--heights", type=finite, nargs=2, default=[1.0, 1.8], metavar=("LOW", "HIGH"),
        help="of what is to be located above the floor, m (1 1.8)",
    )  # fmt: skip
    add.add_argument(
        "--t60", type=finite, nargs="+", default=[0.2, 0.4], metavar="SECONDS",
        help="nominal reverberation time, or its lowest and highest (0.2 0.4)",
    )  # fmt: skip
    add.add_argument("--snr", type=finite, default=20.0, help="dB at the microphones (20)")
    add.add_argument("--model", type=Path, help="wav2pos model to fine-tune; its sizes are taken")
    add.add_argument("--out", type=Path, required=True, help="config .yaml to write")

    for kind in ("methods", "datasets"):
        add = command(kind, _list, f"list the {kind} there are")
        add.set_defaults(kind=kind)


def _locate(args: argparse.Namespace) -> None:
    import numpy as np
    import pandas as pd

    from wavloc import files, recordings

    names, mics = recordings.read_mics(args.mics)
    method = method_of(args)
    channels, rate = recordings.read_channels(args.audio, names)
    data = recordings.cut(channels, rate, mics, args.hop, args.speed_of_sound)
    found = method.predict(data)
    quiet = recordings.silent(data, args.silence_db)
    found.position[quiet] = np.nan
    found.status[quiet] = "silent"
    table = pd.DataFrame(
        {"time_s": data.table["time_s"]} | dict(zip("xyz", found.position.T, strict=True))
    )
    table["status"] = found.status
    if found.covariance is not None:
        deviation = np.sqrt(np.einsum("fii->fi", found.covariance))
        table[["sigma_x", "sigma_y", "sigma_z"]] = np.where(quiet[:, None], np.nan, deviation)
    if args.plot:
        from wavloc.reporting.figures.located import located

        located(table, names, mics, args.plot)
    files.write_text(args.out, table.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    if found.reliability is not None:
        for name, value in recordings.suspicious(names, found.reliability[~quiet]):
            say(
                f"locate: warning: microphone '{name}' does not agree with the others (reliability "
                f"{value:.2f}): mute, noisy, out of step, or not where mics.csv says?"
            )
    good = int(np.isfinite(found.position).all(axis=1).sum())
    say(f"locate: {good} of {len(table)} frames located ({int(quiet.sum())} silent) -> {args.out}")


def _my_room(args: argparse.Namespace) -> None:
    from wavloc import own_room

    room = own_room.Room(args.room, args.corner, args.heights, args.t60, args.snr)
    name = own_room.name_of(args.out)
    made = own_room.profile(args.mics, room, name, args.seed, args.model)
    own_room.write(args.out, made, args.typed)
    results = made["pathvars"]["results"]
    model = f"{results}/models/own_room/speakers/{own_room.METHOD}"
    say(
        f"my-room: {len(made['datasets']['own_room']['options']['mics'])} microphones -> "
        f"{args.out}; `snakemake --cores 2 --configfile {args.out} -- all` makes {results} and "
        f"{model}"
    )


def _list(args: argparse.Namespace) -> None:
    from wavloc import plugins

    for name in plugins.modules(args.kind):
        found = plugins.plugin_class(args.kind, name)
        traits = ""
        if args.kind == "methods":
            traits = "learned" if found.learned else "control" if found.control else "classical"
            traits += ", variable mics" if found.variable_mics else ""
            traits += ", permutation invariant" if found.permutation_invariant else ""
            traits = f" [{traits}]"
        print(f"{name:15s} {found.label}{traits}\n{'':15s} {found.reference}")
