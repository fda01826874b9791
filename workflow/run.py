"""Run Snakemake with the given arguments, where it would show a traceback before our Snakefile.

It reads the config files among the arguments first, and writes to a cache in the home folder.
"""

import os
import sys
import tempfile
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


def settle_cache() -> None:
    """Have Snakemake's cache here where there is no place for it in the home folder."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except (OSError, RuntimeError) as error:  # the latter: no home
        here = Path(".snakemake/cache").absolute()
        os.environ["XDG_CACHE_HOME"] = str(here)
        print(f"wavloc: the cache of Snakemake goes to {here} ({error})", file=sys.stderr)


def main() -> None:
    try:
        for path in config_files(sys.argv[1:]):
            read_yaml(path)
        settle_cache()
        os.execvp("snakemake", ["snakemake", *sys.argv[1:]])
    except InputError as error:
        sys.exit(f"wavloc: error: {error}")
    except FileNotFoundError:
        sys.exit("wavloc: error: no snakemake; `make env`, then `source .venv/bin/activate`")


if __name__ == "__main__":
    main()
