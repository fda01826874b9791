"""Run Snakemake with the given arguments, alone in this folder and after any crash.

A run that was killed (SIGKILL, power loss) leaves Snakemake's lock behind, and the next one would
refuse to start. Here the kernel holds a second lock that dies with its process: whoever has it
knows that Snakemake's own lock is stale.

Files that are dated in the future, because the clock was ahead when they were written, would make
Snakemake refuse whatever is made of them: they are dated anew.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

# Inputs and outputs of the workflow; `results` and `data` hold those of every shipped profile.
DATED = ("config", "docs", "data", "results")
STEP_NS = 1_000_000


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


def main() -> None:
    handle = os.open(".run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("wavloc: error: another run is at work in this folder; wait until it has ended")
    settle_dates()
    os.set_inheritable(handle, True)  # kept by the process that replaces this one
    config = sys.argv[1:]
    if Path(".snakemake/locks").exists():  # it is removed when a run ends
        subprocess.run(
            ["snakemake", "--unlock", *config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    os.execvp("snakemake", ["snakemake", *config])


if __name__ == "__main__":
    main()
