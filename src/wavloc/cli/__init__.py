"""The command line: one subcommand per stage, explicit inputs and outputs.

Only reads arguments and files, calls a stage, writes files. Errors are one line; exit code 2 for
bad usage or input, 1 for failures while working; no traceback unless ``--debug``.
"""

import argparse
import contextlib
import io
import os
import re
import shlex
import sys
import textwrap
import traceback
from typing import Any

from wavloc import __version__
from wavloc.allocator import keep_freed
from wavloc.cli import (
    check,
    data,
    evaluation,
    example,
    locate,
    methods,
    own,
    reporting,
    submission,
    tracking,
)
from wavloc.cli.common import SEED, Parser, check_out, logging
from wavloc.errors import WavlocError
from wavloc.reading import READING

# Commands as `wavloc --help` lists them.
GROUPS = {
    "locate and check": (
        *("example", "locate", "check", "own-room", "methods", "datasets", "parity"),
    ),
    "benchmark": ("predict", "evaluate", "rank", "costs", "counts", "properties"),
    "join": ("submit-check", "leaderboard"),
    "train": ("train", "train-steered", "import-checkpoint"),
    "data": ("download", "prepare", "simulate", "fault", "mix", "subset"),
    "report": (
        *("tables", "figures", "single-frames", "reproduction", "summary", "croissant"),
        *("report", "publish"),
    ),
    "keep": ("track", "recall"),
}
# What torch says in a RuntimeError of its own.
_TORCH_MEMORY = re.compile("can't allocate memory|out of memory")


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    raw = sys.argv[1:] if arguments is None else arguments
    log = raw[raw.index("--log") + 1] if "--log" in raw[:-1] else None
    os.environ["MPLBACKEND"] = "Agg"  # whatever a notebook left behind
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        args = _parser().parse_args(raw)
        args.typed = shlex.join(raw[1:])  # options of the command
        keep_freed()
        with logging(args.log):
            _read_plan(args)
            check_out(args)
            args.run(args)
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted; run the same command again to go on", log, 130)
    except Exception as error:  # the one place where anything unforeseen becomes a line
        if "--debug" in raw:
            traceback.print_exc()
        if isinstance(error, WavlocError):
            return _fail(str(error), log, error.exit_code)
        if isinstance(error, OSError | MemoryError):
            return _fail(_machine(error), log, 1)
        if _TORCH_MEMORY.search(str(error)):
            return _fail(_machine(MemoryError()), log, 1)
        note = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _fail(f"{note} (run again with --debug for the traceback)", log, 1)


def _machine(error: OSError | MemoryError) -> str:
    """What the machine refused: memory, space on a disk, access to a file."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    name = f"{error.filename}: " if error.filename else ""
    return name + (error.strerror or str(error))


def _read_plan(args: argparse.Namespace) -> None:
    """``args.plan``, None without --config, and the seed, which the plan has unless it is given."""
    args.plan = None
    if args.config:
        from wavloc import config
        from wavloc.plan import Plan

        args.plan = Plan(config.load(args.config))
    if args.seed is None:
        args.seed = args.plan.seed if args.plan else 0


def _fail(message: str, log: str | None, code: int) -> int:
    line = f"wavloc: error: {' '.join(message.split())}"
    print(line, file=sys.stderr)
    if log:
        with contextlib.suppress(OSError), open(log, "ab") as handle:
            handle.write((line + "\n").encode(errors="backslashreplace"))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="wavloc",
        usage="wavloc COMMAND ... (wavloc COMMAND --help says more)",
        description="3-D sound source localization with distributed microphones: "
        "data, simulation, methods, evaluation, tables. Metres, seconds and hertz throughout.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"wavloc {__version__}")
    common = Parser(add_help=False)
    text = "<results>/plan.json of a run, or a config .yaml: seed, methods, datasets, sizes; "
    common.path("--config", text + "other options go over it", metavar="FILE")
    common.add_argument("--seed", type=SEED, help="seed of every random draw (the config's, or 0)")
    common.add_argument("--log", metavar="FILE", help="also write messages to this file")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(
        metavar="COMMAND", required=True, parser_class=Parser, help=argparse.SUPPRESS, prog="wavloc"
    )
    helps: dict[str, str] = {}

    def command(name: str, run: Any, text: str) -> Parser:
        helps[name] = text
        made = commands.add_parser(name, parents=[common], description=text)
        made.set_defaults(run=run)
        return made

    groups = (data, methods, evaluation, reporting, locate, check, own, example, submission)
    for group in (*groups, tracking):
        group.register(command)
    listed = [
        "\n".join([f"{title}:", *(f"  {name:18s} {helps.pop(name)}" for name in names)])
        for title, names in GROUPS.items()
    ]
    assert not helps, f"commands of no group: {', '.join(helps)}"
    read = textwrap.fill(f"How results are read: {READING}", 98)
    parser.epilog = "\n\n".join([*listed, read])
    return parser
