"""Commands to join the benchmark: check a submission, make the leaderboard's page."""

import argparse

from wavloc.cli.common import Command, say
from wavloc.cli.evaluation import SETUPS


def register(command: Command) -> None:
    """Add the commands and their arguments."""
    add = command("submit-check", _check, "check predictions and make a submission of them")
    add.path("--frames", "Frames folder or .npz that they are of", required=True)
    add.path("--predictions", ".parquet or .csv of any program", required=True)
    add.add_argument("--name", help="of the method: small letters, digits, - and _ (the file's)")
    add.add_argument("--label", help="name of the row (the name)")
    add.add_argument("--reference", default="", help="where the method is published")
    add.add_argument("--setup", default="1a", choices=SETUPS, help="what it was given (1a)")
    add.path("--out", "submission folder to write; without it, only checked")

    add = command("leaderboard", _leaderboard, "score a folder of submissions, as one html page")
    add.path("--frames", "Frames folder or .npz with truth", required=True)
    add.path("--submissions", "folder of the folders that `submit-check` wrote", required=True)
    add.add_argument("--title", default="Leaderboard", help="of the page (Leaderboard)")
    add.number("--resamples", "bootstrap (2000)", 1000, 1_000_000, "", True, default=2000)
    add.out(".html to write")


def _check(args: argparse.Namespace) -> None:
    from wavloc import files, frames
    from wavloc.evaluation import submission
    from wavloc.methods import predictions

    if args.out:
        files.check_folder(args.out, (submission.PREDICTIONS, submission.CARD))
    data = frames.load(args.frames)
    found = predictions.load(args.predictions)
    name = args.name or args.predictions.stem.lower()
    said = {"label": args.label or name, "reference": args.reference, "setup": args.setup}
    described = submission.card(found, data, name, said)
    counts = ", ".join(f"{status}: {n}" for status, n in described["statuses"].items())
    print(f"frames     {described['frames']}, sha256 {described['frames_sha256'][:16]}")
    print(f"located    {described['located']} ({described['located'] / len(data):.0%})")
    print(f"statuses   {counts}")
    if args.out:
        submission.write(args.out, found.of(data), described)
    say(f"submit-check: {args.predictions} is fine" + f" -> {args.out}" * bool(args.out))


def _leaderboard(args: argparse.Namespace) -> None:
    from wavloc import frames
    from wavloc.evaluation import submission
    from wavloc.reporting import leaderboard

    data = frames.load(args.frames)
    table = submission.leaderboard(args.submissions, data, args.seed, args.resamples)
    leaderboard.write(args.out, table, data, args.title)
    say(f"leaderboard: {len(table)} submissions, best {table['label'][0]} -> {args.out}")
