"""Crash test: runs of the smoke profile are disturbed, then started again.

    python benchmarks/crashes.py [--rounds 20] [--only CRASH ...] [--targets tables] --json OUT

An undisturbed run comes first. Each round starts a run in a new folder, disturbs it once and starts
it again with the same command. It has recovered if that run succeeds and all tables are byte for
byte those of the undisturbed run, except Table V, which measures time. A table that differs counts
as lost. The moment of a crash is random: after a number of finished jobs, plus up to two seconds.
"made_again" counts files that were finished before the second run and that it wrote again.

Kinds of crashes; the first three share the rounds, each of the others has one round:

    worker      SIGKILL of one running job
    scheduler   SIGKILL of Snakemake alone: its jobs continue while the second run starts
    everything  SIGKILL of the whole run, as in a power failure
    disk        the file system is full (a small tmpfs; needs root); space is freed before the rerun
    memory      the kernel kills a process for memory (a memory control group; needs root)
    ahead       stopped, and all files are dated a day ahead, as if the clock had been wrong
    behind      the same, dated three days back
    two         a second run is started in the folder of the first and must refuse

`make test-slurm` tests the loss of a cluster node.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from wavloc import files, provenance, seeds

ROOT = Path(__file__).parent.parent
PROJECT = ["Snakefile", "workflow", "config", "profiles", "docs"]
KILLS = ["worker", "scheduler", "everything"]
RESULTS = Path("results/smoke")
MEMORY_GROUP = Path("/sys/fs/cgroup/memory")
DAY_S = 86400
TOO_LATE, DRAWS = "the run ended before the crash", 5  # then another moment is drawn


class Skipped(Exception):
    """Why a crash cannot be caused on this machine, or did not happen."""


class Run:
    """A folder with a copy of the project, and the command that runs it."""

    def __init__(self, folder: Path, targets: list[str], cores: int):
        self.folder = folder
        self.command = [sys.executable, "workflow/run.py", "--cores", str(cores)]
        self.command += ["--configfile", "config/smoke.yaml", "--", *targets]
        self.log = folder / "run.log"
        folder.mkdir(parents=True, exist_ok=True)
        for name in PROJECT:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)

    def start(self, log: str = "run.log") -> subprocess.Popen:
        """Start a run in its own session, by which all of its processes can be listed."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {k: v for k, v in os.environ.items() if k != "SNAKEMAKE_PROFILE"}
        with (self.folder / log).open("w") as output:
            return subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=environment | {"PATH": path, "OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self) -> int:
        """Run again to the end; returns the exit code."""
        return self.start("rerun.log").wait()

    def jobs(self) -> tuple[int, int]:
        """Number of finished and of all jobs, as logged by Snakemake."""
        steps = re.findall(r"(\d+) of (\d+) steps", self.log.read_text(errors="replace"))
        return (int(steps[-1][0]), int(steps[-1][1])) if steps else (0, 0)

    def made(self) -> dict[str, int]:
        """Finished result files -> their inodes; a file that is written again gets a new one."""
        inodes = {}
        for parent, folders, names in os.walk(self.folder / RESULTS):
            folders[:] = [name for name in folders if name not in ("logs", "benchmarks")]
            folders[:] = [name for name in folders if not name.startswith(".")]
            for path in (Path(parent, name) for name in names if not name.startswith(".")):
                with contextlib.suppress(FileNotFoundError):  # a job may still be running
                    inodes[str(path)] = path.stat().st_ino
        return inodes

    def keep(self, paths: dict[str, int]) -> None:
        """Give files a second name, so that no later file gets their inodes."""
        (self.folder / "kept").mkdir()
        for number, path in enumerate(paths):
            with contextlib.suppress(FileNotFoundError):
                os.link(path, self.folder / "kept" / str(number))

    def tables(self) -> dict[str, bytes]:
        """Content of all tables except the one that measures time."""
        paths = sorted((self.folder / RESULTS / "tables").glob("*.*"))
        return {path.name: path.read_bytes() for path in paths if path.stem != "table5"}


def processes(session: int) -> dict[int, list[str]]:
    """Process id -> command line of all processes of a session."""
    running = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if os.getsid(int(folder.name)) == session:
                command = (folder / "cmdline").read_bytes().decode(errors="replace")
                running[int(folder.name)] = command.split("\0")
    return running


def workers(session: int) -> list[int]:
    """Running jobs: the processes of `wavloc` commands."""
    running = processes(session).items()
    return sorted(p for p, words in running if any(Path(w).name == "wavloc" for w in words[:2]))


def kill(*ids: int) -> None:
    for process in ids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def wait(ready: Callable[[], bool], running: subprocess.Popen) -> None:
    """Wait for ``ready()``; a run that ends earlier is `Skipped`."""
    while not ready():
        if running.poll() is not None:
            raise Skipped(TOO_LATE)
        time.sleep(0.02)


def at_a_moment(run: Run, jobs: int, rng: np.random.Generator) -> tuple[subprocess.Popen, int]:
    """Start a run and wait for a random moment; returns it and the number of finished jobs."""
    running, after = run.start(), int(rng.integers(jobs - 1))
    wait(lambda: run.jobs()[0] >= after, running)
    time.sleep(rng.uniform(0, 2))
    if run.jobs()[0] == jobs:
        raise Skipped(TOO_LATE)
    return running, run.jobs()[0]


def disturb_worker(run: Run, jobs: int, rng: np.random.Generator) -> str:
    running, after = at_a_moment(run, jobs, rng)
    wait(lambda: bool(workers(running.pid)), running)
    kill(*workers(running.pid)[:1])
    running.wait()
    return f"after {after} of {jobs} jobs"


def disturb_scheduler(run: Run, jobs: int, rng: np.random.Generator) -> str:
    running, after = at_a_moment(run, jobs, rng)
    kill(running.pid)
    running.wait()
    return f"after {after} of {jobs} jobs, {len(workers(running.pid))} went on"


def disturb_everything(run: Run, jobs: int, rng: np.random.Generator) -> str:
    running, after = at_a_moment(run, jobs, rng)
    kill(*processes(running.pid))
    running.wait()
    return f"after {after} of {jobs} jobs"


def redate(run: Run, jobs: int, rng: np.random.Generator, days: int) -> str:
    """Stop the run and shift the dates of all files."""
    moment = disturb_everything(run, jobs, rng)
    for path in run.folder.rglob("*"):
        date = path.lstat().st_mtime + days * DAY_S
        os.utime(path, (date, date), follow_symlinks=False)
    return f"{moment}, by {days:+d} days"


def disturb_ahead(run: Run, jobs: int, rng: np.random.Generator) -> str:
    return redate(run, jobs, rng, 1)


def disturb_behind(run: Run, jobs: int, rng: np.random.Generator) -> str:
    return redate(run, jobs, rng, -3)


def disturb_two(run: Run, jobs: int, rng: np.random.Generator) -> str:
    first, after = at_a_moment(run, jobs, rng)
    second = run.start("second.log")
    refused = second.wait() != 0
    explained = "another run is at work" in (run.folder / "second.log").read_text()
    first.wait()
    if not (refused and explained):
        return f"after {after} of {jobs} jobs; the second was NOT refused"
    return f"after {after} of {jobs} jobs; the second was refused"


def disturb_disk(run: Run, jobs: int, rng: np.random.Generator) -> str:
    """Shrink the tmpfs of the folder to its content plus a random rest; later enlarge it again."""
    running, after = at_a_moment(run, jobs, rng)
    used = shutil.disk_usage(run.folder).used
    left = int(rng.integers(0, 100_000))
    resize(run.folder, used + left)
    if running.wait() == 0:
        raise Skipped("the run ended before the disk was full")
    resize(run.folder, 8 * 2**30)
    return f"after {after} of {jobs} jobs, {left // 1000} kB left"


def disturb_memory(run: Run, jobs: int, rng: np.random.Generator) -> str:
    """Start the run in a control group again and again, with less memory each time."""
    group = MEMORY_GROUP / f"wavloc-crashes-{os.getpid()}"
    group.mkdir()
    try:
        for limit_mib in range(int(rng.integers(500, 700)), 100, -80):
            (group / "memory.limit_in_bytes").write_text(str(limit_mib * 2**20))
            running = run.start()
            (group / "cgroup.procs").write_text(str(running.pid))
            running.wait()
            kills = re.search(r"oom_kill (\d+)", (group / "memory.oom_control").read_text())
            if kills and int(kills[1]):
                return f"{kills[1]} kill(s) at a limit of {limit_mib} MiB"
            if running.returncode == 0:
                shutil.rmtree(run.folder / RESULTS)
        raise Skipped("the kernel killed at no limit")
    finally:
        for process in (group / "cgroup.procs").read_text().split():
            kill(int(process))
        time.sleep(0.5)
        group.rmdir()


DISTURB = {
    "worker": disturb_worker,
    "scheduler": disturb_scheduler,
    "everything": disturb_everything,
    "disk": disturb_disk,
    "memory": disturb_memory,
    "ahead": disturb_ahead,
    "behind": disturb_behind,
    "two": disturb_two,
}


def resize(folder: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


@contextlib.contextmanager
def round_folder(crash: str, folder: Path) -> Iterator[Path]:
    """The folder of a round, for a full disk with its own file system; removed afterwards."""
    folder.mkdir()
    if crash in ("disk", "memory") and os.geteuid() != 0:
        raise Skipped("needs root")
    if crash == "memory" and not (MEMORY_GROUP / "memory.limit_in_bytes").exists():
        raise Skipped(f"no memory control groups (version 1) at {MEMORY_GROUP}")
    if crash == "disk":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8g", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        if crash == "disk":
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def crash_round(
    crash: str, number: int, draw: int, folder: Path, undisturbed: Run, args: argparse.Namespace
) -> dict:
    """Disturb a run, run it again and compare its tables; draw: number of the random moment."""
    rng = seeds.rng(args.seed, "crashes", crash, number, draw)
    row = {"crash": crash, "round": number, "happened": "", "recovered": None}
    jobs = undisturbed.jobs()[1]
    try:
        with round_folder(crash, folder):
            run = Run(folder, args.targets, args.cores)
            row["happened"] = DISTURB[crash](run, jobs, rng)
            before = run.made()
            run.keep(before)
            code, after = run.finish(), run.made()
            expected, tables = undisturbed.tables(), run.tables()
            differ = sorted(name for name in expected if expected[name] != tables.get(name))
            row["recovered"] = code == 0 and not differ and "NOT" not in row["happened"]
            row["tables_lost"] = len(differ)
            row["finished_before"] = len(before)
            row["made_again"] = sum(after.get(path) != inode for path, inode in before.items())
            if not row["recovered"]:
                shutil.copy(run.folder / "rerun.log", folder.with_suffix(".log"))
    except Skipped as reason:
        row["happened"] = f"not tried: {reason}"
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="SIGKILLs in all (default 20)")
    parser.add_argument("--only", nargs="+", choices=list(DISTURB), default=list(DISTURB))
    parser.add_argument("--targets", nargs="+", default=["tables"], help="targets of every run")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the runs are made (default: temporary)")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    args = parser.parse_args()
    kinds = [kind for kind in KILLS if kind in args.only]
    crashes = [kinds[k % len(kinds)] for k in range(args.rounds)] if kinds else []
    crashes += [crash for crash in args.only if crash not in KILLS]
    folder = Path(tempfile.mkdtemp(prefix="wavloc-crashes-", dir=args.folder))
    undisturbed = Run(folder / "undisturbed", args.targets, args.cores)
    started = time.monotonic()
    if undisturbed.start().wait() != 0:
        sys.exit(f"wavloc: error: the undisturbed run failed, see {undisturbed.log}")
    spent = time.monotonic() - started
    print(f"undisturbed: {undisturbed.jobs()[1]} jobs in {spent:.0f} s", flush=True)
    rows = []
    for number, crash in enumerate(crashes):
        for draw in range(DRAWS):
            row = crash_round(crash, number, draw, folder / f"round{number}", undisturbed, args)
            if TOO_LATE not in row["happened"]:
                break
        rows.append(row)
        state = {True: "recovered", False: "NOT RECOVERED", None: "-"}[row["recovered"]]
        print(f"{number:3d} {crash:10s} {state:13s} {row['happened']}", flush=True)
    tried = [row for row in rows if row["recovered"] is not None]
    summary = {
        "tried": len(tried),
        "recovered": sum(row["recovered"] for row in tried),
        "data_lost": sum(row["tables_lost"] for row in tried),
    }
    print(pd.DataFrame(rows).to_string(index=False))
    print(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in summary.items()))
    if args.json:
        stamp = provenance.stamp(targets=args.targets, seed=args.seed)
        files.write_json(args.json, {"rows": rows, "summary": summary, "provenance": stamp})
    if summary["recovered"] == summary["tried"]:
        shutil.rmtree(folder)
    return int(summary["recovered"] < summary["tried"])


if __name__ == "__main__":
    sys.exit(main())
