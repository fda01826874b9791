"""Ground truth of a recorded take: positions of the microphones and the loudspeaker."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd

from wavloc.datasets.takes import qualisys, trajectory
from wavloc.errors import InputError
from wavloc.geometry import LUVIRA_MICS

FAR_M = 6.0  # no position in the hall is farther from the origin
CLOSE_M = 0.5  # no array of this kind is smaller
LONGEST_S = 3600.0  # a take is a minute or so
MOVED_M = 0.3  # the microphones are fixed; between takes they moved by millimetres


@dataclasses.dataclass
class Positions:
    """Positions in metres from one file; times in seconds.

    mics: (M, 3). time_s: (T,) and track: (T, 3), the loudspeaker at these times; NaN = missing.
    """

    path: Path
    time_s: np.ndarray
    mics: np.ndarray
    track: np.ndarray

    def check(self, warnings: list[str]) -> None:
        """Raise `InputError` if the positions cannot be metres in this hall or most are missing.

        Single positions outside the hall become NaN, with a warning.
        """
        known = self.track[np.isfinite(self.track).all(axis=1)]
        missing = 1 - len(known) / max(len(self.track), 1)
        if missing > 0.5:
            raise InputError(
                f"{self.path}: the loudspeaker is missing in {missing:.0%} of the moments, "
                "expected 50 % at most"
            )
        if len(known) < 2:
            raise InputError(
                f"{self.path}: the loudspeaker is seen {len(known)} times, expected more"
            )
        span = float(np.ptp(self.mics, axis=0).max())
        farthest = float(max(np.abs(self.mics).max(), np.median(np.abs(known).max(axis=1))))
        if farthest > FAR_M or span < CLOSE_M:
            raise InputError(
                f"{self.path}: microphones {span:.4g} m apart, positions up to {farthest:.4g} m "
                f"from the origin; expected {CLOSE_M} m or more and {FAR_M:g} m or less "
                "(millimetres taken for metres, or the other way round?)"
            )
        span_s = float(self.time_s[-1] - self.time_s[0])
        if span_s > LONGEST_S:
            raise InputError(
                f"{self.path}: positions over {span_s:.6g} s, expected {LONGEST_S:g} s at most "
                "(milliseconds taken for seconds?)"
            )
        outside = (np.abs(self.track) > FAR_M).any(axis=1)
        if outside.any():
            self.track[outside] = np.nan
            warnings.append(
                f"{self.path}: {int(outside.sum())} positions of the loudspeaker are outside the "
                "hall and count as missing"
            )


def read_capture(path: Path, warnings: list[str]) -> Positions:
    """Positions from a Qualisys export with two markers per microphone and four of the speaker."""
    capture = qualisys.read(path)
    warnings += capture.warnings
    markers = {name.lower(): place for name, place in capture.markers.items()}
    speaker = [markers[key] for key in sorted(markers) if re.fullmatch(r"speaker\d+", key)]
    if len(speaker) != 4:
        raise InputError(
            f"{path}: {len(speaker)} markers of the loudspeaker, expected speaker1..speaker4 "
            f"among {', '.join(list(capture.markers)[:30])}"
        )
    mics = _captured_mics(path, markers, warnings)
    return Positions(path, capture.time_s, mics, trajectory.loudspeaker(np.stack(speaker, axis=1)))


def _captured_mics(path: Path, markers: dict[str, np.ndarray], warnings: list[str]) -> np.ndarray:
    """Microphones (11, 3) from their markers; one without any gets its published position."""
    mics = np.full((len(LUVIRA_MICS), 3), np.nan)
    for k in range(len(mics)):
        right, left = (markers.get(f"mic{k + 1:02d}{side}") for side in "rl")
        mics[k] = trajectory.microphone(right, left)
        visible = [side is not None and np.isfinite(side).any() for side in (right, left)]
        if not any(visible):
            mics[k] = LUVIRA_MICS[k]
            warnings.append(
                f"{path}: microphone {k + 1} was never seen; its published position is used"
            )
        elif not all(visible):
            warnings.append(
                f"{path}: one marker of microphone {k + 1} was never seen; the other is used"
            )
    moved = np.linalg.norm(mics - LUVIRA_MICS, axis=1)
    if moved.max() > MOVED_M:
        warnings.append(
            f"{path}: microphone {moved.argmax() + 1} is {moved.max():.2f} m from its "
            "published position"
        )
    return mics


def read_csv(path: Path) -> Positions:
    """Positions from a csv file with the columns time, mic1_x ... mic<M>_z, speaker_x ... _z."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not readable as csv ({error})") from None
    matches = [re.fullmatch(r"mic(\d+)_x", str(column)) for column in table]
    n_mics = max([0, *(int(match[1]) for match in matches if match)])
    columns = ["time", *(f"mic{k}_{axis}" for k in range(1, n_mics + 1) for axis in "xyz")]
    columns += [f"speaker_{axis}" for axis in "xyz"]
    missing = [column for column in columns if column not in table]
    if missing or not n_mics:
        raise InputError(f"{path}: no column '{(missing or ['mic1_x'])[0]}' in the header line")
    values = _numbers(path, table[columns])
    time_s = values[:, 0]
    trajectory.require_increasing(time_s, path, first_line=2)
    places = values[:, 1:-3].reshape(len(values), n_mics, 3)
    mics = np.array([trajectory.microphone(places[:, k], None) for k in range(n_mics)])
    for k in np.flatnonzero(np.isnan(mics).any(axis=1)):
        raise InputError(f"{path}: microphone {k + 1} has no position in any line")
    return Positions(path, time_s, mics, values[:, -3:])


def _numbers(path: Path, table: pd.DataFrame) -> np.ndarray:
    """Values of a table of strings; an empty cell or ``nan`` is NaN, other text an `InputError`."""
    values, bad = qualisys.parsed(table, {"", "nan"})
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{path}, line {row + 2}, {table.columns[column]}: '{table.iloc[row, column]}', "
            "expected a number"
        )
    return values
