"""Commands for evaluation: from predictions to metrics."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from wavloc.cli.common import Command, add_device, json_value, method_of, pair
from wavloc.errors import InputError


def register(command: Command) -> None:
    """Add the commands and their arguments."""
    add = command("evaluate", _evaluate, "score predictions against the truth in Frames")
    add.add_argument("--frames", type=Path, required=True, help="Frames folder or .npz with truth")
    add.add_argument("--predictions", type=Path, nargs="+", required=True, help=".parquet or .csv")
    _add_cell(add)
    add.add_argument("--subset", type=Path, help="microphones known in each frame, from `subset`")
    add.add_argument(
        "--by", nargs="+", default=[], metavar="COLUMN",
        help="of each value of these columns of the frames, e.g. t60_nominal_s snr_db",
    )  # fmt: skip
    add.add_argument(
        "--clean", type=Path, help="the same frames without noise, for the gain of --audio"
    )
    _add_bootstrap(add)
    add.add_argument("--out", type=Path, help="metrics .csv to write; without it, print")

    for name, run, text, maker in (
        ("detect", _detect, "score how well reliabilities tell faulty microphones", "fault"),
        ("several", _several, "score positions of several sources at once", "mix"),
    ):
        add = command(name, run, text)
        add.add_argument("--frames", type=Path, required=True, help=f"Frames, made by `{maker}`")
        add.add_argument("--predictions", type=Path, nargs="+", required=True, help=".parquet")
        _add_cell(add)
        _add_bootstrap(add)
        add.add_argument("--out", type=Path, required=True, help="metrics .csv to write")

    add = command("properties", _properties, "measure permutation invariance and variable mics")
    add.add_argument("--methods", type=json_value, required=True, help="name -> config entry")
    add.add_argument(
        "--models", type=pair, nargs="*", default=[], metavar="METHOD=FOLDER",
        help="models of those that are trained",
    )  # fmt: skip
    add.add_argument("--frames", type=Path, required=True, help="Frames folder or .npz")
    add.add_argument("--subset", type=Path, help="microphones per frame, from `subset`")
    add_device(add)
    add.add_argument("--out", type=Path, required=True, help=".json to write")

    add = command("costs", _costs, "collect measured times, memory and energy into metrics rows")
    add.add_argument("--predictions", type=Path, nargs="+", required=True, help=".parquet")
    add.add_argument(
        "--models", type=pair, nargs="*", default=[], metavar="METHOD=FOLDER",
        help="trained models, for what their training cost",
    )  # fmt: skip
    _add_cell(add)
    add.add_argument("--out", type=Path, required=True, help="metrics .csv to write")

    add = command("counts", _counts, "count speakers, utterances and frames of tracks")
    add.add_argument(
        "--frames", type=pair, nargs="+", required=True, metavar="TRACK=PATH", help="Frames"
    )
    _add_cell(add)
    add.add_argument("--out", type=Path, required=True, help="metrics .csv to write")

    add = command("rank", _rank, "mean ranks of methods over datasets, with intervals")
    add.add_argument("--frames", type=pair, nargs="+", required=True, metavar="DATASET/TRACK=PATH")
    add.add_argument(
        "--predictions", type=pair, nargs="+", required=True,
        metavar="DATASET/TRACK/METHOD=PATH",
    )  # fmt: skip
    _add_bootstrap(add)
    add.add_argument("--out", type=Path, required=True, help="metrics .csv to write")


def _add_cell(parser: argparse.ArgumentParser) -> None:
    for name in ("dataset", "track"):
        parser.add_argument(f"--{name}", default="", help=f"{name} name for the table")
    parser.add_argument("--setup", default="1a", help="setup name for the table")
    parser.add_argument("--mics", type=int, help="microphones, for the table")


def _add_bootstrap(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--resamples", type=int, default=2000, help="bootstrap (2000)")
    parser.add_argument("--block", type=int, default=1, help="frames resampled together (1)")


def _evaluate(args: argparse.Namespace) -> None:
    from wavloc import frames
    from wavloc.evaluation import score
    from wavloc.setups import load_subset

    data = frames.load(args.frames)
    found = _predictions(args.predictions)
    cell = _cell(args)
    if args.mics is None:
        cell["mics"] = data.n_mics
    options = {
        "by": args.by,
        "known": load_subset(args.subset) if args.subset and args.setup.startswith("2") else None,
        "clean": frames.load(args.clean) if args.clean else None,
        "seed": args.seed,
        "resamples": args.resamples,
        "block": args.block,
    }
    kind = "denoising" if args.clean else "conditions" if args.by else "errors"
    table = score(kind, found, data, cell, **options)
    if args.out:
        _write_csv(args.out, table)
    else:
        print(table.drop(columns=["dataset"]).to_string(index=False))


def _detect(args: argparse.Namespace) -> None:
    _score("detection", args)


def _several(args: argparse.Namespace) -> None:
    _score("sources", args)


def _score(kind: str, args: argparse.Namespace) -> None:
    from wavloc import frames
    from wavloc.evaluation import score

    data, found = frames.load(args.frames), _predictions(args.predictions)
    given = {key: getattr(args, key) for key in ("seed", "resamples", "block")}
    _write_csv(args.out, score(kind, found, data, _cell(args), **given))


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
        found[name] = measure(method_of(argparse.Namespace(**vars(args) | chosen)), data)
    files.write_json(args.out, found)


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


def _rank(args: argparse.Namespace) -> None:
    from wavloc import frames
    from wavloc.evaluation.errors import ranked_errors_m
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
