"""The command line: one subcommand per stage, explicit inputs and outputs.

Only reads arguments and files, calls a stage, writes files. Errors are one line; exit code 2 for
bad usage or input, 1 for failures while working; no traceback unless ``--debug``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
import traceback
from typing import Any, NoReturn

from wavloc import __version__
from wavloc.allocator import keep_freed
from wavloc.cli import data, evaluation, methods, own, reporting
from wavloc.cli.common import logging
from wavloc.errors import InputError, WavlocError


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    raw = sys.argv[1:] if arguments is None else arguments
    log = raw[raw.index("--log") + 1] if "--log" in raw[:-1] else None
    try:
        args = _parser().parse_args(raw)
        args.typed = shlex.join(raw[1:])  # options of the command
        keep_freed()
        with logging(args.log):
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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


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

    for group in (data, methods, evaluation, reporting, own):
        group.register(command)
    return parser
