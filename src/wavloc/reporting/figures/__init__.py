"""Figures: ``figures/<kind>.py`` draws one kind, from what earlier stages wrote."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wavloc.checks import one_of
from wavloc.errors import InputError
from wavloc.frames import Frames
from wavloc.frames import load as load_frames
from wavloc.methods.predictions import Predictions
from wavloc.methods.predictions import load as load_predictions

# Kind -> what it is drawn from. Matplotlib is loaded only where something is drawn.
KINDS = {
    "confidence": ("frames", "predictions"),
    "degradation": ("metrics",),
    "distribution": ("frames", "predictions"),
    "layout": ("frames",),
    "map": ("frames", "predictions"),
    "plan": ("frames", "predictions"),
    "roc": ("frames", "predictions"),
    "sets": ("frames", "predictions"),
    "sweep": ("metrics",),
    "trajectory": ("frames", "predictions"),
}


@dataclass(frozen=True)
class Inputs:
    """What a figure is drawn from. spec: its entry of experiments.yaml; methods: rows by name."""

    spec: Mapping[str, Any]
    methods: Mapping[str, Mapping[str, Any]]
    frames: Mapping[str, Frames]
    predicted: Mapping[str, Path]
    metrics: Sequence[Path]

    def first(self) -> tuple[str, Frames]:
        """The first track of the figure and its frames."""
        return next(iter(self.frames.items()))

    def path(self) -> tuple[str, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Of the first track: name, times (F,), positions (F, 3), and what methods say of them."""
        track, opened = self.first()
        times, truth = opened.table["time_s"].to_numpy(), np.asarray(opened.source_position)
        return track, times, truth, self.positions(track)

    def prediction(self, track: str, method: str) -> Predictions:
        """Predictions of a method on a track, in the order of its frames."""
        if f"{track}/{method}" not in self.predicted:
            raise InputError(
                f"figure of kind '{self.spec['kind']}' needs predictions of '{track}/{method}'"
            )
        return load_predictions(self.predicted[f"{track}/{method}"]).of(self.frames[track])

    def positions(self, track: str) -> dict[str, np.ndarray]:
        """Label -> positions (F, 3) in metres of the methods that were run on a track."""
        return {
            entry["label"]: self.prediction(track, name).position
            for name, entry in self.methods.items()
            if f"{track}/{name}" in self.predicted
        }


def draw(
    spec: Mapping[str, Any],
    data: Mapping[str, Path],
    predicted: Mapping[str, Path],
    methods: Mapping[str, Mapping[str, Any]],
    out: str | Path,
    metrics: Sequence[Path] = (),
) -> None:
    """Draw one figure of experiments.yaml as ``<out>.png`` and ``<out>.pdf``.

    data: track -> Frames; predicted: ``track/method`` -> predictions; methods: name -> label and
    place in the configuration; metrics: csv files.
    """
    kind = one_of(spec["kind"], KINDS, "figure kind")
    if "metrics" in KINDS[kind] and not metrics:
        raise InputError(f"figure of kind '{kind}' needs metrics")
    tracks = spec["tracks"] if "frames" in KINDS[kind] else []
    for track in tracks:
        if track not in data:
            raise InputError(f"figure of kind '{kind}' needs frames of '{track}'")
    opened = {track: load_frames(data[track]) for track in tracks}
    style = importlib.import_module("wavloc.reporting.style")
    module = importlib.import_module(f"{__name__}.{kind}")
    style.save(module.draw(Inputs(spec, methods, opened, predicted, metrics)), out)
