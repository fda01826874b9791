"""Commands for methods: train, import, compare with the reference networks, predict."""

import argparse
import contextlib
import time
from pathlib import Path
from typing import Any

from wavloc.cli.common import COUNT, Command, entry_of, method_of, say, setting
from wavloc.errors import InputError, Refusal, WorkError


def register(command: Command) -> None:
    """Add the commands and their arguments."""
    add = command("train", _train, "train a learned method; a killed run goes on where it stopped")
    add.entry()
    add.number("--mics", "microphones of a model bound to their number", COUNT)
    add.paths("--train", "Frames to train on", required=True)
    text = "Frames that choose the epoch; without them the end of each training track"
    add.paths("--valid", text, nargs="*")
    add.path("--pretrained", "model to begin with (NGCC-PHAT of wav2pos)")
    add.path("--cache", "folder of fetched files (data)")
    add.path("--start", "model of the same method and sizes whose weights to begin at")
    text = "auto, float32, tf32, bf16 (the network) or bf16_all (its features too) (float32)"
    add.add_argument("--precision", help=text)
    add.add_argument("--compile", action="store_true", help="torch.compile the network")
    text = "folder where sound and features are kept for this and other trainings (in memory)"
    add.path("--store", text)
    add.number("--store-gb", "most that it may hold (32)", 0, 1e6, "GB", False, True)
    text = "parts that a batch passes the network in (1)"
    add.number("--accumulate", text, COUNT, default=1)
    add.number("--save-every", "seconds between states (10)", 0, 1e9, "s", default=10.0)
    text = "stop after this long, resumable"
    add.number("--minutes", text, 0, 1e7, "min", default=float("inf"))
    add.path("--out", "model folder to write", required=True)
    add.device()

    text = "train the network of `steered` on random rooms; a killed run goes on"
    add = command("train-steered", _train_steered, text)
    add.paths("--speech", "corpus folders of speech", required=True)
    add.paths("--music", "corpus folders of music", nargs="*")
    add.number("--steps", "batches of 16 frames (11000)", COUNT, default=11_000)
    add.path("--out", "folder of the weights and of the state to go on from", required=True)

    text = "published NGCC-PHAT or wav2pos weights, safely"
    add = command("import-checkpoint", _import_checkpoint, text)
    add.path("file", "torch checkpoint of tensors; code is refused")
    text = "Frames that wav2pos was trained on; they normalise its coordinates"
    add.paths("--train", text, nargs="*")
    add.path("--out", "model folder to write", required=True)

    add = command("parity", _parity, "compare our networks with outputs of the reference networks")
    add.path("case", ".npz of inputs and outputs")
    add.path("--checkpoint", "published NGCC-PHAT weights")

    add = command(
        "predict", _predict, "locate the source in every frame of a Frames folder or .npz"
    )
    add.method()
    add.path("--frames", "Frames folder or .npz", required=True)
    add.add_argument(
        "--setup", default="1a", help="what is known: 1a, 1b, 2a or 2b (1a); see `wavloc --help`"
    )
    add.path("--subset", "microphones known in each frame, from `subset`")
    text = "keep reconstructed signals too (wav2pos)"
    add.add_argument("--audio", action="store_true", help=text)
    text = "frames at once of a learned method, or auto: as many as memory holds"
    add.add_argument("--batch", metavar="N", help=text)
    add.add_argument("--refusal-as-na", action="store_true", help="write a refusal, do not fail")
    add.path("--out", ".parquet or .csv to write", required=True)


