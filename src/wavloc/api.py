"""What `import wavloc` offers; docs/api.md explains it with examples.

Each function does what the command of its name does, with the same defaults; wrong input is a
`wavloc.WavlocError`, whose message names options as the command spells them.
"""

from __future__ import annotations

import dataclasses
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from wavloc import checking, evaluation
from wavloc import frames as _frames
from wavloc.checks import one_of
from wavloc.errors import InputError as InputError
from wavloc.errors import WavlocError as WavlocError
from wavloc.frames import Frames
from wavloc.geometry import SPEED_OF_SOUND, check_speed
from wavloc.methods import predictions as _predictions
from wavloc.methods import registry
from wavloc.methods.base import Method
from wavloc.methods.predictions import Predictions
from wavloc.recordings import given, locating, microphones, outputs
from wavloc.recordings.given import Audio, Mics
from wavloc.setups import SETUPS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Located:
    """What `locate` found.

    table: a row per frame or event, with the columns that docs/locate.md lists; reliability: the
    same rows, a column for each microphone, how much it agrees with the others (NaN: not told);
    microphones: name, x, y, z in metres; warnings: lines for a person, in their order; about: the
    method and the recording, in words.
    """

    table: pd.DataFrame
    reliability: pd.DataFrame
    microphones: pd.DataFrame
    warnings: list[str]
    about: dict[str, str]

    def plot(self, out: str | Path | None = None) -> Figure:
        """Positions over time and from above; written to ``out`` (.png, .pdf, .svg) if given."""
        from wavloc.reporting.figures.located import located

        places = self.microphones[[*"xyz"]].to_numpy(float)
        return located(self.table, list(self.microphones["name"]), places, out)

    def html(self, out: str | Path) -> None:
        """Write one page with views, positions over time, confidence, the agreement of microphones
        and the table; it needs no network.
        """
        from wavloc.reporting.html import located

        places = self.microphones[[*"xyz"]].to_numpy(float)
        named, agree = list(self.microphones["name"]), self.reliability.to_numpy(float)
        located.write(out, self.table, agree, named, places, self.about, self.warnings)

    def save(self, out: str | Path, format: str | None = None) -> None:
        """Write the table: csv, Audacity labels, Raven table or GeoJSON, by the name of ``out`` or
        by ``format`` (csv, audacity, raven, geojson).
        """
        chosen = outputs.format_of(Path(out), format, "lat" in self.table)
        one_of(chosen, outputs.FORMATS, "format")
        outputs.write(Path(out), self.table, chosen)


class Checked(checking.Checked):
    """What `check` found: ``table``, a row per channel, and ``findings``; see docs/check.md."""

    def plot(self, out: str | Path | None = None) -> Figure:
        """Levels and delays; written to ``out`` (.png, .pdf, .svg) if given."""
        from wavloc.reporting.figures.checked import checked

        return checked(self, out)

    def __str__(self) -> str:
        from wavloc.checking import report

        return report.as_text(self)


def locate(
    audio: Audio,
    mics: Mics,
    sample_rate: int | None = None,
    *,
    method: str | Method = "steered",
    model: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    device: str = "auto",
    seed: int = 0,
    units: str = "m",
    starts: str | Path | Mapping[str, float] | None = None,
    room: Sequence[float] | None = None,
    corner: Sequence[float] | None = None,
    box: Sequence[float] | None = None,
    plane: str | None = None,
    hop: float = 0.064,
    window: float | None = None,
    events: str | Path | None = None,
    detect: float | None = None,
    estimate_offsets: bool = False,
    estimate_drift: bool = False,
    speed_of_sound: float | None = None,
    temperature: float | None = None,
    other_medium: bool = False,
    silence_db: float = 30.0,
    min_confidence: float | None = None,
    check: bool = True,
    track: bool = False,
    bridge: float = 0.0,
) -> Located:
    """Locate sources in a recording: what `wavloc locate` does, see docs/locate.md.

    audio: a file, one file per microphone, or an array (channels, samples) with its sample_rate in
    Hz. mics: a file, a table ``name,x,y,z`` (or ``name,lat,lon,alt``; ``start_s``), or an array
    (M, 3) in metres. method: its name, with options of its own and a model folder, or a `Method`.
    starts: seconds at which recordings begin, by name or in a file. The others are the options of
    the command; metres, seconds, dB. Warnings are Python warnings and are kept.
    """
    asked = locating.Asked(
        room=room, corner=corner, box=box, plane=plane, hop=hop, window=window, events=events,
        detect=detect, estimate_offsets=estimate_offsets, estimate_drift=estimate_drift,
        speed_of_sound=speed_of_sound, temperature=temperature,
        other_medium=other_medium, silence_db=silence_db, min_confidence=min_confidence,
        check=check, track=track, bridge=bridge,
    )  # fmt: skip
    said: list[str] = []
    array = given.array_of(mics, audio, units)
    if starts is not None:
        array.start_s = microphones.starts_of(starts, array.names)
    if isinstance(method, str):
        method = _ready(method, model, options, device, seed)
    learned = model is not None or hasattr(method, "stats")
    locator = locating.locator(method, array, asked, learned, said.append)
    recording = given.recording_of(audio, sample_rate, array)
    found = locating.locate(locator, recording, array, asked, said.append)
    said = [line.removeprefix("warning: ") for line in [*said, *locating.doubts(array, found)]]
    for line in said:
        warnings.warn(line, stacklevel=2)
    places = pd.DataFrame(array.positions, columns=[*"xyz"])
    places.insert(0, "name", array.names)
    reliability = pd.DataFrame(found.reliability, columns=array.names)
    about = locating.about(locator, recording)
    return Located(found.table, reliability, places, said, about)


