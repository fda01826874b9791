"""Chirps at twelve microphones: measured arrival times, positions by motion capture.

Sets 1 to 7 are those of Larsson et al. 2021, from the studio of LuViRA; set 8 is that of El Badawy
et al. 2021, without motion capture. About 15 % of the arrivals are wrong. What the labels are worth
stands in docs/datasets.md.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from wavloc.arrays import read_npz
from wavloc.audio import SAMPLE_RATE
from wavloc.datasets import base
from wavloc.datasets.base import Split
from wavloc.frames import Frames

FILE = Path(__file__).parent / "measured" / "lund12.npz"
SETS = {"chirps": (1, 2, 3, 4, 5, 6, 7), "xtdoa": (8,)}  # track -> its sets
CONTENT = ("set", "chirp", "arrival_m", "mic_positions", "source_position", "solution")


@dataclasses.dataclass(frozen=True)
class Options:
    """There are none: the data are as they were published."""


class Dataset(base.Dataset):
    """One frame for each chirp; sets differ in their microphones by a millimetre, set 8 in all.

    Columns of the table: ``set``, ``chirp`` (its number in the set), and ``solution_x`` to
    ``solution_z``, a robust least-squares solution in metres to compare others with.
    """

    label = "lund12"
    reference = "Larsson et al. 2021 (sets 1 to 7); El Badawy et al. 2021 (set 8)"
    delays = True
    Options = Options

    def tracks(self) -> list[str]:
        return list(SETS)

    def splits(self) -> dict[str, Split]:
        """Nothing to train on: what learns needs sound."""
        return {"measured": Split(train=(), test=tuple(SETS))}

    def recorded(self, track: str) -> Frames:
        """All chirps of a track, those without a label (NaN) too."""
        self.check_track(track)
        stored, _ = read_npz(FILE, (*CONTENT, "speed_of_sound"))
        chosen = np.isin(stored["set"], SETS[track])
        number, chirp, arrival_m, mics, source, solution = (
            stored[name] if name == "mic_positions" else stored[name][chosen] for name in CONTENT
        )
        speed = float(stored["speed_of_sound"][SETS[track][0] - 1])
        table = pd.DataFrame({"frame": np.arange(len(number)), "set": number, "chirp": chirp})
        table[[f"solution_{axis}" for axis in "xyz"]] = solution
        shape, unlabelled = arrival_m.shape, np.isnan(source).any(axis=1).sum()
        return Frames(
            audio=np.empty((*shape, 0), np.float32),
            source_audio=np.empty((shape[0], 0), np.float32),
            mic_positions=mics[number - 1],
            source_position=source,
            table=table,
            sample_rate=SAMPLE_RATE,
            speed_of_sound=speed,
            meta={"frames_recorded": len(number), "frames_unlabelled": int(unlabelled)},
            arrivals=arrival_m / speed,
        )
