"""What a stated confidence is worth: how often it is right, and what is left of the error without
the least confident frames.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from wavloc.evaluation.metrics import CAP_M, HIT_M
from wavloc.reporting.figures import Inputs
from wavloc.reporting.style import Style, entries, legend, say_empty, styled, styles_of

BINS = 10  # of equal numbers of frames
Told = tuple[np.ndarray, np.ndarray]  # confidence (F,) and error (F,) in metres


def draw(inputs: Inputs) -> Figure:
    """A row of two panels for each track, a line for each method that states a confidence."""
    told: dict[str, dict[str, Told]] = {}
    for track, frames in inputs.frames.items():
        told[track] = {}
        for name, entry in inputs.methods.items():
            if f"{track}/{name}" not in inputs.predicted:
                continue
            predictions = inputs.prediction(track, name)
            if predictions.confidence is not None:
                error = np.linalg.norm(predictions.position - frames.source_position, axis=1)
                told[track][entry["label"]] = predictions.confidence, error
    return confidence(told, styles_of(inputs.methods))


def calibration(confidence: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean confidence and share of errors within 30 cm (`BINS`,) of frames of like confidence."""
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    within = error < HIT_M
    return (
        np.array([confidence[part].mean() for part in parts]),
        np.array([within[part].mean() for part in parts]),
    )


def kept(confidence: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of frames that are kept, the most confident first, and their MAE in metres."""
    order = np.argsort(-confidence, kind="stable")
    capped = np.where(np.isfinite(error), np.minimum(error, CAP_M), CAP_M)[order]
    number = np.arange(1, len(order) + 1)
    return number / len(order), np.cumsum(capped) / number


@styled
def confidence(told: Mapping[str, Mapping[str, Told]], styles: Mapping[str, Style]) -> Figure:
    """told: title of a row -> label -> confidence (F,) and errors (F,) in metres."""
    figure = Figure(figsize=(6.4, 2.6 * len(told) + 0.5))
    grid = figure.subplots(len(told), 2, squeeze=False)
    for (title, lines), (left, right) in zip(told.items(), grid, strict=True):
        left.plot([0, 100], [0, 100], color="#AAAAAA", linewidth=0.8)
        for label, (stated, error) in lines.items():
            look = dict(styles[label])
            marker = look.pop("marker")
            x, y = calibration(stated, error)
            left.plot(100 * x, 100 * y, marker=marker, markersize=4, lw=1.4, **look)
            share, mae = kept(stated, error)
            right.plot(100 * share, 100 * mae, lw=1.4, **look)
        if not lines:
            say_empty(left, "no method states a confidence")
        left.set(title=title, xlim=(0, 100), ylim=(0, 100), aspect="equal")
        left.set(xlabel="stated confidence (%)", ylabel="errors below 30 cm (%)")
        right.set(title=title, xlim=(0, 100), xlabel="share of frames kept (%)")
        right.set(ylabel="MAE of these (cm)")
        right.set_ylim(bottom=0)
    shown = {label for lines in told.values() for label in lines}
    legend(figure, entries({label: look for label, look in styles.items() if label in shown}))
    return figure