def check(
    audio: Audio,
    mics: Mics,
    sample_rate: int | None = None,
    *,
    units: str = "m",
    speed_of_sound: float = SPEED_OF_SOUND,
    other_medium: bool = False,
) -> Checked:
    """Look for faults of microphones and a recording: what `wavloc check` does, see docs/check.md.

    audio, mics, sample_rate: as for `locate`; speed_of_sound: m/s, ``other_medium`` if not of air.
    """
    check_speed(speed_of_sound, "--speed-of-sound", other_medium)
    array = given.array_of(mics, audio, units)
    recording = given.recording_of(audio, sample_rate, array)
    channels = recording.whole()
    found = checking.check(channels, recording.rate, array.positions, array.names, speed_of_sound)
    return Checked(**vars(found))


def load(path: str | Path) -> Frames:
    """Frames of a Frames folder or an ``.npz``, see docs/data.md."""
    return _frames.load(Path(path))


def methods() -> pd.DataFrame:
    """All methods by name: label, kind, what they can do, reference; as `wavloc methods`."""
    rows = [
        {
            "name": entry.name,
            "label": entry.label,
            "kind": entry.kind,
            "variable_mics": entry.variable_mics,
            "permutation_invariant": entry.permutation_invariant,
            "from_delays": entry.from_delays,
            "reference": entry.reference,
        }
        for entry in registry.listed(registry.shipped())
    ]
    return pd.DataFrame(rows).set_index("name")


def method(
    name: str,
    model: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Method:
    """A method, ready for ``method.predict(frames)``.

    model: folder of a trained model; options: of the method, by name; device: of torch.
    """
    return _ready(name, model, options, device, seed)


def _ready(
    name: str,
    model: str | Path | None,
    options: Mapping[str, Any] | None,
    device: str,
    seed: int,
) -> Method:
    entry = registry.named(name).changed({"options": dict(options or {})})
    return registry.ready(entry, Path(model) if model else None, seed, device)


def simulate(
    room: Sequence[float],
    mics: np.ndarray | Sequence[Sequence[float]],
    sources: np.ndarray | Sequence[Sequence[float]] | None = None,
    *,
    sound: np.ndarray | None = None,
    count: int = 100,
    t60: float = 0.2,
    snr_db: float = 30.0,
    speed_of_sound: float = SPEED_OF_SOUND,
    seed: int = 0,
) -> Frames:
    """Frames of sources in a shoebox room, by image sources.

    room: lengths x, y, z in metres, the corner is at 0; mics (M, 3) metres; sources (F, 3), or
    ``count`` of them, drawn all over the room. sound: dry, (n,) at 16 kHz; without it, of
    speech-like voices. t60: nominal reverberation time in seconds (0: none); snr_db: of white
    noise at each microphone (inf: none).
    """
    from wavloc.simulation import shoebox
    from wavloc.simulation.render import render

    scenes = shoebox.scenes(room, mics, sources, sound, count, t60, snr_db, speed_of_sound, seed)
    with tempfile.TemporaryDirectory() as folder:
        render(scenes, Path(folder) / "frames", seed)
        made = _frames.load(Path(folder) / "frames")
        arrays: dict[str, Any] = {name: np.array(getattr(made, name)) for name in _frames.ARRAYS}
        return dataclasses.replace(made, **arrays)  # in memory, the folder goes


def evaluate(
    frames: Frames | str | Path,
    predictions: Any,
    *,
    setup: str = "1a",
    by: Sequence[str] = (),
    seed: int = 0,
    resamples: int = 2000,
    block: int = 1,
) -> pd.DataFrame:
    """Errors of predictions against the truth of frames: a row per method and metric, with 95 %
    bootstrap intervals; what `wavloc evaluate` does.

    predictions: `Predictions`, positions (F, 3), a table with x, y, z, or a file; or several of
    them by name. by: columns of the frames' table, a row for each of their values.
    """
    data = frames if isinstance(frames, Frames) else load(frames)
    one_of(setup, SETUPS, "setup")
    several = predictions if isinstance(predictions, Mapping) else {"predictions": predictions}
    cell = {"dataset": "", "track": "", "setup": setup, "mics": data.n_mics}
    return evaluation.score(
        "conditions" if by else "errors",
        {_name(name, one): _predicted(one) for name, one in several.items()},
        data,
        cell,
        by=by,
        seed=seed,
        resamples=resamples,
        block=block,
    )


def _name(name: str, given: Any) -> str:
    """What predictions are called: by their method, unless the caller says."""
    if name == "predictions" and isinstance(given, Predictions):
        return str(given.meta.get("method", name))
    return name


def _predicted(given: Any) -> Predictions:
    """Predictions in any of the forms that `evaluate` takes."""
    if isinstance(given, Predictions):
        return given
    if isinstance(given, str | Path):
        return _predictions.load(given)
    table = given if isinstance(given, pd.DataFrame) else pd.DataFrame(given)
    if not isinstance(given, pd.DataFrame):
        if table.shape[1] != 3:
            raise InputError(f"predictions: shape {table.shape}, expected (F, 3) in metres")
        table.columns = pd.Index([*"xyz"])
    return _predictions.of_table(table, "predictions")
