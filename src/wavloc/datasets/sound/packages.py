"""Files and modules from wheels that are not ordinary requirements of this package.

Only the SoundFont inside the wheel of pretty_midi is needed, and tinysoundfont requires pyaudio,
which is not needed here and cannot be built everywhere. The weights of frozen encoders come from
wheels too. pip downloads these wheels once, without dependencies, and the needed part goes into the
cache; nothing is installed.
"""

from __future__ import annotations

import importlib
import platform
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath
from types import ModuleType

from wavloc import files
from wavloc.datasets.fetch import archives
from wavloc.errors import InputError, WorkError

SOUNDFONT_PIN = "pretty_midi==0.2.11.post0"
SOUNDFONT_MEMBER = "pretty_midi/TimGM6mb.sf2"
SOUNDFONT_SHA256 = "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1"
SYNTHESIZER_PIN = "tinysoundfont==0.3.7"
_TIMEOUT_S = 300
_SILENT_CURE = "use --config music=synthetic (or music=folder)"


def soundfont(cache: Path) -> Path:
    """Path of the General MIDI SoundFont TimGM6mb.sf2, fetched if it is not in the cache.

    A wrong checksum is an `InputError`, a failed download a `WorkError`.
    """
    path = cache / "packages" / "TimGM6mb.sf2"
    return member(SOUNDFONT_PIN, SOUNDFONT_MEMBER, SOUNDFONT_SHA256, path, _SILENT_CURE)


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


def synthesizer(cache: Path) -> ModuleType:
    """The module tinysoundfont; its wheel is fetched if it is not in the cache."""
    folder = synthesizer_folder(cache)
    with files.lock(cache / "packages" / ".lock"):
        if not folder.is_dir():
            cure = f"{_SILENT_CURE}, or unpack its wheel into {folder}"
            with (
                tempfile.TemporaryDirectory() as holder,
                files.replacing_folder(folder, {"tinysoundfont"}, None) as temporary,
            ):
                archives.unpack(fetch(SYNTHESIZER_PIN, Path(holder), cure), temporary)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("tinysoundfont")
    except ImportError as error:
        raise WorkError(
            f"{folder}: {SYNTHESIZER_PIN} cannot be imported ({error}); delete the folder to fetch "
            "it again, or use --config music=synthetic"
        ) from None
    finally:
        sys.path.remove(str(folder))


def synthesizer_folder(cache: Path) -> Path:
    """Folder of the unpacked wheel for this Python and processor."""
    name, version = SYNTHESIZER_PIN.split("==")
    tag = f"{sys.implementation.cache_tag}-{platform.machine()}"
    return (cache / "packages" / f"{name}-{version}-{tag}").resolve()


def native_sha256(cache: Path) -> str:
    """Checksum of the synthesiser's native library, for the record."""
    paths = sorted((synthesizer_folder(cache) / "tinysoundfont").glob("_tinysoundfont.*"))
    return files.sha256(paths[0]) if paths else "unknown"


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
