"""The page of single frames: the worst of a method and some drawn ones, with every answer."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wavloc import files, seeds
from wavloc.checks import one_of
from wavloc.errors import InputError
from wavloc.evaluation.errors import require_truth
from wavloc.evaluation.metrics import HIT_M
from wavloc.frames import NO_SOUND, Frames
from wavloc.methods.predictions import Predictions
from wavloc.reporting import style
from wavloc.reporting.figures.frame import frame, said_m
from wavloc.reporting.html.templates import render

DPI = 110
CONDITIONS = {"t60_nominal_s": "nominal T60 {:g} s", "snr_db": "SNR {:g} dB"}


def write(
    out: str | Path,
    frames: Frames,
    predicted: Mapping[str, Predictions],
    methods: Mapping[str, Mapping[str, Any]],
    spec: Mapping[str, Any],
    seed: int,
) -> None:
    """Write the page. predicted: of some methods; methods: their rows; spec: see `jobs`."""
    require_truth(frames)
    if not frames.has_sound:
        raise InputError(f"the page of single frames {NO_SOUND}")
    for name in predicted:
        one_of(name, methods, "--predictions: no row of the table:")
    judge = one_of(spec["method"], predicted, "--predictions: the method that chooses is missing:")
    ordered = [name for name in methods if name in predicted]
    ordered.sort(key=lambda name: bool(methods[name].get("control")))
    answers = {name: predicted[name].of(frames) for name in ordered}
    errors = {
        name: np.linalg.norm(answer.position - frames.source_position, axis=1)
        for name, answer in answers.items()
    }
    worst, drawn = chosen(errors[judge], spec, seeds.rng(seed, "single frames", spec["cell"]))
    shown = [
        {
            "title": f"Frame {_name(frames, index)}",
            "about": _about(frames, index, judge, answers[judge], errors, methods),
            "alternative": _alternative(index, errors, methods),
            "data": _picture(frames, index, judge, answers, methods),
        }
        for index in (*worst, *drawn)
    ]
    page = render(
        "single_frames.html",
        cell=spec["cell"],
        made=spec["made"],
        judge=methods[judge]["label"],
        count=len(frames),
        groups=[("worst", shown[: len(worst)]), ("drawn", shown[len(worst) :])],
        doubts=answers[judge].candidates is not None,
    )
    files.write_text(out, page)


def chosen(
    error: np.ndarray, spec: Mapping[str, Any], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the ``worst`` frames by error (F,), worst first, NaN worst of all, and of as many as
    ``drawn`` says of the others, in their order.
    """
    order = np.argsort(-np.nan_to_num(error, nan=np.inf), kind="stable")
    others = np.sort(order[spec["worst"] :])
    drawn = rng.choice(others, min(spec["drawn"], len(others)), replace=False)
    return order[: spec["worst"]], np.sort(drawn)


def _name(frames: Frames, index: int) -> str:
    row = frames.table.iloc[index]
    number = str(int(row.get("frame", index)))
    return f"{number}, {row['time_s']:.2f} s" if "time_s" in row else number


def _about(
    frames: Frames,
    index: int,
    judge: str,
    answer: Predictions,
    errors: Mapping[str, np.ndarray],
    methods: Mapping[str, Mapping[str, Any]],
) -> str:
    """What the caption says of a frame."""
    row = frames.table.iloc[index]
    status = str(answer.status[index]).replace("_", " ")
    said = [f"{methods[judge]['label']}: {_said(errors[judge][index])}, {status}"]
    if answer.confidence is not None:
        said[0] += f", confidence {answer.confidence[index]:.2f}"
    others = {n: e[index] for n, e in errors.items() if not methods[n].get("control")}
    known = {name: error for name, error in others.items() if np.isfinite(error)}
    if known:
        best = min(known, key=lambda name: known[name])
        said.append(f"nearest: {methods[best]['label']}, {said_m(known[best])}")
    hits = sum(error < HIT_M for error in others.values())
    said.append(f"{hits} of {len(others)} methods within {100 * HIT_M:.0f} cm")
    said += [words.format(row[name]) for name, words in CONDITIONS.items() if name in row]
    return "; ".join(said) + "."


def _alternative(
    index: int, errors: Mapping[str, np.ndarray], methods: Mapping[str, Mapping[str, Any]]
) -> str:
    """The answers in words, for those who do not see the picture."""
    told = [f"{methods[name]['label']} {_said(error[index])}" for name, error in errors.items()]
    return f"Signals, correlations and map. Errors: {', '.join(told)}."


def _said(error: float) -> str:
    return said_m(error) if np.isfinite(error) else "no position"


def _picture(
    frames: Frames,
    index: int,
    judge: str,
    answers: Mapping[str, Predictions],
    methods: Mapping[str, Mapping[str, Any]],
) -> str:
    """The picture of a frame, base64."""
    marks = {
        methods[name]["label"]: (
            answer.position[index],
            style.method_style(methods[name]["place"]),
        )
        for name, answer in answers.items()
    }
    judged, doubts = answers[judge], None
    if judged.candidates is not None and judged.posterior is not None:
        doubts = judged.candidates[index], judged.posterior[index]
    drawn, packed = frame(frames, index, marks, doubts), io.BytesIO()
    look: dict[str, Any] = {"quality": 55, "method": 4}
    drawn.savefig(packed, format="webp", dpi=DPI, pil_kwargs=look)
    return base64.b64encode(packed.getvalue()).decode()
