"""Commands for what is kept of a long run: predictions and notes, each with a digest."""

import argparse
from pathlib import Path

from wavloc.cli.common import Command, say
from wavloc.errors import InputError


def register(command: Command) -> None:
    """Add the commands and their arguments."""
    text = "keep what a run has predicted, for a checkout (docs/learned.md)"
    add = command("track", _track, text)
    add.path("--out", "folder to keep it in (`tracked` of the config)")

    add = command("recall", _recall, "take one of the kept files or folders as a result")
    add.path("source", "kept predictions, notes of a model, or measurements")
    add.path("--frames", "Frames that the predictions are of")
    text = "leave the cells of predictions of other frames empty, do not fail"
    add.add_argument("--other-frames-as-na", action="store_true", help=text)
    add.path("--out", "file or folder to write", required=True)


def _track(args: argparse.Namespace) -> None:
    from wavloc import tracked

    if args.plan is None:
        raise InputError("--config FILE is needed: <results>/plan.json of the run")
    out = args.out or args.plan.config["tracked"]
    if not out:
        raise InputError("--out: missing, and the config names no folder (`tracked`)")
    count, size = tracked.keep(tracked.Tracked(args.plan, out))
    profile = args.plan.config["profile"]
    say(f"track {profile}: {count} files, {size / 2**20:.2f} MiB in all -> {out}")


def _recall(args: argparse.Namespace) -> None:
    import shutil

    from wavloc import files, frames
    from wavloc.methods import predictions

    source: Path = args.source
    if source.is_dir():
        with files.replacing_folder(args.out, ["method.json"], None) as temporary:
            shutil.copytree(source, temporary)
    elif source.suffix == ".parquet":
        if not args.frames:
            raise InputError("--frames: missing, the Frames that the predictions are of")
        kept, data = predictions.load(source), frames.load(args.frames)
        try:
            kept = kept.of(data)
        except InputError as error:
            cause = "embedded speech may differ between processors (docs/learned.md)"
            if not args.other_frames_as_na:
                raise InputError(f"{error}; {cause}") from None
            from wavloc import tracked  # rarely needed, and slow to import

            say(f"{error}; {cause}; its cells stay empty")
            kept = tracked.of_other_frames(kept, data)
        kept.save(args.out)
    else:
        files.require_regular(source)
        files.write_text(args.out, source.read_text(encoding="utf-8"))
    say(f"recall {source} -> {args.out}")
