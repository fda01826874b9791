"""ROC curves of reliabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from helpers.frames import anechoic_frames
from helpers.tables import ENTRY
from wavloc.methods.predictions import Predictions
from wavloc.reporting import figures
from wavloc.simulation import faults


def test_roc_figure_has_a_panel_for_each_fault(tmp_path: Path, drawn: list[Figure]) -> None:
    clean = anechoic_frames(12)
    spec = {"kind": "roc", "tracks": []}
    data, predicted = {}, {}
    for kind, level in (("noisy", 1), ("noisy", 3), ("dead", 1)):
        track = faults.named("s3", kind, level)
        frames = faults.apply(clean, kind, level, 1, 0, "twin/speech3")
        faulty = faults.faulty_mics(frames)
        frames.save(tmp_path / track)
        spec["tracks"].append(track)
        data[track] = tmp_path / track
        rating = 0.5 + 0.5 * np.random.default_rng(0).random(faulty.shape) - 0.4 * faulty
        answer = Predictions(clean.source_position, np.full(12, "ok", object), reliability=rating)
        predicted[f"{track}/ft"] = tmp_path / f"{track}.parquet"
        answer.save(predicted[f"{track}/ft"])
    figures.draw(spec, data, predicted, {"ft": ENTRY}, tmp_path / "roc")
    shown = {a.get_title(): [line.get_label() for line in a.lines[1:]] for a in drawn[0].axes}
    assert shown["s3, noisy"] == ["1 x signal", "3 x signal"]
    assert shown["s3, dead"] == ["1 microphones"]
    assert (tmp_path / "roc.png").stat().st_size > 3000