def _train(args: argparse.Namespace) -> None:
    from wavloc import devices, files, frames, provenance
    from wavloc.methods import registry
    from wavloc.methods.learned.base import MODEL, MORE, LearnedMethod
    from wavloc.training.engine import Run
    from wavloc.training.store import Store

    files.check_folder(args.out, MODEL, MORE)
    entry = entry_of(args)
    if args.mics:
        entry = entry.changed({"options": {"mics": args.mics}})
    method = registry.create(entry, args.seed)
    if not isinstance(method, LearnedMethod) or entry.model:
        raise InputError(f"method '{args.method}' has nothing of its own to train")
    method.cache = Path(setting(args, "cache", "cache", default="data"))
    device = setting(args, "device", "training", "device", default="auto")
    precision = setting(args, "precision", "training", "precision", default="float32")
    compiled = args.compile or bool(args.plan and args.plan.config["training"]["compile"])
    devices.set_threads(args.threads)
    train = frames.load_together(args.train)
    if not train.has_sound:
        raise InputError(f"--train: method '{args.method}' {frames.NO_SOUND}")
    if args.valid:
        valid = frames.load_together(args.valid, train.speed_of_sound)
    else:
        if "time_s" not in train.table:
            raise InputError("--train: frames without times, none can be held out; name --valid")
        train, valid = train.hold_out(method.options.valid_share)
    if args.pretrained and args.start:
        raise InputError("--pretrained and --start: expected one; --start brings its own NGCC-PHAT")
    if args.pretrained:
        method.begin_with(args.pretrained)
    if args.start:
        method.start_from(args.start)
    partial = args.out.parent / f".{args.out.name}.partial"
    limits = args.save_every, args.minutes * 60, args.accumulate
    most_gb = setting(args, "store_gb", "training", "store_gb", default=32.0)
    run = Run(partial, device, precision, compiled, *limits, Store(args.store, most_gb))
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
        method.training_note["provenance"] = provenance.stamp(**run.describe())
        with files.replacing_folder(args.out, MODEL, MORE) as temporary:
            method.to("cpu").save(temporary)
            run.write(temporary)
        run.finish()
    say(
        f"train {args.method}: {len(train)} frames, {method.parameters:,} parameters, best epoch "
        f"{method.training_note['best_epoch']} of {method.options.epochs} (criterion "
        f"{method.training_note['criterion']:.3f}), {time.perf_counter() - started:.0f} s"
    )


def _train_steered(args: argparse.Namespace) -> None:
    from wavloc import files
    from wavloc.methods.learned import steered_training

    folders = {"speech": args.speech, "music": args.music or []}
    sounds = steered_training.corpora(folders, "train")
    card = steered_training.card(folders, "train", args.steps, args.seed)
    network = steered_training.train(args.out, sounds, args.steps, args.seed)
    held_out = steered_training.corpora({"speech": args.speech}, "valid")
    number = min(steered_training.CALIBRATED, 16 * args.steps)
    card["calibration"] = steered_training.calibrate(network, held_out, args.seed, number)
    files.write_json(args.out / "steered.json", card)
    say(f"train-steered: {args.steps} batches -> {args.out / 'steered.safetensors'}")


def _import_checkpoint(args: argparse.Namespace) -> None:
    from wavloc import files, frames
    from wavloc.checkpoints import imported
    from wavloc.methods.learned.base import MODEL, MORE

    files.check_folder(args.out, MODEL, MORE)
    train = frames.load_together(args.train) if args.train else None
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
    from wavloc import files, frames, provenance
    from wavloc.methods.predictions import ARRAYS, check_name

    check_name(args.out)
    files.check_file(args.out)
    as_csv = args.out.suffix.lower() == ".csv"
    if args.audio and as_csv:
        raise InputError(f"--audio: {args.out} holds no signals, expected --out NAME.parquet")
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
        predictions = method.predict(data, setup)
    except Refusal as refusal:
        if not args.refusal_as_na:
            raise
        predictions = method.refused(data, setup, str(refusal))
    predictions.meta |= {"control": entry_of(args).control, "provenance": provenance.stamp()}
    predictions.save(args.out)
    arrays = [name for name in ARRAYS if getattr(predictions, name) is not None]
    if arrays and as_csv:
        say(f"predict: warning: {args.out} holds no {', '.join(arrays)}; a .parquet keeps them")
    seconds = predictions.seconds_per_frame
    rate = 1 / seconds if seconds > 0 else float("nan")
    say(f"predict {method.name}: {len(data)} frames, {rate:.0f} frames/s")


def _setup(args: argparse.Namespace, n_mics: int) -> Any:
    from wavloc.setups import Setup, load_subset

    subset = load_subset(args.subset) if args.subset else None
    # All microphones chosen is the same as no choice, without a copy of the sound.
    whole = subset is not None and subset.shape[1] == n_mics
    return Setup(args.setup, None if whole else subset)
