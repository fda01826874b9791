"""Figures: ``figures/<kind>.py`` draws one kind, from what earlier stages wrote."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wavloc import frames
from wavloc.errors import InputError
from wavloc.methods import predictions

# Kind -> what it is drawn from. Matplotlib is loaded only where something is drawn.
KINDS = {
    "degradation": ("metrics",),
    "distribution": ("frames", "predictions"),
    "layout": ("frames",),
    "map": ("frames", "predictions"),
    "plan": ("frames", "predictions"),
    "roc": ("frames", "predictions"),
    "sweep": ("metrics",),
    "trajectory": ("frames", "predictions"),
}


@dataclass(frozen=True)
class Inputs:
    """What a figure is drawn from. spec: its entry of experiments.yaml; methods: rows by name."""

    spec: Mapping[str, Any]
    methods: Mapping[str, Mapping[str, Any]]
    frames: Mapping[str, frames.Frames]
    predicted: Mapping[str, Path]
    metrics: Sequence[Path]

    def prediction(self, track: str, method: str) -> predictions.Predictions:
        """Predictions of a method on a track."""
        if f"{track}/{method}" not in self.predicted:
            raise InputError(
                f"figure of kind '{self.spec['kind']}' needs predictions of '{track}/{method}'"
            )
        return predictions.load(self.predicted[f"{track}/{method}"])

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
    kind = spec["kind"]
    if kind not in KINDS:
        raise InputError(f"figure kind '{kind}', expected one of {', '.join(KINDS)}")
    if "metrics" in KINDS[kind] and not metrics:
        raise InputError(f"figure of kind '{kind}' needs metrics")
    tracks = spec["tracks"] if "frames" in KINDS[kind] else []
    for track in tracks:
        if track not in data:
            raise InputError(f"figure of kind '{kind}' needs frames of '{track}'")
    opened = {track: frames.load(data[track]) for track in tracks}
    style = importlib.import_module("wavloc.reporting.style")
    module = importlib.import_module(f"{__name__}.{kind}")
    style.save(module.draw(Inputs(spec, methods, opened, predicted, metrics)), out)
