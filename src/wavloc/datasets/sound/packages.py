"""The SoundFont and the synthesiser of the embedded music, from wheels that are not installed.

Only the SoundFont inside the wheel of pretty_midi is needed, and tinysoundfont requires pyaudio,
which is not needed here and cannot be built everywhere.
"""

import importlib
import platform
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from wavloc import files
from wavloc.datasets.fetch import archives, wheels
from wavloc.errors import WorkError

SOUNDFONT_PIN = "pretty_midi==0.2.11.post0"
SOUNDFONT_MEMBER = "pretty_midi/TimGM6mb.sf2"
SOUNDFONT_SHA256 = "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1"
SYNTHESIZER_PIN = "tinysoundfont==0.3.7"
_SILENT_CURE = "use --config music=synthetic (or music=folder)"


def soundfont(cache: Path) -> Path:
    """Path of the General MIDI SoundFont TimGM6mb.sf2, fetched if it is not in the cache.

    A wrong checksum is an `InputError`, a failed download a `WorkError`.
    """
    path = cache / "packages" / "TimGM6mb.sf2"
    return wheels.member(SOUNDFONT_PIN, SOUNDFONT_MEMBER, SOUNDFONT_SHA256, path, _SILENT_CURE)


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
                archives.unpack(wheels.fetch(SYNTHESIZER_PIN, Path(holder), cure), temporary)
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
