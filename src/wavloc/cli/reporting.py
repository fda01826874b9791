"""Commands for reporting: from metrics to tables, figures and the report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wavloc.checks import one_of
from wavloc.cli.common import Command, say
from wavloc.errors import InputError

if TYPE_CHECKING:
    from wavloc.plan import Plan


def register(command: Command) -> None:
    """Add the commands and their arguments."""
    add = command("tables", _tables, "render one table as csv, md and tex")
    add.add_argument("--table", required=True, help="name in the config, e.g. table1")
    add.paths("--metrics", "metrics .csv files", required=True)
    add.path("--paper", "values printed in the paper, .csv")
    add.pairs("--models", "METHOD=FOLDER", "trained models, for their numbers of parameters")
    add.path("--properties", "measured, from `properties`, .json")
    add.out("path without suffix", ".csv", ".md", ".tex")

    add = command("figures", _figures, "draw one figure as png and pdf")
    add.add_argument("--figure", required=True, help="name in the config, e.g. fig1")
    add.pairs("--frames", "TRACK=PATH")
    add.pairs("--predictions", "TRACK/METHOD=PATH")
    add.paths("--metrics", "metrics .csv files, for curves", nargs="*")
    add.out("path without suffix", ".png", ".pdf")

    text = "make the page of single frames: signals, correlations, a map, all answers"
    add = command("single-frames", _single_frames, text)
    add.path("--frames", "Frames folder or .npz of the cell", required=True)
    add.pairs("--predictions", "METHOD=PATH", nargs="+", required=True)
    add.out(".html to write")

    add = command("reproduction", _reproduction, "mark cells whose interval covers the paper's")
    add.paths("--tables", "tables' .csv files", required=True)
    add.out("path without suffix", ".csv", ".md")

    add = command("summary", _summary, "write one number per method and table as JSON")
    add.paths("--tables", "tables' .csv files", required=True)
    add.out(".json to write", to_stdout=True)

    text = "describe the frames of a dataset for machines, Croissant JSON-LD"
    add = command("croissant", _croissant, text)
    add.add_argument("--dataset", required=True, help="see `wavloc datasets`")
    add.pairs("--frames", "TRACK=PATH", "its Frames folders", nargs="+", required=True)
    add.path("--out", ".json to write; addresses in it are relative to its folder", required=True)

    add = command("report", _report, "write the self-contained HTML report of a run")
    add.path("--results", "folder of the run (the config's)")
    add.path("--deviations", "Markdown for the appendix")
    add.out(".html to write")

    add = command("publish", _publish, "copy what a finished run shows, with its provenance")
    add.path("--out", "folder to write", required=True)


def _plan(args: argparse.Namespace) -> Plan:
    if args.plan is None:
        raise InputError("--config FILE is needed: <results>/plan.json of a run, or a config .yaml")
    return args.plan


def _named(args: argparse.Namespace, kind: str) -> str:
    return one_of(getattr(args, kind), _plan(args).config[f"{kind}s"], f"unknown {kind}")


def _tables(args: argparse.Namespace) -> None:
    from wavloc import files, jobs
    from wavloc.reporting import tables

    job = jobs.table(_plan(args), _named(args, "table"))
    rows, frames = job["methods"], dict[str, set[int]]()
    for name, folder in args.models:
        note = files.read_mapping(folder / "method.json")
        one_of(name, rows, f"--models: no row of {args.table}:")
        if name not in frames:  # of several models the first
            rows[name] |= {k: note[k] for k in ("parameters", "input_types") if note.get(k)}
        frames.setdefault(name, set()).add(note.get("training", {}).get("frames", 0))
    measured = files.read_mapping(args.properties) if args.properties else {}
    for name in set(measured) & set(rows):  # in place of what the entry says
        for key in ("permutation_invariant", "variable_mics"):
            if not isinstance(measured[name], dict) or key not in measured[name]:
                raise InputError(
                    f"{args.properties}, {name}: no '{key}', expected a file of `wavloc properties`"
                )
            rows[name][key] = measured[name][key]
    frame = tables.assemble(args.table, job["spec"], rows, args.metrics, args.paper)
    caption = " ".join([job["caption"], jobs.networks(_plan(args), args.table, frames)]).strip()
    tables.write(args.out, frame, job["spec"], rows, caption)


def _figures(args: argparse.Namespace) -> None:
    from wavloc import jobs
    from wavloc.reporting import figures

    job = jobs.figure(_plan(args), _named(args, "figure"))
    frames, predictions = dict(args.frames), dict(args.predictions)
    figures.draw(job["spec"], frames, predictions, job["methods"], args.out, args.metrics)


def _single_frames(args: argparse.Namespace) -> None:
    from wavloc import frames, jobs
    from wavloc.methods import predictions
    from wavloc.reporting.html import single_frames as page

    plan = _plan(args)
    job, data = jobs.single_frames(plan), frames.load(args.frames)
    predicted = {name: predictions.load(path) for name, path in args.predictions}
    page.write(args.out, data, predicted, job["methods"], job["spec"], plan.seed)


def _reproduction(args: argparse.Namespace) -> None:
    from wavloc import jobs
    from wavloc.reporting.tables import reproduction

    job = jobs.reproduction(_plan(args))
    view = reproduction.view(args.tables, job["papers_data"])
    reproduction.write(args.out, view, job["caption"])


def _summary(args: argparse.Namespace) -> None:
    from wavloc import files
    from wavloc.reporting.tables.summary import summary

    files.write_json(args.out, summary(args.tables))


def _croissant(args: argparse.Namespace) -> None:
    from wavloc import files, jobs
    from wavloc.reporting import croissant

    plan = _plan(args)
    one_of(args.dataset, sorted(plan.config["datasets"]), "unknown dataset")
    files.check_file(args.out)
    entry, tracks = jobs.croissant(plan, args.dataset), dict(args.frames)
    described = croissant.describe(args.dataset, entry, tracks, args.out.absolute().parent)
    files.write_json(args.out, described)


def _report(args: argparse.Namespace) -> None:
    from wavloc import jobs
    from wavloc.reporting import html

    plan = _plan(args)
    html.report(args.results or Path(plan.results), jobs.report(plan), args.out, args.deviations)


def _publish(args: argparse.Namespace) -> None:
    from wavloc.reporting import publish

    plan = _plan(args)
    shown = [*plan.table_files, *plan.figure_files, f"{plan.results}/report.html"]
    count = publish.publish(Path(plan.results), shown, plan.config, args.out)
    say(f"publish {plan.config['profile']}: {count} files -> {args.out}")
