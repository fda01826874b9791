"""What a split holds: speakers, utterances and frames, counted from the frames themselves."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from wavloc.evaluation.metrics import COLUMNS
from wavloc.frames import Frames

COUNTED = {"speakers": "speaker", "utterances": "recording"}  # metric -> column of the frames
DATA = "data"  # stands where other tables have a method


def counts(tracks: Mapping[str, Frames], cell: Mapping[str, object]) -> pd.DataFrame:
    """Rows in the columns of the metrics, one per track and count."""
    rows = []
    for track, frames in tracks.items():
        values: dict[str, int | None] = {
            metric: int(frames.table[column].nunique()) if column in frames.table else None
            for metric, column in COUNTED.items()
        }
        for metric, value in (values | {"frames": len(frames)}).items():
            row = dict(cell) | {"track": track, "method": DATA, "metric": metric}
            note = "" if value is not None else f"the frames do not name their {metric}"
            rows.append(row | {"unit": "count", "value": value, "note": note})
            rows[-1]["n_frames"] = len(frames)
    return pd.DataFrame(rows).reindex(columns=COLUMNS)
