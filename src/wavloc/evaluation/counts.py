"""What a split holds: speakers, utterances and frames, counted from the frames themselves."""

from collections.abc import Mapping

import pandas as pd

from wavloc.evaluation.base import row, tidy
from wavloc.frames import Frames

COUNTED = {"speakers": "speaker", "utterances": "recording"}  # metric -> column of the frames
DATA = "data"  # stands where other tables have a method


def counts(tracks: Mapping[str, Frames], cell: Mapping[str, object]) -> pd.DataFrame:
    """Rows of the metrics of kind ``counts``, one per track and metric."""
    rows = []
    for track, frames in tracks.items():
        place = dict(cell) | {"track": track}
        for metric, column in COUNTED.items():
            known = column in frames.table
            numbers = [int(frames.table[column].nunique())] if known else []
            note = "" if known else f"the frames do not name their {metric}"
            rows.append(row(place, DATA, metric, len(frames), numbers, note))
        rows.append(row(place, DATA, "frames", len(frames), [len(frames)]))
    return tidy(rows)
