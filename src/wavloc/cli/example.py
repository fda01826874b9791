"""The command that writes an example: a recording to try the others on, or a package."""

import argparse
from pathlib import Path

from wavloc.cli.common import Command, say

# What each folder of examples holds, and the command that comes next.
EXAMPLES = {
    "room": (
        "somebody walks through a room and talks (simulated, six microphones, 10 s)",
        "wavloc locate --mics {0}/mics.csv --audio {0}/walk.flac --room 6 5 2.7 "
        "--out positions.csv --plot map.png",
    ),
    "birds": (
        "a bird sings six times in a forest (nine recorders, 7 s; docs/birds.md)",
        "wavloc locate --method srp_phat --mics {0}/mics.csv --audio {0}/*.mp3 "
        "--events {0}/songs.selections.txt --temperature 15 --box -20 -20 -2 100 100 28 "
        "--min-confidence 0.2 --out songs.csv --plot map.png",
    ),
    "method-package": ("a package with a method of your own, to begin with", "pip install ./{0}"),
}


def register(command: Command) -> None:
    """Add the command and its arguments."""
    add = command("example", _example, "write a small recording to try `locate` on, or a template")
    text = "; ".join(f"{name}: {what}" for name, (what, _) in EXAMPLES.items())
    add.add_argument("name", nargs="?", default="room", choices=EXAMPLES, help=f"{text} (room)")
    add.path("--out", "folder to write (the name of the example)")


def _example(args: argparse.Namespace) -> None:
    import shutil

    from wavloc import files, shipped

    out = args.out or Path(args.name)
    source = shipped.folder("examples") / args.name
    left = shutil.ignore_patterns("make.py", "__pycache__", "*.egg-info", "build")
    every = [path.name for path in source.iterdir()]
    names = sorted(set(every) - left(str(source), every))
    files.check_folder(out, names)
    with files.replacing_folder(out, names) as temporary:
        shutil.copytree(source, temporary, ignore=left)
    say(f"example: {EXAMPLES[args.name][0]} -> {out}; next:")
    print(EXAMPLES[args.name][1].format(out))
