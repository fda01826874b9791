"""The page of a leaderboard: submissions of anybody's methods on the same frames."""

from pathlib import Path

import pandas as pd

from wavloc import files
from wavloc.evaluation.metrics import METRICS
from wavloc.evaluation.submission import SHOWN, digest
from wavloc.frames import Frames
from wavloc.reading import READING
from wavloc.reporting.html.templates import render


def write(out: Path, table: pd.DataFrame, frames: Frames, title: str) -> None:
    """Write the page of a table of `submission.leaderboard`, one file that loads nothing."""
    page = render(
        "leaderboard.html",
        title=title,
        count=len(frames),
        mics=frames.n_mics,
        sha256=digest(frames),
        reading=READING,
        metrics=[(name, METRICS[name].label) for name in SHOWN],
        rows=table.to_dict("records"),
    )
    files.write_text(out, page)
