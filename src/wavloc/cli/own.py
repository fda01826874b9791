"""Commands for own rooms, and lists of methods and datasets."""

import argparse

from wavloc.cli.common import METRES, Command, say


def register(command: Command) -> None:
    """Add the commands and their arguments."""
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


def _own_room(args: argparse.Namespace) -> None:
    from wavloc import own_room

    room = own_room.Room(args.room, args.corner, args.heights, args.t60, args.snr)
    name = own_room.name_of(args.out)
    made, heard = own_room.profile(args.mics, room, name, args.seed, args.model)
    own_room.write(args.out, made, args.typed, heard[0])
    results = made["pathvars"]["results"]
    model = f"{results}/models/own_room/speakers/{own_room.METHOD}"
    count = len(made["datasets"]["own_room"]["options"]["mics"])
    run = f"snakemake --cores 2 --configfile {args.out} -- all"
    for line in heard:
        say(f"own-room: {line}")
    say(f"own-room: {count} microphones -> {args.out}; `{run}` makes {results} and {model}")


def _methods(args: argparse.Namespace) -> None:
    from wavloc.methods import registry

    for entry in registry.listed(args.plan.methods if args.plan else registry.shipped()):
        traits = entry.kind
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
