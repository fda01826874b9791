"""Predictions with known errors."""

from __future__ import annotations

import numpy as np

from wavloc.frames import Frames
from wavloc.methods.predictions import Predictions

CELL = {"dataset": "d", "track": "t", "setup": "1a", "mics": 11}


def off_by(frames: Frames, error_m: np.ndarray, **meta: object) -> Predictions:
    """Positions that are so far off in each frame; NaN: a failure."""
    position = frames.source_position + np.asarray(error_m)[:, None] * [0.0, 0.6, 0.8]
    status = np.where(np.isfinite(position).all(axis=1), "ok", "failed").astype(object)
    return Predictions(position, status, seconds_per_frame=0.004, meta=meta)
