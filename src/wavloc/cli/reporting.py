"""Commands for reporting: from metrics to tables, figures and the report."""

from __future__ import annotations

import argparse
from pathlib import Path

from wavloc.cli.common import Command, json_value, pair


def register(command: Command) -> None:
    """Add the commands and their arguments."""
    add = command("tables", _tables, "render one table as csv, md and tex")
    _add_reporting(add)
    add.add_argument("--table", required=True, help="name, e.g. table1")
    add.add_argument("--metrics", type=Path, nargs="+", required=True, help="metrics .csv files")
    add.add_argument("--paper", type=Path, help="values printed in the paper, .csv")
    add.add_argument(
        "--models", type=pair, nargs="*", default=[], metavar="METHOD=FOLDER",
        help="trained models, for their numbers of parameters",
    )  # fmt: skip
    add.add_argument("--properties", type=Path, help="measured, from `properties`, .json")
    add.add_argument("--caption", default="", help="which data and profile made it")
    add.add_argument("--out", type=Path, required=True, help="path without suffix")

    add = command("figures", _figures, "draw one figure as png and pdf")
    _add_reporting(add)
    for name in ("frames", "predictions"):
        add.add_argument(f"--{name}", type=pair, nargs="*", default=[], metavar="TRACK=PATH")
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
    add.add_argument(
        "--config", type=json_value, required=True, help="resolved config, JSON or file"
    )
    add.add_argument("--deviations", type=Path, help="Markdown for the appendix")
    add.add_argument("--out", type=Path, required=True, help=".html to write")


def _add_reporting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", type=json_value, required=True, help="entry of experiments.yaml")
    parser.add_argument(
        "--methods", type=json_value, required=True, help="rows: name -> properties"
    )


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
    from wavloc.reporting import figures

    found = [dict(args.frames), dict(args.predictions)]
    figures.draw(args.spec, *found, args.methods, args.out, args.metrics)


def _reproduction(args: argparse.Namespace) -> None:
    from wavloc.reporting.tables import reproduction

    view = reproduction.view(args.tables, args.papers_data)
    reproduction.write(args.out, view, args.caption)


def _summary(args: argparse.Namespace) -> None:
    from wavloc import files
    from wavloc.reporting.tables.summary import summary

    files.write_json(args.out, summary(args.tables))


def _report(args: argparse.Namespace) -> None:
    from wavloc.reporting import html

    html.report(args.results, args.config, args.out, args.deviations)
