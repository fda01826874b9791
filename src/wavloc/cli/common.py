"""What the commands share: types of arguments, groups of arguments, what is said."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wavloc.errors import InputError

Command = Callable[[str, Callable[[argparse.Namespace], None], str], argparse.ArgumentParser]

_log = None  # the open log file of the running command


@contextlib.contextmanager
def logging(log: str | None) -> Iterator[None]:
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


def say(line: str) -> None:
    """Tell what was done, on stderr (stdout carries results only) and in the log."""
    print(line, file=sys.stderr)
    if _log:
        _log.write(line + "\n")


def json_value(text: str) -> Any:
    """A JSON value, or the content of a JSON or YAML file."""
    if text.lstrip().startswith(("{", "[")):
        try:
            return json.loads(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"not valid JSON: {error}") from None
    from wavloc.config import read_yaml

    return read_yaml(Path(text))


def finite(text: str) -> float:
    """A number that is neither infinite nor NaN."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"'{text}', expected a finite number")
    return value


def pair(text: str) -> tuple[str, Path]:
    """``NAME=PATH``."""
    key, found, path = text.partition("=")
    if not found or not key or not path:
        raise argparse.ArgumentTypeError(f"'{text}', expected NAME=PATH")
    return key, Path(path)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where torch computes."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (auto)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch (1)")


def add_method(parser: argparse.ArgumentParser) -> None:
    """Which method, from its options or a model folder."""
    parser.add_argument("--method", required=True, help="see `wavloc methods`")
    parser.add_argument("--options", type=json_value, default={}, help="config entry, JSON or file")
    parser.add_argument(
        "--model", type=Path, help="folder of a trained model; it brings its own options"
    )
    add_device(parser)


def method_of(args: argparse.Namespace) -> Any:
    """The method that `add_method` asked for, ready to predict."""
    from wavloc import methods, plugins

    if not args.model:
        return methods.create(args.method, args.options, args.seed)
    entry = args.options or {}
    found = plugins.plugin_class("methods", entry.get("module", args.method))
    method = found.load(args.model, entry.get("options"))
    method.name = args.method
    if hasattr(method, "to"):
        from wavloc import devices

        devices.set_threads(args.threads)
        method.to(devices.choose_device(args.device))
    return method
