"""Run Snakemake with the given arguments, once the config files among them are known to be good.

Snakemake reads these before the Snakefile and shows a traceback for what it cannot read.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

try:
    from wavloc.config import read_yaml
    from wavloc.errors import InputError
except ImportError as error:
    sys.exit(f"wavloc: error: {error}; `make env`, then `source .venv/bin/activate`")


def config_files(arguments: list[str]) -> Iterator[Path]:
    """What ``--configfile`` and ``--configfiles`` name."""
    named = False
    for argument in arguments:
        if argument.startswith("-"):
            option, _, argument = argument.partition("=")
            named = option in ("--configfile", "--configfiles")
        if named and argument:
            yield Path(argument)


def main() -> None:
    try:
        for path in config_files(sys.argv[1:]):
            read_yaml(path)
        os.execvp("snakemake", ["snakemake", *sys.argv[1:]])
    except InputError as error:
        sys.exit(f"wavloc: error: {error}")
    except FileNotFoundError:
        sys.exit("wavloc: error: no snakemake; `make env`, then `source .venv/bin/activate`")


if __name__ == "__main__":
    main()
