"""The command line: one subcommand per stage, explicit inputs and outputs.

Only reads arguments and files, calls a stage, writes files. Errors are one line; exit code 2 for
bad usage or input, 1 for failures while working; no traceback unless ``--debug``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shlex
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from wavloc import __version__
from wavloc.allocator import keep_freed
from wavloc.errors import InputError, Refusal, WavlocError, WorkError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    raw = sys.argv[1:] if arguments is None else arguments
    log = raw[raw.index("--log") + 1] if "--log" in raw[:-1] else None
    try:
        args = _parser().parse_args(raw)
        args.typed = shlex.join(raw[1:])  # options of the command
        keep_freed()
        with _logging(args.log):
            args.run(args)
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted; run the same command again to go on", log, 130)
    except WavlocError as error:
        if "--debug" in raw:
            traceback.print_exc()
        return _fail(str(error), log, error.exit_code)
    except Exception as error:  # the one place where anything unforeseen becomes a line
        if "--debug" in raw:
            traceback.print_exc()
        note = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _fail(f"{note} (run again with --debug for the traceback)", log, 1)


def _fail(message: str, log: str | None, code: int) -> int:
    line = f"wavloc: error: {' '.join(message.split())}"
    print(line, file=sys.stderr)
    if log:
        with contextlib.suppress(OSError), open(log, "a", encoding="utf-8") as handle:
            handle.write(line + "\n")
    return code


@contextlib.contextmanager
def _logging(log: str | None) -> Iterator[None]:
    """Start the log file anew; bars and errors stay on the terminal, `say` goes to both."""
    global _log
    _log = None
    if log:
        try:
            Path(log).parent.mkdir(parents=True, exist_ok=True)
            _log = open(log, "w", encoding="utf-8")  # noqa: SIM115 closed below
        except OSError as error:
            raise InputError(f"cannot write log {log}: {error.strerror or error}") from None
    try:
        yield
    finally:
        if _log:
            _log.close()


_log = None


def say(line: str) -> None:
    """Tell what was done, on stderr (stdout carries results only) and in the log."""
    print(line, file=sys.stderr)
    if _log:
        _log.write(line + "\n")


def _json(text: str) -> Any:
    """A JSON value, or the content of a JSON or YAML file."""
    if text.lstrip().startswith(("{", "[")):
        try:
            return json.loads(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"not valid JSON: {error}") from None
    from wavloc.config import read_yaml

    return read_yaml(Path(text))


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"'{text}', expected a finite number")
    return value


def _pair(text: str) -> tuple[str, Path]:
    key, found, path = text.partition("=")
    if not found or not key or not path:
        raise argparse.ArgumentTypeError(f"'{text}', expected NAME=PATH")
    return key, Path(path)


# --------------------------------------------------------------------------- stages


def _download(args: argparse.Namespace) -> None:
    from wavloc.datasets import fetch

    started = time.perf_counter()
    entry = args.entry.get("download", args.entry)
    if args.root:
        entry = {**entry, "root": args.root}
    network = fetch.Network(args.offline, args.retries, args.backoff, args.timeout)
    manifest = fetch.fetch(args.name, entry, args.cache, network)
    folder = fetch.folder_of(args.name, entry, args.cache)
    for archive, found in manifest["archives"].items():
        say(
            f"{archive}: {found['bytes']} bytes, {found['files']} files, "
            f"{' '.join(found['checksums'])}"
        )
    say(
        f"download {args.name}: {len(manifest['archives'])} archives in {folder}, "
        f"{time.perf_counter() - started:.1f} s; licence: {manifest['licence']}"
    )


def _prepare(args: argparse.Namespace) -> None:
    from wavloc.datasets import sound
    from wavloc.files import read_json

    started = time.perf_counter()
    sound.prepare(args.kind, args.source, args.out, args.options, args.cache, args.seed)
    counts = read_json(args.out / "meta.json").get("counts", {})
    for what, count in counts.items():
        say(f"{what}: {count if isinstance(count, int) else json.dumps(count)}")
    say(f"prepare {args.kind} ({args.source}): {time.perf_counter() - started:.1f} s")


def _simulate(args: argparse.Namespace) -> None:
    from wavloc import datasets, frames
    from wavloc.datasets.sound.corpus import Corpus
    from wavloc.simulation.render import render

    dataset = datasets.create(args.dataset, args.options, args.seed, args.data)
    dataset.check_track(args.track)
    started = time.perf_counter()
    recorded = dataset.recorded(args.track)
    if recorded is not None:
        recorded.save(args.out)
        _say_warnings(recorded.meta)
        count = {key: recorded.meta.get(f"frames_{key}", 0) for key in ("silent", "unlabelled")}
        say(
            f"cut {args.dataset}/{args.track}: {len(recorded)} frames kept, {count['silent']} "
            f"silent, {count['unlabelled']} without a label, {time.perf_counter() - started:.1f} s"
        )
        return
    sounds = {kind: Corpus.load(path) for kind, path in args.sound}
    missing = [kind for kind in dataset.sounds if kind not in sounds]
    if missing:
        raise InputError(f"dataset '{args.dataset}' needs --sound {missing[0]}=FOLDER")
    scenes = dataset.scenes(args.track, sounds)
    _say_warnings(scenes.meta)
    identity = [args.dataset, args.track, args.options, {k: c.meta for k, c in sounds.items()}]
    render(scenes, args.out, args.seed, [*identity, scenes.meta], args.engine)
    kept, seconds = len(frames.load(args.out)), time.perf_counter() - started
    say(
        f"simulate {args.dataset}/{args.track}: {len(scenes)} frames, {kept} kept, "
        f"{seconds:.1f} s, {len(scenes) / seconds:.0f} frames/s"
    )


def _say_warnings(meta: dict[str, Any]) -> None:
    for line in meta.get("warnings", []):
        say(f"warning: {line}")


def _fault(args: argparse.Namespace) -> None:
    from wavloc import frames
    from wavloc.simulation import faults

    data = frames.load(args.frames)
    given = (args.kind, args.level, args.mics, args.seed, args.dataset)
    faults.apply(data, *given).save(args.out)
    say(f"fault {args.kind} {args.level:g} {faults.KINDS[args.kind].unit}: {len(data)} frames")


def _mix(args: argparse.Namespace) -> None:
    import numpy as np

    from wavloc import frames
    from wavloc.simulation import mixtures

    data = frames.load(args.frames)
    partners = frames.concatenate([frames.load(path) for path in args.partners])
    counts = np.full(len(data), args.sources)
    mixtures.mixed(data, partners, counts, args.seed, args.dataset).save(args.out)
    say(f"mix {args.sources} sources: {len(data)} frames, partners of {len(partners)}")


def _subset(args: argparse.Namespace) -> None:
    import numpy as np

    from wavloc import files, frames, setups

    data = frames.load(args.frames)
    drawn = setups.draw_subsets(len(data), data.n_mics, args.mics, args.dataset, args.seed)
    with files.replacing(args.out) as temporary, temporary.open("wb") as handle:
        np.save(handle, drawn)


def _setup(args: argparse.Namespace, n_mics: int) -> Any:
    from wavloc.setups import Setup, load_subset

    subset = load_subset(args.subset) if args.subset else None
    # All microphones chosen is the same as no choice, without a copy of the sound.
    whole = subset is not None and subset.shape[1] == n_mics
    return Setup(args.setup, None if whole else subset)


def _method(args: argparse.Namespace) -> Any:
    from wavloc import methods, plugins

    if not args.model:
        return methods.create(args.method, args.options, args.seed)
    entry = args.options or {}
    found = plugins.plugin_class("methods", entry.get("module", args.method))
    method = found.load(args.model)
    method.name = args.method
    if method.learned:
        from wavloc.training.engine import choose_device

        _threads(args)
        method.to(choose_device(args.device))
    return method


def _threads(args: argparse.Namespace) -> None:
    """Threads of torch; more or fewer change the last bits of a training."""
    import torch

    torch.set_num_threads(args.threads)


def _train(args: argparse.Namespace) -> None:
    from wavloc import files, frames, methods, provenance
    from wavloc.training.engine import Run

    method = methods.create(args.method, args.options, args.seed)
    if not method.learned or method.trained_as:
        raise InputError(f"method '{args.method}' has nothing of its own to train")
    method.cache = args.cache
    _threads(args)
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
        with files.replacing(args.out) as temporary:
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
    from wavloc.training import imported

    train = frames.concatenate([frames.load(path) for path in args.train]) if args.train else None
    method = imported.model(args.file, train, args.out)
    say(f"import-checkpoint: {method.label}, {method.parameters:,} parameters -> {args.out}")


def _parity(args: argparse.Namespace) -> None:
    from wavloc.methods.networks import parity

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

    method = _method(args)
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


def _evaluate(args: argparse.Namespace) -> None:
    from wavloc import frames
    from wavloc.evaluation.conditions import evaluate_by
    from wavloc.evaluation.metrics import evaluate
    from wavloc.setups import load_subset

    data = frames.load(args.frames)
    found = _predictions(args.predictions)
    cell = _cell(args)
    if args.mics is None:
        cell["mics"] = data.n_mics
    options = {
        "known": load_subset(args.subset) if args.subset and args.setup.startswith("2") else None,
        "clean": frames.load(args.clean) if args.clean else None,
        "seed": args.seed,
        "resamples": args.resamples,
        "block": args.block,
    }
    if args.by:
        table = evaluate_by(found, data, cell, args.by, **options)
    else:
        table = evaluate(found, data, cell, **options)
    if args.out:
        _write_csv(args.out, table)
    else:
        print(table.drop(columns=["dataset"]).to_string(index=False))


def _cell(args: argparse.Namespace) -> dict[str, Any]:
    return {key: getattr(args, key) for key in ("dataset", "track", "setup", "mics")}


def _write_csv(path: Path, table: Any) -> None:
    from wavloc import files

    text = table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    files.write_text(path, text)


def _predictions(paths: list[Path]) -> dict[str, Any]:
    """Predictions by the method they name, else by file name."""
    from wavloc.methods import predictions

    found = {}
    for path in paths:
        loaded = predictions.load(path)
        name = loaded.meta.get("method", path.stem)
        if name in found:
            raise InputError(f"{path}: a second predictions file of method '{name}'")
        found[name] = loaded
    return found


def _detect(args: argparse.Namespace) -> None:
    from wavloc import frames
    from wavloc.evaluation.detection import detection

    data, found = frames.load(args.frames), _predictions(args.predictions)
    bootstrap = (args.seed, args.resamples, args.block)
    _write_csv(args.out, detection(found, data, _cell(args), *bootstrap))


def _several(args: argparse.Namespace) -> None:
    from wavloc import frames
    from wavloc.evaluation.several import several

    data, found = frames.load(args.frames), _predictions(args.predictions)
    bootstrap = (args.seed, args.resamples, args.block)
    _write_csv(args.out, several(found, data, _cell(args), *bootstrap))


def _costs(args: argparse.Namespace) -> None:
    from wavloc import files
    from wavloc.evaluation.costs import costs

    notes = {name: files.read_json(path / "method.json")["training"] for name, path in args.models}
    _write_csv(args.out, costs(_predictions(args.predictions), notes, _cell(args)))


def _counts(args: argparse.Namespace) -> None:
    from wavloc import frames
    from wavloc.evaluation.counts import counts

    opened = {track: frames.load(path) for track, path in args.frames}
    _write_csv(args.out, counts(opened, _cell(args)))


def _properties(args: argparse.Namespace) -> None:
    from wavloc import files, frames, setups
    from wavloc.evaluation.properties import measure

    data = frames.load(args.frames)
    if args.subset:
        # The truth is there for the oracle; every other method is kept from it when it predicts.
        data = setups.Setup("1a", setups.load_subset(args.subset)).apply(data, reveal_truth=True)
    models, found = dict(args.models), {}
    for name, entry in args.methods.items():
        chosen = {"method": name, "options": entry, "model": models.get(name)}
        found[name] = measure(_method(argparse.Namespace(**vars(args) | chosen)), data)
    files.write_json(args.out, found)


def _rank(args: argparse.Namespace) -> None:
    from wavloc import frames
    from wavloc.evaluation.metrics import ranked_errors_m
    from wavloc.evaluation.ranking import leaderboard
    from wavloc.methods import predictions

    data = {key: frames.load(path) for key, path in args.frames}
    errors: dict[tuple[str, str], dict[str, Any]] = {}
    for key, path in args.predictions:
        cell, _, method = key.rpartition("/")
        dataset, _, track = cell.partition("/")
        if cell not in data or not track:
            raise InputError(f"--predictions {key}: no --frames {cell or 'DATASET/TRACK'}=PATH")
        found = ranked_errors_m(predictions.load(path), data[cell])
        errors.setdefault((dataset, track), {})[method] = found
    _write_csv(args.out, leaderboard(errors, args.seed, args.resamples, args.block))


def _tables(args: argparse.Namespace) -> None:
    from wavloc import files
    from wavloc.reporting import tables

    for name, folder in args.models:
        note = files.read_json(folder / "method.json")
        args.methods[name] |= {k: note[k] for k in ("parameters", "input_types") if k in note}
    measured = files.read_json(args.properties) if args.properties else {}
    for name in set(measured) & set(args.methods):  # in place of what the method says of itself
        for key in ("permutation_invariant", "variable_mics"):
            args.methods[name][key] = measured[name][key]
    frame = tables.assemble(args.table, args.spec, args.methods, args.metrics, args.paper)
    tables.write(args.out, frame, args.spec, args.methods, args.caption)


def _figures(args: argparse.Namespace) -> None:
    from wavloc.reporting import gather

    found = [dict(args.frames), dict(args.predictions)]
    gather.draw(args.spec, *found, args.methods, args.out, args.metrics)


def _reproduction(args: argparse.Namespace) -> None:
    from wavloc.reporting import reproduction

    view = reproduction.view(args.tables, args.papers_data)
    reproduction.write(args.out, view, args.caption)


def _summary(args: argparse.Namespace) -> None:
    from wavloc import files
    from wavloc.reporting.summary import summary

    files.write_json(args.out, summary(args.tables))


def _report(args: argparse.Namespace) -> None:
    from wavloc.reporting import content

    content.report(args.results, args.config, args.out, args.deviations)


def _locate(args: argparse.Namespace) -> None:
    import numpy as np
    import pandas as pd

    from wavloc import files, recordings

    names, mics = recordings.read_mics(args.mics)
    method = _method(args)
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
        from wavloc.reporting.figures import located

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


# --------------------------------------------------------------------------- arguments


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="wavloc",
        description="3-D sound source localization with distributed microphones: "
        "data, simulation, methods, evaluation, tables. Metres, seconds and hertz throughout.",
    )
    parser.add_argument("--version", action="version", version=f"wavloc {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--log", metavar="FILE", help="also write what is said to this file")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    common.add_argument("--seed", type=int, default=0, help="seed of every random draw (0)")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, parents=[common], help=text, description=text)
        made.set_defaults(run=run)
        return made

    add = command("download", _download, "fetch a published data set into the cache, once")
    add.add_argument("name", help="name of its folder in the cache")
    add.add_argument(
        "--entry", type=_json, required=True,
        help="where it is published: config entry, JSON or file, e.g. config/datasets/luvira.yaml",
    )  # fmt: skip
    add.add_argument("--cache", type=Path, default=Path("data"), help="folder of fetched files")
    add.add_argument("--root", help="folder that has the archives already")
    add.add_argument("--offline", action="store_true", help="fetch nothing, say what is missing")
    add.add_argument("--retries", type=int, default=5, help="per address (5)")
    add.add_argument("--backoff", type=float, default=2.0, help="seconds, doubled each time (2)")
    add.add_argument("--timeout", type=float, default=30.0, help="seconds without a byte (30)")

    add = command("prepare", _prepare, "collect dry speech or music into a corpus folder")
    add.add_argument("--kind", required=True, choices=["speech", "music"])
    add.add_argument(
        "--source", default="embedded", help="embedded, synthetic, folder, librispeech"
    )
    add.add_argument("--options", type=_json, default={}, help="JSON or file, e.g. {'root': PATH}")
    add.add_argument("--cache", type=Path, default=Path("data"), help="folder of fetched files")
    add.add_argument("--out", type=Path, required=True, help="corpus folder to write")

    add = command(
        "simulate", _simulate, "make the Frames of one track: simulate, or cut a recording"
    )
    add.add_argument("--dataset", required=True, help="see `wavloc datasets`")
    add.add_argument("--track", required=True, help="a track or split of the dataset")
    add.add_argument("--options", type=_json, default={}, help="config entry, JSON or file")
    add.add_argument(
        "--sound", type=_pair, action="append", default=[], metavar="KIND=FOLDER",
        help="corpus of a kind (speech=..., music=...), repeatable",
    )  # fmt: skip
    add.add_argument(
        "--engine", choices=["phase_grid", "pyroomacoustics"], default="phase_grid",
        help="what computes the room: ours, or the reference to compare with (phase_grid)",
    )  # fmt: skip
    add.add_argument("--data", type=Path, help="folder of the recordings, if the dataset has some")
    add.add_argument("--out", type=Path, required=True, help="Frames folder to write")

    add = command("fault", _fault, "make microphones of Frames faulty, without saying which")
    add.add_argument("--frames", type=Path, required=True, help="Frames folder or .npz")
    add.add_argument(
        "--kind", required=True,
        help="shift (m), rotation (degrees), swapped (pairs), moved (m), dead (microphones), "
        "noisy (deviation of the noise over that of the signal), clipped (dB), delayed (ms)",
    )  # fmt: skip
    add.add_argument("--level", type=float, required=True, help="how bad, in the kind's unit")
    add.add_argument("--mics", type=int, default=1, help="faulty microphones per frame (1)")
    add.add_argument("--dataset", default="", help="name that enters the seed")
    add.add_argument("--out", type=Path, required=True, help="Frames folder to write")

    add = command("mix", _mix, "let several sources sound at once in each frame")
    add.add_argument("--frames", type=Path, required=True, help="Frames folder or .npz")
    add.add_argument(
        "--partners", type=Path, nargs="+", required=True,
        help="Frames of the same array that the other sources are drawn from",
    )  # fmt: skip
    add.add_argument("--sources", type=int, required=True, help="sources in each frame")
    add.add_argument("--dataset", default="", help="name that enters the seed")
    add.add_argument("--out", type=Path, required=True, help="Frames folder to write")

    add = command("subset", _subset, "draw the microphones that are known in each frame")
    add.add_argument("--frames", type=Path, required=True)
    add.add_argument("--mics", type=int, required=True, help="microphones per frame")
    add.add_argument("--dataset", default="", help="name that enters the seed")
    add.add_argument("--out", type=Path, required=True, help=".npy file to write")

    def add_device(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (auto)")
        parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch (1)")

    def add_method(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--method", required=True, help="see `wavloc methods`")
        parser.add_argument("--options", type=_json, default={}, help="config entry, JSON or file")
        parser.add_argument(
            "--model", type=Path, help="folder of a trained model; it brings its own options"
        )
        add_device(parser)

    add = command("train", _train, "train a learned method; a killed run goes on where it stopped")
    add.add_argument("--method", required=True, help="see `wavloc methods`")
    add.add_argument("--options", type=_json, default={}, help="config entry, JSON or file")
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

    def add_cell(parser: argparse.ArgumentParser) -> None:
        for name in ("dataset", "track"):
            parser.add_argument(f"--{name}", default="", help=f"{name} name for the table")
        parser.add_argument("--setup", default="1a", help="setup name for the table")
        parser.add_argument("--mics", type=int, help="microphones, for the table")

    def add_bootstrap(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--resamples", type=int, default=2000, help="bootstrap (2000)")
        parser.add_argument("--block", type=int, default=1, help="frames resampled together (1)")

    add = command("evaluate", _evaluate, "score predictions against the truth in Frames")
    add.add_argument("--frames", type=Path, required=True, help="Frames folder or .npz with truth")
    add.add_argument("--predictions", type=Path, nargs="+", required=True, help=".parquet or .csv")
    add_cell(add)
    add.add_argument("--subset", type=Path, help="microphones known in each frame, from `subset`")
    add.add_argument(
        "--by", nargs="+", default=[], metavar="COLUMN",
        help="of each value of these columns of the frames, e.g. t60_nominal_s snr_db",
    )  # fmt: skip
    add.add_argument(
        "--clean", type=Path, help="the same frames without noise, for the gain of --audio"
    )
    add_bootstrap(add)
    add.add_argument("--out", type=Path, help="metrics .csv to write; without it, print")

    add = command("detect", _detect, "score how well reliabilities tell faulty microphones")
    add.add_argument("--frames", type=Path, required=True, help="Frames, made by `fault`")
    add.add_argument("--predictions", type=Path, nargs="+", required=True, help=".parquet")
    add_cell(add)
    add_bootstrap(add)
    add.add_argument("--out", type=Path, required=True, help="metrics .csv to write")

    add = command("several", _several, "score positions of several sources at once")
    add.add_argument("--frames", type=Path, required=True, help="Frames, made by `mix`")
    add.add_argument("--predictions", type=Path, nargs="+", required=True, help=".parquet")
    add_cell(add)
    add_bootstrap(add)
    add.add_argument("--out", type=Path, required=True, help="metrics .csv to write")

    add = command("properties", _properties, "measure permutation invariance and variable mics")
    add.add_argument("--methods", type=_json, required=True, help="name -> config entry")
    add.add_argument(
        "--models", type=_pair, nargs="*", default=[], metavar="METHOD=FOLDER",
        help="models of those that are trained",
    )  # fmt: skip
    add.add_argument("--frames", type=Path, required=True, help="Frames folder or .npz")
    add.add_argument("--subset", type=Path, help="microphones per frame, from `subset`")
    add_device(add)
    add.add_argument("--out", type=Path, required=True, help=".json to write")

    add = command("costs", _costs, "collect measured times, memory and energy into metrics rows")
    add.add_argument("--predictions", type=Path, nargs="+", required=True, help=".parquet")
    add.add_argument(
        "--models", type=_pair, nargs="*", default=[], metavar="METHOD=FOLDER",
        help="trained models, for what their training cost",
    )  # fmt: skip
    add_cell(add)
    add.add_argument("--out", type=Path, required=True, help="metrics .csv to write")

    add = command("counts", _counts, "count speakers, utterances and frames of tracks")
    add.add_argument(
        "--frames", type=_pair, nargs="+", required=True, metavar="TRACK=PATH", help="Frames"
    )
    add_cell(add)
    add.add_argument("--out", type=Path, required=True, help="metrics .csv to write")

    add = command("rank", _rank, "mean ranks of methods over datasets, with intervals")
    add.add_argument("--frames", type=_pair, nargs="+", required=True, metavar="DATASET/TRACK=PATH")
    add.add_argument(
        "--predictions", type=_pair, nargs="+", required=True,
        metavar="DATASET/TRACK/METHOD=PATH",
    )  # fmt: skip
    add_bootstrap(add)
    add.add_argument("--out", type=Path, required=True, help="metrics .csv to write")

    def add_reporting(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--spec", type=_json, required=True, help="entry of experiments.yaml")
        parser.add_argument("--methods", type=_json, required=True, help="rows: name -> properties")

    add = command("tables", _tables, "render one table as csv, md and tex")
    add_reporting(add)
    add.add_argument("--table", required=True, help="name, e.g. table1")
    add.add_argument("--metrics", type=Path, nargs="+", required=True, help="metrics .csv files")
    add.add_argument("--paper", type=Path, help="values printed in the paper, .csv")
    add.add_argument(
        "--models", type=_pair, nargs="*", default=[], metavar="METHOD=FOLDER",
        help="trained models, for their numbers of parameters",
    )  # fmt: skip
    add.add_argument("--properties", type=Path, help="measured, from `properties`, .json")
    add.add_argument("--caption", default="", help="which data and profile made it")
    add.add_argument("--out", type=Path, required=True, help="path without suffix")

    add = command("figures", _figures, "draw one figure as png and pdf")
    add_reporting(add)
    for name in ("frames", "predictions"):
        add.add_argument(f"--{name}", type=_pair, nargs="*", default=[], metavar="TRACK=PATH")
    add.add_argument("--out", type=Path, required=True, help="path without suffix")

    add.add_argument(
        "--metrics", type=Path, nargs="*", default=[], help="metrics .csv files, for curves"
    )

    add = command("reproduction", _reproduction, "mark cells whose interval covers the paper's")
    add.add_argument("--tables", type=Path, nargs="+", required=True, help="tables' .csv files")
    add.add_argument(
        "--papers-data", nargs="*", default=[], help="datasets that are the paper's own"
    )
    add.add_argument("--caption", default="", help="which data and profile made it")
    add.add_argument("--out", type=Path, required=True, help="path without suffix")

    add = command("summary", _summary, "one number per method and table, as JSON")
    add.add_argument("--tables", type=Path, nargs="+", required=True, help="tables' .csv files")
    add.add_argument("--out", type=Path, required=True, help=".json to write")

    add = command("report", _report, "write the self-contained HTML report of a results folder")
    add.add_argument("--results", type=Path, required=True)
    add.add_argument("--config", type=_json, required=True, help="resolved config, JSON or file")
    add.add_argument("--deviations", type=Path, help="Markdown for the appendix")
    add.add_argument("--out", type=Path, required=True, help=".html to write")

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
        "--room",
        type=_finite,
        nargs=3,
        required=True,
        metavar=("X", "Y", "Z"),
        help="its size in m",
    )
    add.add_argument(
        "--corner", type=_finite, nargs=3, default=[0.0, 0.0, 0.0], metavar=("X", "Y", "Z"),
        help="where the room begins in the coordinates of the microphones, m (0 0 0)",
    )  # fmt: skip
    add.add_argument(
        "--heights", type=_finite, nargs=2, default=[1.0, 1.8], metavar=("LOW", "HIGH"),
        help="of what is to be located above the floor, m (1 1.8)",
    )  # fmt: skip
    add.add_argument(
        "--t60", type=_finite, nargs="+", default=[0.2, 0.4], metavar="SECONDS",
        help="nominal reverberation time, or its lowest and highest (0.2 0.4)",
    )  # fmt: skip
    add.add_argument("--snr", type=_finite, default=20.0, help="dB at the microphones (20)")
    add.add_argument("--model", type=Path, help="wav2pos model to fine-tune; its sizes are taken")
    add.add_argument("--out", type=Path, required=True, help="config .yaml to write")

    for kind in ("methods", "datasets"):
        add = command(kind, _list, f"list the {kind} there are")
        add.set_defaults(kind=kind)
    return parser


if __name__ == "__main__":
    sys.exit(main())
