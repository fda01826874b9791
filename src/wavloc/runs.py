"""One run of the workflow at a time in a folder, after any crash.

A run that was killed (SIGKILL, power loss) leaves Snakemake's lock behind, and the next one would
refuse to start. Here the kernel holds a second lock that dies with its process: whoever has it
knows that Snakemake's own lock is stale.

Files that are dated in the future, because the clock was ahead when they were written, would make
Snakemake refuse whatever is made of them: they are dated anew.
"""

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from wavloc.errors import WorkError

LOCK = Path(".run.lock")
STALE = Path(".snakemake/locks")  # which Snakemake removes when a run ends
# Inputs and outputs of the workflow; `results` and `data` hold those of every shipped profile.
DATED = ("config", "docs", "data", "results")
STEP_NS = 1_000_000
# Options with which Snakemake only shows something.
LOOKS = re.compile(
    "-[nkpqF]*n[nkpqF]*|--dry-?run|--lint|-l|--(list|list-.*|l[tcipu])|-S|--summary|-D|"
    "--detailed-summary|--(rule|file)graph|--(d3)?dag|--report|--print-compilation"
)


def begin(arguments: Sequence[str]) -> TextIO | None:
    """Take the lock of this folder, which is free again when the returned file is closed.

    arguments: of Snakemake; nothing is taken or changed (None) if they only ask to be shown
    something. `WorkError` if another run is at work here.
    """
    if any(LOOKS.fullmatch(argument.partition("=")[0]) for argument in arguments):
        return None
    try:
        handle = LOCK.open("a", encoding="utf-8")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkError("another run is at work in this folder; wait until it has ended") from None
    except OSError as error:
        raise WorkError(f"cannot write {LOCK.absolute()}: {error.strerror or error}") from None
    shutil.rmtree(STALE, ignore_errors=True)
    settle_dates()
    return handle


def settle_dates() -> None:
    """Date what lies in the future at the present, one step apart, so that the order stays."""
    now, dates = time.time_ns(), {}
    for folder in DATED:
        for place, folders, names in os.walk(folder):
            for path in (Path(place, name) for name in [*folders, *names]):
                with contextlib.suppress(FileNotFoundError):  # a job of a killed run goes on
                    dates[path] = path.lstat().st_mtime_ns
    ahead = sorted({date for date in dates.values() if date > now}, reverse=True)
    anew = {date: now - STEP_NS * place for place, date in enumerate(ahead)}
    for path, date in dates.items():
        if date in anew:
            with contextlib.suppress(FileNotFoundError):
                os.utime(path, ns=(anew[date], anew[date]), follow_symlinks=False)
