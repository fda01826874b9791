"""Commands for methods: train, import, compare with the reference networks, predict."""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path
from typing import Any

from wavloc.cli.common import (
    Command,
    add_device,
    add_method,
    json_value,
    method_of,
    say,
)
from wavloc.errors import InputError, Refusal, WorkError


def register(command: Command) -> None:
    """Add the commands and their arguments."""
    add = command("train", _train, "train a learned method; a killed run goes on where it stopped")
    add.add_argument("--method", required=True, help="see `wavloc methods`")
    add.add_argument("--options", type=json_value, default={}, help="config entry, JSON or file")
    add.add_argument("--train", type=Path, nargs="+", required=True, help="Frames to train on")
    add.add_argument(
        "--valid", type=Path, nargs="*", default=[],
        help="Frames that choose the epoch; without them the end of each training track",
    )  # fmt: skip
    add.add_argument("--pretrained", type=Path, help="model to begin with (NGCC-PHAT of wav2pos)")
    add.add_argument("--cache", type=Path, default=Path("data"), help="folder of fetched files")
    add.add_argument(
        "--start", type=Path, help="model of the same method and sizes whose weights to begin at"
    )
    add.add_argument(
        "--precision", default="float32",
        help="float32, tf32, bf16 (the network) or bf16_all (its features too) (float32)",
    )  # fmt: skip
    add.add_argument("--compile", action="store_true", help="torch.compile the network")
    add.add_argument(
        "--accumulate", type=int, default=1, help="parts that a batch passes the network in (1)"
    )
    add.add_argument("--save-every", type=float, default=10.0, help="seconds between states (10)")
    add.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after this long, resumable"
    )
    add.add_argument("--out", type=Path, required=True, help="model folder to write")
    add_device(add)

    add = command(
        "import-checkpoint", _import_checkpoint, "published NGCC-PHAT or wav2pos weights, safely"
    )
    add.add_argument("file", type=Path, help="torch checkpoint of tensors; code is refused")
    add.add_argument(
        "--train", type=Path, nargs="*", default=[],
        help="Frames that wav2pos was trained on; they normalise its coordinates",
    )  # fmt: skip
    add.add_argument("--out", type=Path, required=True, help="model folder to write")

    add = command("parity", _parity, "compare our networks with outputs of the reference networks")
    add.add_argument("case", type=Path, help=".npz of inputs and outputs")
    add.add_argument("--checkpoint", type=Path, help="published NGCC-PHAT weights")

    add = command(
        "predict", _predict, "locate the source in every frame of a Frames folder or .npz"
    )
    add_method(add)
    add.add_argument("--frames", type=Path, required=True, help="Frames folder or .npz")
    add.add_argument("--setup", default="1a", help="what is known: 1a, 1b, 2a or 2b (1a)")
    add.add_argument("--subset", type=Path, help="microphones known in each frame, from `subset`")
    add.add_argument(
        "--audio", action="store_true", help="keep reconstructed signals too (wav2pos)"
    )
    add.add_argument(
        "--batch", metavar="N",
        help="frames at once of a learned method, or auto: as many as memory holds",
    )  # fmt: skip
    add.add_argument("--refusal-as-na", action="store_true", help="write a refusal, do not fail")
    add.add_argument("--out", type=Path, required=True, help="predictions .parquet to write")


