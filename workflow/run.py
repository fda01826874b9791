"""Run Snakemake with the given arguments, alone in this folder and after any crash.

A run that was killed (SIGKILL, power loss) leaves Snakemake's lock behind, and the next one would
refuse to start. Here the kernel holds a second lock that dies with its process: whoever has it
knows that Snakemake's own lock is stale.
"""

import fcntl
import os
import subprocess
import sys


def main() -> None:
    handle = os.open(".run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("wavloc: error: another run is at work in this folder; wait until it has ended")
    os.set_inheritable(handle, True)  # kept by the process that replaces this one
    config = sys.argv[1:]
    subprocess.run(
        ["snakemake", "--unlock", *config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.execvp("snakemake", ["snakemake", *config])


if __name__ == "__main__":
    main()
