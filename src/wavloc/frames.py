"""The data container: audio frames with the positions of microphones and source."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from wavloc import files
from wavloc.arrays import Rows, chosen, read_npy, read_npz
from wavloc.audio import RATES_HZ, SAMPLE_RATE
from wavloc.checks import number, shown, vector
from wavloc.errors import InputError
from wavloc.geometry import EXTENT_M, SPEED_OF_SOUND, check_extent, check_speed

FRAME_SAMPLES = 2048  # N of both papers: 128 ms at 16 kHz

ARRAYS = ("audio", "source_audio", "mic_positions", "source_position")
OPTIONAL = ("arrivals",)  # a file of it where frames have it
NO_SOUND = "needs sound, and these frames hold arrival times alone"
SCALARS = ("sample_rate", "speed_of_sound")
PLACE = ("room", "origin", "other_medium")  # entries of `Frames.meta` that an .npz may hold too
LEAST_SAMPLES = 32
# Files of a Frames folder.
CONTENT = ("meta.json", "frames.parquet", *(f"{name}.npy" for name in ARRAYS))
MORE = tuple(f"{name}.npy" for name in OPTIONAL)


@dataclass
class Frames:
    """F frames of M microphones with L >= N samples (N plus a margin on both sides for shifts).

    audio: (F, M, L) float32; NaN = missing signal.
    source_audio: (F, L) float32, the signal at the source; NaN = unknown.
    mic_positions: (M, 3) or (F, M, 3) float64, metres; NaN = unknown.
    source_position: (F, 3) float64, metres; NaN = unknown.
    table: one row per frame. meta: room and origin in metres, provenance; other_medium = true
    where the speed of sound is not that of air.
    arrivals: (F, M) float64, measured times of arrival in seconds, NaN = missing. Their zero is
    another one in each frame and means nothing. Frames that have them need no sound: L may be 0.
    """

    audio: np.ndarray
    source_audio: np.ndarray
    mic_positions: np.ndarray
    source_position: np.ndarray
    table: pd.DataFrame
    sample_rate: int
    speed_of_sound: float = SPEED_OF_SOUND
    meta: dict[str, Any] = field(default_factory=dict)
    arrivals: np.ndarray | None = None

    def __len__(self) -> int:
        return self.audio.shape[0]

    @property
    def n_mics(self) -> int:
        return self.audio.shape[1]

    @property
    def has_sound(self) -> bool:
        """Whether there are signals, not arrival times alone."""
        return self.audio.shape[-1] > 0

    @property
    def frame_samples(self) -> int:
        """N: the central samples, which are all that a method may use; a microphone array too wide
        for `FRAME_SAMPLES` has frames of as many samples as ``meta`` says.
        """
        return min(self.meta.get("frame_samples", FRAME_SAMPLES), self.audio.shape[-1])

    @property
    def room_bounds(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Lower and upper corner of the room (3,), (3,) in the frames' coordinates, if known."""
        if "room" not in self.meta:
            return None
        low = -np.asarray(self.meta.get("origin", (0.0, 0.0, 0.0)), float)
        return low, low + np.asarray(self.meta["room"], float)

    @property
    def in_plane(self) -> bool:
        """Whether the room has no extent along an axis: sources are known to be in a plane."""
        return min(self.meta.get("room", [1.0])) == 0

    @property
    def place(self) -> dict[str, Any]:
        """The entries `PLACE` of ``meta``, which frames made from these keep."""
        return {key: self.meta[key] for key in PLACE if key in self.meta}

    def window(self, index: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Central N samples of the selected frames: (B, M, N) float32."""
        start = (self.audio.shape[-1] - self.frame_samples) // 2
        return np.asarray(self.audio[index, :, start : start + self.frame_samples])

    def source_window(self, index: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Central N samples of the source signal: (B, N) float32."""
        start = (self.audio.shape[-1] - self.frame_samples) // 2
        return np.asarray(self.source_audio[index, start : start + self.frame_samples])

    def mics(self, index: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Microphone positions of the selected frames: (B, M, 3) metres."""
        per_frame = np.broadcast_to(self.mic_positions, (len(self), self.n_mics, 3))
        return per_frame[index]

    def select(self, index: np.ndarray) -> "Frames":
        """The frames of an index array, in its order."""
        shared = self.mic_positions.ndim == 2
        return replace(
            self,
            audio=chosen(self.audio, index),
            source_audio=chosen(self.source_audio, index),
            mic_positions=self.mic_positions if shared else self.mic_positions[index],
            source_position=self.source_position[index],
            table=self.table.iloc[index].reset_index(drop=True),
            arrivals=None if self.arrivals is None else self.arrivals[index],
        )

    def at_speed(self, speed: float) -> "Frames":
        """The same sound with all lengths scaled to another speed of sound (m/s).

        Sound and delays stay what they are: 343 m in one medium are 350 m in one that is faster.
        The columns ``x_2`` ... of the table are positions too, of further sources.
        """
        scale = speed / self.speed_of_sound
        if scale == 1:
            return self
        lengths = {key: self.meta[key] for key in ("room", "origin") if key in self.meta}
        places = [name for name in map(str, self.table) if re.fullmatch(r"[xyz]_\d+", name)]
        return replace(
            self,
            mic_positions=np.asarray(self.mic_positions) * scale,
            source_position=np.asarray(self.source_position) * scale,
            table=self.table.assign(**{name: self.table[name] * scale for name in places}),
            speed_of_sound=speed,
            meta=self.meta | {key: (np.array(v) * scale).tolist() for key, v in lengths.items()},
        )

    def hold_out(self, fraction: float) -> tuple["Frames", "Frames"]:
        """Split the frames into a training and a validation part.

        The last ``fraction`` (0 <= fraction < 1) of each ``track`` of the table is held out for
        validation, at least one frame unless fraction = 0; without a column ``track``, all frames
        are one track. Training frames that overlap in time with a validation frame of the same
        recording are dropped: same ``recording`` and ``take`` (or ``track``), and less than L
        samples between the two ``time_s``. `InputError` if no training frame is left.
        """
        if not 0 <= fraction < 1:
            raise InputError(f"fraction {fraction} to hold out: expected 0 <= fraction < 1")
        if fraction == 0:
            return self, self.select(np.arange(0))
        if "time_s" not in self.table:
            raise InputError("hold_out: the table of the frames has no column 'time_s'")
        held = np.zeros(len(self), bool)
        for index in _groups(self.table, ["track"]):
            held[index[-max(1, round(fraction * len(index))) :]] = True
        rest = np.flatnonzero(~held & ~self._overlapping(held))
        if len(rest) == 0:
            raise InputError(
                f"nothing is left to train on: of {len(self)} frames {held.sum()} are held out "
                "and the others overlap with them"
            )
        return self.select(rest), self.select(np.flatnonzero(held))

    def _overlapping(self, held: np.ndarray) -> np.ndarray:
        """Which frames (F,) overlap in time with a frame of ``held`` (F,) of their recording."""
        overlapping = np.zeros(len(self), bool)
        time = self.table["time_s"].to_numpy() * self.sample_rate
        columns = ["recording", "take" if "take" in self.table else "track"]
        for index in _groups(self.table, columns):
            held_times = np.sort(time[index[held[index]]])
            if len(held_times):
                after = np.searchsorted(held_times, time[index])
                before = held_times[np.maximum(after - 1, 0)]
                after = held_times[np.minimum(after, len(held_times) - 1)]
                distance = np.minimum(np.abs(time[index] - before), np.abs(time[index] - after))
                # Half a sample of tolerance for rounded times.
                overlapping[index] = distance < self.audio.shape[-1] - 0.5
        return overlapping

    def save(self, folder: str | Path) -> None:
        """Write a Frames folder atomically: .npy arrays, frames.parquet and meta.json."""
        self.check(str(folder))
        with files.replacing_folder(folder, CONTENT, MORE) as temporary:
            temporary.mkdir()
            for name in (*ARRAYS, *OPTIONAL):
                if getattr(self, name) is not None:
                    np.save(temporary / f"{name}.npy", getattr(self, name))
            self.table.to_parquet(temporary / "frames.parquet", index=False)
            meta = self.meta | {
                "sample_rate": int(self.sample_rate),
                "speed_of_sound": float(self.speed_of_sound),
            }
            files.write_json(temporary / "meta.json", meta)

    def check(self, origin: str) -> None:
        """Raise `InputError` if a shape or type breaks the contract; ``origin`` names the data."""
        frames = len(self.audio) if self.audio.ndim == 3 else 0
        mics = self.audio.shape[1] if self.audio.ndim == 3 else 0
        samples = self.audio.shape[-1]
        expected = {
            "audio": ("(F, M, L)", self.audio.ndim == 3 and frames > 0),
            "source_audio": ("(F, L)", self.source_audio.shape == (frames, samples)),
            "mic_positions": (
                "(M, 3) or (F, M, 3)",
                self.mic_positions.shape in ((mics, 3), (frames, mics, 3)),
            ),
            "source_position": ("(F, 3)", self.source_position.shape == (frames, 3)),
        }
        if self.arrivals is not None:
            expected["arrivals"] = ("(F, M)", self.arrivals.shape == (frames, mics))
        for name, (shape, fits) in expected.items():
            array = getattr(self, name)
            if not fits:
                raise InputError(
                    f"{origin}: array '{name}' has shape {array.shape}, expected {shape} "
                    f"with audio {self.audio.shape}"
                )
            if array.dtype.kind != "f":
                raise InputError(f"{origin}: array '{name}' is {array.dtype}, expected floating")
        if len(self.table) != frames:
            raise InputError(
                f"{origin}: frames.parquet has {len(self.table)} rows, expected {frames}"
            )
        if samples < LEAST_SAMPLES and (samples or self.arrivals is None):
            raise InputError(
                f"{origin}: {samples} samples a frame, expected {LEAST_SAMPLES} or more"
            )
        self._check_values(origin)

    def _check_values(self, origin: str) -> None:
        """Raise `InputError` for impossible rates, positions, times or places."""
        number(self.sample_rate, f"{origin}: sample_rate", *RATES_HZ, "Hz", whole=True)
        other_medium = self.meta.get("other_medium", False)
        if not isinstance(other_medium, bool):
            raise InputError(
                f"{origin}: other_medium: {shown(other_medium)}, expected true or false"
            )
        check_speed(self.speed_of_sound, f"{origin}: speed_of_sound", other_medium)
        points = []
        for name in ("mic_positions", "source_position"):
            rows = np.asarray(getattr(self, name)).reshape(-1, 3)
            known = np.isfinite(rows).all(axis=1)
            odd = np.flatnonzero(~known & ~np.isnan(rows).all(axis=1))
            if len(odd):
                raise InputError(
                    f"{origin}: {name} has {rows[odd[0]].tolist()} in row {odd[0]}, expected three "
                    "finite numbers, or three NaN where it is unknown"
                )
            points.append(rows[known])
        check_extent(np.concatenate(points), origin)
        if self.arrivals is not None and np.isinf(self.arrivals).any():
            raise InputError(f"{origin}: arrivals are infinite, expected seconds, NaN = missing")
        if "room" in self.meta:
            vector(self.meta["room"], f"{origin}: room", 0, EXTENT_M, above=True)
        if "origin" in self.meta:
            vector(self.meta["origin"], f"{origin}: origin")
        for name in ("frame", "time_s"):
            if name in self.table and self.table[name].dtype.kind not in "iuf":
                raise InputError(f"{origin}: column '{name}' of the table is not numeric")


def blocks(count: int, size: int, name: str) -> Iterator[slice]:
    """Slices of at most ``size`` frames, with a named progress bar on a terminal."""
    hidden = True if count <= 4 * size else None  # unless this is no terminal
    with tqdm(total=count, desc=name, unit="frame", disable=hidden, leave=False) as bar:
        for start in range(0, count, size):
            stop = min(start + size, count)
            yield slice(start, stop)
            bar.update(stop - start)


def _groups(table: pd.DataFrame, columns: list[str]) -> list[np.ndarray]:
    """Row numbers of the frames, grouped by equal values in those columns that exist."""
    known = [column for column in columns if column in table]
    if not known:
        return [np.arange(len(table))]
    indices = table.groupby(known, sort=False, dropna=False).indices
    return [np.asarray(index) for index in indices.values()]


def concatenate(parts: Sequence[Frames], lazily: bool = False) -> Frames:
    """Frames of several parts, one after the other; M and L must be the same in all.

    lazily: their sound stays where it is (`Rows`).

    mic_positions stay (M, 3) if they are the same in all parts, else they are (F, M, 3). ``meta``
    keeps only `PLACE`, and only if all parts agree in it.
    """
    if not parts:
        raise InputError("no frames to concatenate")
    require_compatible(parts)
    first = parts[0]
    mics = [part.mic_positions for part in parts]
    same_mics = all(m.ndim == 2 and np.array_equal(m, mics[0], equal_nan=True) for m in mics)
    joined: Any = Rows if lazily else np.concatenate
    return replace(
        first,
        audio=joined([part.audio for part in parts]),
        source_audio=joined([part.source_audio for part in parts]),
        mic_positions=np.array(mics[0]) if same_mics else np.concatenate([p.mics() for p in parts]),
        source_position=np.concatenate([part.source_position for part in parts]),
        table=pd.concat([part.table for part in parts], ignore_index=True),
        arrivals=None if first.arrivals is None else np.concatenate([p.arrivals for p in parts]),
        meta=first.place if all(part.place == first.place for part in parts) else {},
    )


def require_compatible(parts: Sequence[Frames]) -> None:
    """Raise `InputError` unless rates, numbers of microphones and stored lengths are the same."""
    first = parts[0]
    for place, part in enumerate(parts[1:], start=2):
        for quantity, unit, expected, value in (
            ("sample_rate", "Hz", first.sample_rate, part.sample_rate),
            ("speed_of_sound", "m/s", first.speed_of_sound, part.speed_of_sound),
            ("number of microphones", "", first.n_mics, part.n_mics),
            ("stored length", "samples", first.audio.shape[-1], part.audio.shape[-1]),
            ("arrivals", "arrival times", _some(first.arrivals), _some(part.arrivals)),
        ):
            if value != expected:
                raise InputError(
                    f"frames do not go together, {quantity}: {expected} {unit} in part 1"
                    f"{_tracks(first)} but {value} {unit} in part {place}{_tracks(part)}"
                )


def _some(array: np.ndarray | None) -> str:
    return "no" if array is None else "some"


def _tracks(frames: Frames) -> str:
    """Tracks of the frames for an error message: `` (music1, music1_sim)``, or nothing."""
    known = list(frames.table["track"].unique()) if "track" in frames.table else []
    return f" ({', '.join(map(str, known))})" if known else ""


def load(path: str | Path) -> Frames:
    """Open a Frames folder (arrays are memory-mapped) or an .npz file with the same arrays."""
    path = Path(path)
    if path.is_dir():
        frames = _load_folder(path)
    elif path.suffix.lower() == ".npz" and path.is_file():
        frames = _load_npz(path)
    else:
        raise InputError(f"{path}: no such Frames folder or .npz file")
    frames.check(str(path))
    return frames


def load_together(paths: Sequence[str | Path], speed: float | None = None) -> Frames:
    """Frames of several folders or files as one, see `concatenate`; their sound stays there.

    Takes recorded at other temperatures have other speeds of sound: all are brought to ``speed``
    (m/s), or that of the first. Other media stay what they are and go with none but their own.
    """
    parts = [load(path) for path in paths]
    common = parts[0].speed_of_sound if speed is None else speed
    same = [part if part.meta.get("other_medium") else part.at_speed(common) for part in parts]
    return concatenate(same, lazily=True)


def _load_folder(path: Path) -> Frames:
    meta = files.read_json(path / "meta.json")
    if not isinstance(meta, dict):
        raise InputError(f"{path / 'meta.json'}: {shown(meta)}, expected names and values")
    for name in SCALARS:
        if not isinstance(meta.get(name), int | float):
            raise InputError(f"{path / 'meta.json'}: '{name}' is missing or not a number")
    arrays = {}
    for name in ARRAYS:
        file = path / f"{name}.npy"
        if not file.is_file():
            raise InputError(f"{path}: array '{name}.npy' is missing from the Frames folder")
        arrays[name] = read_npy(file)
    arrays |= {n: read_npy(path / f"{n}.npy") for n in OPTIONAL if (path / f"{n}.npy").is_file()}
    file = path / "frames.parquet"
    try:
        if not file.is_file():
            raise OSError("no such file")
        table = pd.read_parquet(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{file}: not readable ({error})") from None
    return Frames(
        **arrays,
        table=table,
        sample_rate=meta.pop("sample_rate"),
        speed_of_sound=meta.pop("speed_of_sound"),
        meta=meta,
    )


def _load_npz(path: Path) -> Frames:
    arrays, listed = read_npz(path, (*ARRAYS, *OPTIONAL, *SCALARS, *PLACE))
    arrivals = arrays.get("arrivals")
    if arrivals is not None and arrivals.ndim == 2 and "audio" not in arrays:
        arrays["audio"] = np.empty((*arrivals.shape, 0), np.float32)
        arrays.setdefault("sample_rate", np.array(SAMPLE_RATE))  # no delay depends on it
    for name in ("audio", "mic_positions", "sample_rate"):
        if name not in arrays:
            raise InputError(f"{path}: array '{name}' is missing (found: {listed})")
    for name in (*ARRAYS, *OPTIONAL, *SCALARS):
        array = arrays.get(name, np.zeros(()))
        if array.dtype.kind not in "fiu":
            raise InputError(f"{path}: array '{name}' is {array.dtype}, expected numbers")
        if name in SCALARS and array.size != 1:
            raise InputError(f"{path}: '{name}' has shape {array.shape}, expected one value")
    audio = arrays["audio"]
    if audio.ndim != 3:
        raise InputError(f"{path}: array 'audio' has shape {audio.shape}, expected (F, M, L)")
    frames, _, samples = audio.shape
    rate = number(arrays["sample_rate"].item(), f"{path}: sample_rate", *RATES_HZ, "Hz", whole=True)
    return Frames(
        audio=audio.astype(np.float32, copy=False),
        source_audio=arrays.get("source_audio", np.full((frames, samples), np.nan, np.float32)),
        mic_positions=arrays["mic_positions"].astype(np.float64, copy=False),
        source_position=arrays.get("source_position", np.full((frames, 3), np.nan)).astype(float),
        table=pd.DataFrame({"frame": np.arange(frames)}),
        sample_rate=int(rate),
        speed_of_sound=float(arrays.get("speed_of_sound", np.array(SPEED_OF_SOUND)).item()),
        meta={name: arrays[name].tolist() for name in PLACE if name in arrays},
        arrivals=None if arrivals is None else arrivals.astype(np.float64, copy=False),
    )