def _train(args: argparse.Namespace) -> None:
    from wavloc import devices, files, frames, methods, provenance
    from wavloc.methods.learned.base import MODEL, MORE, LearnedMethod
    from wavloc.training.engine import Run

    method = methods.create(args.method, args.options, args.seed)
    if not isinstance(method, LearnedMethod):
        raise InputError(f"method '{args.method}' has nothing of its own to train")
    method.cache = args.cache
    devices.set_threads(args.threads)
    train = frames.concatenate([frames.load(path) for path in args.train])
    if args.valid:
        valid = frames.concatenate([frames.load(path) for path in args.valid])
    else:
        train, valid = train.hold_out(method.options.valid_share)
    if args.pretrained and args.start:
        raise InputError("--pretrained and --start: expected one; --start brings its own NGCC-PHAT")
    if args.pretrained:
        method.begin_with(args.pretrained)
    if args.start:
        method.start_from(args.start)
    run = Run(
        args.out.parent / f".{args.out.name}.partial",
        args.device,
        args.precision,
        args.compile,
        args.save_every,
        args.minutes * 60,
        args.accumulate,
    )
    started = time.perf_counter()
    alone = files.lock(args.out.parent / f".{args.out.name}.lock")
    with alone if run.group.first else contextlib.nullcontext():
        method.fit(train, valid, run)
        run.group.leave()
        if not run.finished:
            raise WorkError(
                f"training of '{args.method}' stopped after {args.minutes:g} minutes in epoch "
                f"{run.rows[-1]['epoch']} of {method.options.epochs}; run the same command to go on"
            )
        if not run.group.first:
            return
        method.training_note["provenance"] = provenance.stamp(
            device=run.describe(), precision=args.precision, **run.divided()
        )
        with files.replacing_folder(args.out, MODEL, MORE) as temporary:
            method.to("cpu").save(temporary)
            run.write(temporary)
        run.finish()
    say(
        f"train {args.method}: {len(train)} frames, {method.parameters:,} parameters, best epoch "
        f"{method.training_note['best_epoch']} of {method.options.epochs} (criterion "
        f"{method.training_note['criterion']:.3f}), {time.perf_counter() - started:.0f} s"
    )


def _import_checkpoint(args: argparse.Namespace) -> None:
    from wavloc import frames
    from wavloc.checkpoints import imported

    train = frames.concatenate([frames.load(path) for path in args.train]) if args.train else None
    method = imported.model(args.file, train, args.out)
    say(f"import-checkpoint: {method.name}, {method.parameters:,} parameters -> {args.out}")


def _parity(args: argparse.Namespace) -> None:
    from wavloc.checkpoints import parity

    rows = parity.compare(args.case, args.checkpoint)
    print(f"{'array':28s} {'max difference':>14s} {'tolerance':>10s}")
    for row in rows:
        verdict = "" if row.good else "  BEYOND"
        print(f"{row.name:28s} {row.difference:14.2e} {row.tolerance:10.0e}{verdict}")
    beyond = sum(not row.good for row in rows)
    if beyond:
        raise WorkError(f"{args.case}: {beyond} of {len(rows)} arrays beyond tolerance")


def _predict(args: argparse.Namespace) -> None:
    from wavloc import frames, provenance

    method = method_of(args)
    data = frames.load(args.frames)
    setup = _setup(args, data.n_mics)
    if args.audio:
        if not getattr(method, "reconstructs", False):
            raise InputError(f"--audio: method '{method.name}' reconstructs no signals")
        method.keep_audio = True
    if args.batch:
        from wavloc.methods import batching

        size = batching.choose(method, data, setup, args.batch)
        say(f"predict {method.name}: {size} frames at once")
    try:
        found = method.predict(data, setup)
    except Refusal as refusal:
        if not args.refusal_as_na:
            raise
        found = method.refused(data, setup, str(refusal))
    found.meta["provenance"] = provenance.stamp()
    found.save(args.out)
    rate = 1 / found.seconds_per_frame if found.seconds_per_frame > 0 else float("nan")
    say(f"predict {method.name}: {len(data)} frames, {rate:.0f} frames/s")


def _setup(args: argparse.Namespace, n_mics: int) -> Any:
    from wavloc.setups import Setup, load_subset

    subset = load_subset(args.subset) if args.subset else None
    # All microphones chosen is the same as no choice, without a copy of the sound.
    whole = subset is not None and subset.shape[1] == n_mics
    return Setup(args.setup, None if whole else subset)
