"""How well positions fit measured arrival times, and how near they are to a robust solution.

This needs no true positions. The robust solution is that of the dataset, in columns ``solution_x``
to ``solution_z`` of the frames.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from wavloc.errors import InputError
from wavloc.evaluation.base import Evaluation, Results
from wavloc.evaluation.bootstrap import weighted_mean
from wavloc.evaluation.conditions import by_condition
from wavloc.evaluation.errors import capped, failures, no_frame
from wavloc.evaluation.metrics import of_kind
from wavloc.frames import Frames
from wavloc.geometry import distances, pairs
from wavloc.methods.predictions import Predictions

RESIDUAL_CAP_M = 0.10  # a wrong delay, and every delay of a missing position, counts as this much


def residuals_m(position: np.ndarray, frames: Frames) -> np.ndarray:
    """Mean over pairs of |measured - implied delay|, at most `RESIDUAL_CAP_M`: (F, 3) -> (F,)."""
    if frames.arrivals is None:
        raise InputError("evaluation of kind 'delays': the frames hold no arrival times")
    measured = np.asarray(frames.arrivals) * frames.speed_of_sound
    late = measured - distances(position, frames.mics())
    first, second = pairs(frames.n_mics).T
    missing = np.isnan(measured[:, first] + measured[:, second])
    residual = np.abs(late[:, first] - late[:, second])
    residual = np.where(np.isnan(residual), RESIDUAL_CAP_M, np.minimum(residual, RESIDUAL_CAP_M))
    return (residual * ~missing).sum(axis=1) / np.maximum((~missing).sum(axis=1), 1)


def score(evaluation: Evaluation, by: Sequence[str] = ()) -> pd.DataFrame:
    """Metrics of kind ``delays``, by condition where ``by`` names columns."""
    if by:
        return by_condition(score, evaluation, by)
    frames = evaluation.frames
    columns = [f"solution_{axis}" for axis in "xyz"]
    missing = [name for name in columns if name not in frames.table]
    if missing:
        raise InputError(f"evaluation of kind 'delays': the frames have no column '{missing[0]}'")
    solution = frames.table[columns].to_numpy(float)
    bound = residuals_m(solution, frames)

    def results_of(_: str, prediction: Predictions) -> Results:
        lost = no_frame(prediction)
        if lost:
            return lost
        residual = residuals_m(prediction.position, frames)
        apart = capped(np.linalg.norm(prediction.position - solution, axis=1))
        values = np.stack([residual, residual - bound, apart], axis=1)
        return evaluation.intervals(weighted_mean, values), failures(prediction).mean()

    return evaluation.table(of_kind("delays"), results_of)
