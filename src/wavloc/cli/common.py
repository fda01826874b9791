"""What the commands share: types and groups of arguments, settings, messages."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import operator
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from wavloc import checks, files, ranges
from wavloc.errors import InputError

if TYPE_CHECKING:
    from wavloc.methods.registry import Entry


class Parser(argparse.ArgumentParser):
    """A parser of arguments that declares the usual kinds of options in one line each."""

    def error(self, message: str) -> NoReturn:
        """Raise `InputError` instead of leaving."""
        raise InputError(f"{message} (see {self.prog} --help)")

    def path(self, name: str, text: str, **how: Any) -> None:
        """A file or folder."""
        self.add_argument(name, type=Path, help=text, **how)

    def paths(self, name: str, text: str, **how: Any) -> None:
        """Files or folders, at least one."""
        self.path(name, text, **{"nargs": "+", "default": []} | how)

    def out(self, text: str, *suffixes: str, to_stdout: bool = False, **how: Any) -> None:
        """The file that a command writes, or one of each suffix; checked before the work begins.

        to_stdout: ``-`` is standard output.
        """
        text += "; - for standard output" * to_stdout
        self.path("--out", text, **{"required": True} | how)
        self.set_defaults(suffixes=suffixes or ("",), to_stdout=to_stdout)

    def pairs(self, name: str, form: str, text: str | None = None, **how: Any) -> None:
        """Any number of NAME=PATH."""
        how = {"nargs": "*", "default": []} | how
        self.add_argument(name, type=pair, metavar=form, help=text, **how)

    def json(self, name: str, text: str, **how: Any) -> None:
        """A JSON mapping or a file of one."""
        self.add_argument(name, type=mapping, help=text, **how)

    def number(self, name: str, text: str, *limits: Any, **how: Any) -> None:
        """A number within limits, which are those of `number`, or a type made by it."""
        read = limits[0] if callable(limits[0]) else number(*limits)
        self.add_argument(name, type=read, help=text, **how)

    def numbers(
        self, name: str, form: str | tuple[str, ...], text: str, *limits: Any, **how: Any
    ) -> None:
        """As `number`, as many as the form has parts."""
        self.number(name, text, *limits, **{"nargs": len(form), "metavar": form} | how)

    def device(self) -> None:
        """Where torch computes."""
        self.add_argument("--device", help="auto, cpu, cuda, cuda:1 ... (auto)")
        self.number("--threads", "CPU threads of torch (1)", 1, 1024, "", True, default=1)

    def entry(self, default: str | None = None) -> None:
        """Which method."""
        text = "see `wavloc methods`" + f" ({default})" * bool(default)
        self.add_argument("--method", required=not default, default=default, help=text)
        text = "changes of its config entry, JSON or file: '{\"options\": {...}}'"
        self.json("--options", text, default={})

    def method(self, default: str | None = None) -> None:
        """Which method, from its entry or a model folder, and where it computes."""
        self.entry(default)
        self.path("--model", "folder of a trained model; it brings its own options")
        self.device()


Command = Callable[[str, Callable[[argparse.Namespace], None], str], Parser]

_log = None  # the open log file of the running command


@contextlib.contextmanager
def logging(log: str | None) -> Iterator[None]:
    """Start the log file anew; bars and errors stay on the terminal, `say` goes to both."""
    global _log
    _log = None
    if log:
        try:
            if not Path(log).is_char_device():  # /dev/null, /dev/stderr
                files.check_file(log)
            Path(log).parent.mkdir(parents=True, exist_ok=True)
            _log = open(log, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        except OSError as error:
            raise InputError(f"cannot write log {log}: {error.strerror or error}") from None
    try:
        yield
    finally:
        if _log:
            _log.close()


def say(line: str) -> None:
    """Print a message to stderr (stdout carries results only) and to the log."""
    print(line, file=sys.stderr)
    if _log:
        _log.write(line + "\n")


def mapping(text: str) -> dict[str, Any]:
    """A JSON mapping, or the content of a JSON or YAML file."""
    if not text.lstrip().startswith(("{", "[")):
        from wavloc.config import read_yaml

        return read_yaml(Path(text))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{checks.shown(value)}, expected names and values")
    return value


def number(
    low: float = -checks.INFINITE,
    high: float = checks.INFINITE,
    unit: str = "",
    whole: bool = False,
    above: bool = False,
) -> Callable[[str], Any]:
    """Type of an argument: a number within a range, see `checks.number`."""

    def read(text: str) -> Any:
        try:
            value: Any = int(text) if whole else float(text)
        except ValueError:
            value = text
        try:
            return checks.number(value, "value", low, high, unit, whole=whole, above=above)
        except InputError:
            expected = checks.expected(low, high, unit, whole, above)
            if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
                expected = expected.replace("a number", "a finite number")
            raise argparse.ArgumentTypeError(f"'{text}', expected {expected}") from None

    return read


def asked(name: str) -> Callable[[str], Any]:
    """Type of the argument for an option of `wavloc.locate`, with its range."""
    limits = ranges.ASKED[name]
    return number(*limits[:3], above=limits.above)


PLOTS = (".png", ".pdf", ".svg")  # suffixes of --plot
METRES = number(-1e6, 1e6, "m")
COUNT = number(1, 1_000_000, whole=True)
SEED = number(0, 2**63 - 1, whole=True)
SECONDS = number(0, 1e9, "s", above=True)


def pair(text: str) -> tuple[str, Path]:
    """``NAME=PATH``."""
    key, _, path = text.partition("=")
    if not key or not path:
        raise argparse.ArgumentTypeError(f"'{text}', expected NAME=PATH")
    return key, Path(path)


def check_out(args: argparse.Namespace) -> None:
    """Raise `InputError` if what `Parser.out` asked for cannot be written."""
    suffixes = getattr(args, "suffixes", ())
    if suffixes and args.out and not (args.to_stdout and args.out == files.STDOUT):
        for suffix in suffixes:
            files.check_file(f"{args.out}{suffix}")


def setting(args: argparse.Namespace, name: str, *keys: str, default: Any) -> Any:
    """Value of an option, or what the config says under ``keys``, or the default without one."""
    given = getattr(args, name)
    if given is not None:
        return given
    if args.plan is None:
        return default
    return functools.reduce(operator.getitem, keys, args.plan.config)


def check_plot(args: argparse.Namespace) -> None:
    """Raise `InputError` where --plot cannot be written."""
    if not args.plot:
        return
    files.check_file(args.plot)
    if args.plot.suffix.lower() not in PLOTS:
        expected = ", ".join(PLOTS)
        raise InputError(f"--plot {args.plot}: expected a name that ends in {expected}")
    if args.out:
        plot, out = args.plot.absolute(), args.out.absolute()
        if plot in (out, *out.parents) or out in plot.parents:
            raise InputError(f"--plot {args.plot}: is --out too, expected another name")


def entry_of(args: argparse.Namespace) -> Entry:
    """Config entry of --method, with the changes of --options."""
    from wavloc.methods import registry

    if "module" in args.options:  # a name of one's own
        return registry.Entry(args.method).changed(args.options)
    known = args.plan.methods if args.plan else None
    return registry.named(args.method, known).changed(args.options)


def method_of(args: argparse.Namespace) -> Any:
    """The method that `Parser.method` asked for, ready to predict."""
    from wavloc.methods import registry

    device = setting(args, "device", "training", "device", default="auto")
    method = registry.ready(entry_of(args), args.model, args.seed, device)
    if hasattr(method, "to"):
        from wavloc import devices

        devices.set_threads(args.threads)
    return method
