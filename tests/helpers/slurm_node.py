"""A real Slurm of one node on loopback: own keys and state, a pretend GPU, ended with the test.

The configuration has to lie in /etc/slurm, because jobs that the workflow starts forget where else
it might be. One that was not written here is never touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

CONFIG, GENERIC = Path("/etc/slurm/slurm.conf"), Path("/etc/slurm/gres.conf")
MARK = "# Written by the tests of wavloc."


def why_not() -> str | None:
    """Why no node can be brought up here, or None."""
    missing = [name for name in ("slurmctld", "slurmd", "munged") if not shutil.which(name)]
    if missing:
        return f"Slurm is not installed ({', '.join(missing)}): apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "bringing up a Slurm node wants root"
    for path in (CONFIG, GENERIC):
        if path.exists() and not path.read_text().startswith(MARK):
            return f"{path} belongs to a Slurm of this machine"
    if CONFIG.exists():
        return f"another test is at work with {CONFIG}, or was killed: remove it"
    return None


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Node]:
    """Start munged, slurmctld and slurmd with everything they write in ``folder``; end them."""
    node = Node(folder)
    try:
        node.start()
        yield node
    finally:
        node.stop()


class Node:
    def __init__(self, folder: Path):
        self.folder = folder
        self.name = socket.gethostname().partition(".")[0]

    def start(self) -> None:
        self.start_munge()
        CONFIG.parent.mkdir(exist_ok=True)
        CONFIG.write_text(self.config())
        GENERIC.write_text(f"{MARK}\nNodeName={self.name} Name=gpu File=/dev/null\n")
        subprocess.run(["slurmctld"], check=True)
        self.start_daemon()

    def start_munge(self) -> None:
        folder = self.folder / "munge"
        folder.mkdir()
        folder.chmod(0o711)
        (folder / "key").write_bytes(os.urandom(1024))
        (folder / "key").chmod(0o400)
        for path in (folder, folder / "key"):
            shutil.chown(path, "munge", "munge")
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log"}
        files["seed-file"] = "seed"
        options = [f"--{option}={folder / name}" for option, name in files.items()]
        subprocess.run(
            ["runuser", "-u", "munge", "--", "munged", "--force", *options],
            check=True,
            capture_output=True,
        )

    def config(self) -> str:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 2048
        cores, folder = len(os.sched_getaffinity(0)), self.folder
        return f"""{MARK}
ClusterName=loopback
SlurmctldHost={self.name}(127.0.0.1)
CommunicationParameters=NoInAddrAny
AuthInfo=socket={folder}/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MinJobAge=300
ReturnToService=2
MailProg=/bin/true
GresTypes=gpu
NodeName={self.name} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} Gres=gpu:1
PartitionName=cpu Nodes=ALL Default=YES
PartitionName=gpu Nodes=ALL
"""

    def start_daemon(self) -> None:
        """slurmd, the node itself; wait until it takes jobs."""
        subprocess.run(["slurmd"], check=True)
        deadline = time.monotonic() + 60
        while self.state() not in ("idle", "mix", "alloc"):
            assert time.monotonic() < deadline, f"the node is {self.state() or 'not there'}"
            time.sleep(0.1)

    def state(self) -> str:
        return _said("sinfo", "-h", "-o", "%t", "-p", "cpu")

    def jobs(self, *states: str) -> list[str]:
        """Ids of the jobs that are in one of the states, of all by default."""
        only = ["-t", ",".join(states or ["all"])]
        return _said("squeue", "-h", "-o", "%A", *only).split()

    def lose(self) -> list[str]:
        """The node vanishes: its daemon and all it runs are killed; Slurm is told it is down.

        Ids of the jobs that were lost with it.
        """
        _kill(self.folder / "slurmd.pid")
        lost = self.jobs("running")
        for process in [process for job in lost for process in _processes_of(job)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        _said("scontrol", "update", f"NodeName={self.name}", "State=DOWN", "Reason=lost")
        return lost

    def come_back(self) -> None:
        _said("scontrol", "update", f"NodeName={self.name}", "State=RESUME")
        self.start_daemon()

    def stop(self) -> None:
        if self.jobs():
            subprocess.run(["scancel", "--state=RUNNING"], capture_output=True)
            subprocess.run(["scancel", "--state=PENDING"], capture_output=True)
        for name in ("slurmd.pid", "slurmctld.pid", "munge/pid"):
            _kill(self.folder / name)
        CONFIG.unlink(missing_ok=True)
        GENERIC.unlink(missing_ok=True)


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _kill(pid_file: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        process = int(pid_file.read_text())
        os.kill(process, signal.SIGKILL)
        while Path(f"/proc/{process}").exists():
            time.sleep(0.05)


def _processes_of(job: str) -> list[int]:
    """Processes that Slurm started for a job, by the job's id in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (folder / "environ").read_bytes().split(b"\0")
            if f"SLURM_JOB_ID={job}".encode() in variables:
                found.append(int(folder.name))
    return found
