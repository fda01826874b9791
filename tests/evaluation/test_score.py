"""Kinds of evaluation and what they take; every metric has its place in the registry."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from helpers.predictions import CELL, off_by
from wavloc import evaluation
from wavloc.errors import InputError
from wavloc.evaluation.metrics import METRICS, of_kind

ELSEWHERE = {"costs", "counts", "ranks"}  # made from other things than predictions of one cell


def test_every_metric_is_produced_by_one_kind() -> None:
    kinds = {metric.kind for metric in METRICS.values()}
    assert kinds == set(evaluation.KINDS) - {"conditions"} | ELSEWHERE
    for kind in evaluation.KINDS:
        assert callable(importlib.import_module(evaluation.module_of(kind)).score)
    frames = anechoic_frames(4)
    table = evaluation.score("errors", {"m": off_by(frames, np.zeros(4))}, frames, CELL)
    assert table["metric"].tolist() == [name for name in of_kind("errors") if name != "mic_mae"]
    assert table["unit"].tolist() == [METRICS[name].unit for name in table["metric"]]


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("speed", {}, "evaluation kind 'speed', expected one of errors, conditions, "),
        ("conditions", {}, "of kind 'conditions' needs 'by'"),
        ("denoising", {"by": ["snr_db"]}, "of kind 'denoising' needs 'clean'"),
        ("errors", {"by": ["snr_db"]}, "of kind 'errors' does not take 'by'"),
        ("detection", {"known": np.zeros((4, 3), int)}, "does not take 'known'"),
        ("errors", {"resamples": 10}, "evaluation.resamples: 10, expected at least 1000"),
    ],
)
def test_what_a_kind_lacks_or_does_not_take_is_named(
    kind: str, options: dict[str, Any], words: str
) -> None:
    frames = anechoic_frames(4)
    with pytest.raises(InputError, match=words):
        evaluation.score(kind, {"m": off_by(frames, np.zeros(4))}, frames, CELL, **options)
