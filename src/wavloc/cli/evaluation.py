"""Commands for evaluation: from predictions to metrics."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavloc.cli.common import COUNT, Command, Parser, method_of, setting
from wavloc.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

SETUPS = ("1a", "1b", "2a", "2b")


def register(command: Command) -> None:
    """Add the commands and their arguments."""
    add = command("evaluate", _evaluate, "score predictions against the truth in Frames")
    add.add_argument(
        "--kind", default="errors",
        help="errors; conditions (errors by --by), delays (how positions fit arrival times), "
        "denoising (gain of signals against --clean), detection (reliabilities of microphones, "
        "Frames of `fault`), sources (several at once, Frames of `mix`) (errors)",
    )  # fmt: skip
    add.path("--frames", "Frames folder or .npz with truth", required=True)
    add.paths("--predictions", ".parquet or .csv", required=True)
    _add_cell(add)
    add.path("--subset", "microphones known in each frame, from `subset`")
    text = "of each value of these columns of the frames, e.g. t60_nominal_s snr_db"
    add.add_argument("--by", nargs="+", default=[], metavar="COLUMN", help=text)
    add.path("--clean", "the same frames without noise, for the gain of --audio")
    _add_bootstrap(add)
    add.out("metrics .csv to write; without it, a table is printed", to_stdout=True, required=False)

    add = command("properties", _properties, "measure permutation invariance and variable mics")
    add.add_argument("--methods", nargs="+", required=True, help="names, see `wavloc methods`")
    add.pairs("--models", "METHOD=FOLDER", "models of those that are trained")
    add.path("--frames", "Frames folder or .npz", required=True)
    add.path("--subset", "microphones per frame, from `subset`")
    add.device()
    add.out(".json to write", to_stdout=True)

    add = command("costs", _costs, "collect measured times, memory and energy into metrics rows")
    add.paths("--predictions", ".parquet", required=True)
    add.pairs("--models", "METHOD=FOLDER", "trained models, for what their training cost")
    _add_cell(add)
    add.out("metrics .csv to write", to_stdout=True)

    add = command("counts", _counts, "count speakers, utterances and frames of tracks")
    add.pairs("--frames", "TRACK=PATH", "Frames", nargs="+", required=True)
    _add_cell(add)
    add.out("metrics .csv to write", to_stdout=True)

    add = command("rank", _rank, "mean ranks of methods over datasets, with intervals")
    add.pairs("--frames", "DATASET/TRACK=PATH", nargs="+", required=True)
    add.pairs("--predictions", "DATASET/TRACK/METHOD=PATH", nargs="+", required=True)
    _add_bootstrap(add)
    add.out("metrics .csv to write", to_stdout=True)


def _add_cell(parser: Parser) -> None:
    for name in ("dataset", "track"):
        parser.add_argument(f"--{name}", default="", help=f"{name} name for the table")
    parser.add_argument("--setup", default="1a", choices=SETUPS, help="setup name for the table")
    parser.add_argument("--mics", type=COUNT, help="microphones, for the table")


def _add_bootstrap(parser: Parser) -> None:
    parser.number("--resamples", "bootstrap (2000)", 1000, 1_000_000, "", True)
    parser.number("--block", "frames resampled together (1)", COUNT)


def _bootstrap(args: argparse.Namespace) -> dict[str, int]:
    """Seed, resamples and block."""
    known = {"resamples": 2000, "block": 1}
    given = {key: setting(args, key, "evaluation", key, default=known[key]) for key in known}
    return {"seed": args.seed} | given


def _evaluate(args: argparse.Namespace) -> None:
    from wavloc import files, frames
    from wavloc.evaluation import score
    from wavloc.setups import load_subset, require_fit

    data = frames.load(args.frames)
    known = load_subset(args.subset) if args.subset else None
    if known is not None:
        require_fit(known, data)
    cell = _cell(args)
    if args.mics is None:
        cell["mics"] = data.n_mics
    table = score(
        args.kind,
        _predictions(args.predictions),
        data,
        cell,
        by=args.by,
        known=known if args.setup.startswith("2") else None,
        clean=frames.load(args.clean) if args.clean else None,
        **_bootstrap(args),
    )
    if args.out:
        files.write_csv(args.out, table, 6)
    else:
        print(_printed(table))


def _printed(table: pd.DataFrame) -> str:
    """A table of metrics for a terminal: what all rows have in common stands above it."""
    alike = table.astype(str).nunique() == 1
    kept = ("method", "metric", "value")
    common = [name for name in map(str, table) if alike[name] and name not in kept]
    told = {name: str(table[name].iloc[0]) for name in common}
    above = ", ".join(f"{name} {text}" for name, text in told.items() if text not in ("", "nan"))
    rows = table.drop(columns=common)
    return f"{above}\n{rows.to_string(index=False, float_format='{:.2f}'.format)}"


def _properties(args: argparse.Namespace) -> None:
    from wavloc import files, frames, setups
    from wavloc.evaluation.properties import measure

    data = frames.load(args.frames)
    if args.subset:
        # The truth is there for the oracle; every other method is kept from it when it predicts.
        data = setups.Setup("1a", setups.load_subset(args.subset)).apply(data, reveal_truth=True)
    models, measured = dict(args.models), {}
    for name in args.methods:
        chosen = {"method": name, "options": {}, "model": models.get(name)}
        measured[name] = measure(method_of(argparse.Namespace(**vars(args) | chosen)), data)
    files.write_json(args.out, measured)


def _costs(args: argparse.Namespace) -> None:
    from wavloc import files
    from wavloc.evaluation.costs import costs

    notes = {
        name: files.read_mapping(path / "method.json", "training")["training"]
        for name, path in args.models
    }
    files.write_csv(args.out, costs(_predictions(args.predictions), notes, _cell(args)), 6)


def _counts(args: argparse.Namespace) -> None:
    from wavloc import files, frames
    from wavloc.evaluation.counts import counts

    opened = {track: frames.load(path) for track, path in args.frames}
    files.write_csv(args.out, counts(opened, _cell(args)), 6)


def _rank(args: argparse.Namespace) -> None:
    from wavloc import files, frames
    from wavloc.evaluation.errors import ranked_errors_m
    from wavloc.evaluation.ranking import leaderboard
    from wavloc.methods import predictions

    data = {key: frames.load(path) for key, path in args.frames}
    errors: dict[tuple[str, str], dict[str, Any]] = {}
    without = set()  # methods that a cell has no predictions of have no rank
    for key, path in args.predictions:
        cell, _, method = key.rpartition("/")
        dataset, _, track = cell.partition("/")
        if cell not in data or not track:
            raise InputError(f"--predictions {key}: no --frames {cell or 'DATASET/TRACK'}=PATH")
        found = predictions.load(path)
        if found.meta.get("other_frames"):
            without.add(method)
        errors.setdefault((dataset, track), {})[method] = ranked_errors_m(found, data[cell])
    errors = {
        cell: {method: error for method, error in by_method.items() if method not in without}
        for cell, by_method in errors.items()
    }
    if not all(errors.values()):
        raise InputError("--predictions: a cell has no method with predictions of every cell")
    files.write_csv(args.out, leaderboard(errors, **_bootstrap(args)), 6)


def _cell(args: argparse.Namespace) -> dict[str, Any]:
    return {key: getattr(args, key) for key in ("dataset", "track", "setup", "mics")}


def _predictions(paths: list[Path]) -> dict[str, Any]:
    """Predictions by the method they name, else by file name."""
    from wavloc.methods import predictions

    by_method: dict[str, Any] = {}
    for path in paths:
        loaded = predictions.load(path)
        name = loaded.meta.get("method", path.stem)
        if name in by_method:
            raise InputError(f"{path}: a second predictions file of method '{name}'")
        by_method[name] = loaded
    return by_method
