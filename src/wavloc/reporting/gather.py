"""From result files to figures: reads what earlier stages wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wavloc import frames
from wavloc.errors import InputError
from wavloc.evaluation import detection
from wavloc.evaluation.metrics import ranked_errors_m
from wavloc.methods import predictions
from wavloc.reporting import curves, figures, floor, tables
from wavloc.simulation import faults

CELL_M = 0.5  # side of the squares of a map
EXAMPLES = 4  # places shown of microphones that move from frame to frame


def draw(
    spec: Mapping[str, Any],
    data: Mapping[str, Path],
    predicted: Mapping[str, Path],
    methods: Mapping[str, Mapping[str, Any]],
    out: Path,
    metrics: Sequence[Path] = (),
) -> None:
    """Draw one figure of experiments.yaml.

    data: track -> Frames; predicted: ``track/method`` -> predictions; metrics: csv files;
    each as spec needs it.
    """
    styles = {name: figures.method_style(entry["place"]) for name, entry in methods.items()}
    if spec["kind"] in ("sweep", "degradation"):
        if not metrics:
            raise InputError("figure: no --metrics FILE given")
        shown = {name: {**styles[name], "label": methods[name]["label"]} for name in methods}
        columns = ["track", "mics", "method", "metric", "value", "ci_low", "ci_high"]
        if spec["kind"] == "sweep":
            rows = tables.read(metrics[0], [*columns[2:], spec["x"]])
            curves.sweep(rows, spec["x"], spec["metric"], shown, out)
        else:
            rows = pd.concat([tables.read(path, columns) for path in metrics])
            rows["level"] = [faults.parted(track)[2] for track in rows["track"]]
            curves.degradation(rows, spec["x"], spec["axis"], spec["metric"], shown, out)
        return
    missing = [track for track in spec["tracks"] if track not in data]
    if missing:
        raise InputError(f"figure: no --frames {missing[0]}=PATH given")
    opened = {track: frames.load(data[track]) for track in spec["tracks"]}
    if spec["kind"] == "roc":
        curves.detection(_rated(opened, predicted, methods), out)
        return
    loaded = {key: predictions.load(path) for key, path in predicted.items()}
    found = {key: one.position for key, one in loaded.items()}
    chosen = {
        track: {
            entry["label"]: (found[f"{track}/{name}"], styles[name])
            for name, entry in methods.items()
            if f"{track}/{name}" in found
        }
        for track in spec["tracks"]
    }
    if spec["kind"] == "layout":
        _layout(opened[spec["tracks"][0]], out)
    elif spec["kind"] == "map":
        track = spec["tracks"][0]
        errors = {
            entry["label"]: ranked_errors_m(loaded[f"{track}/{name}"], opened[track])
            for name, entry in methods.items()
        }
        floor.error_map(opened[track], errors, out, float(spec.get("cell_m", CELL_M)))
    elif spec["kind"] == "distribution":
        panels: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        for track, estimates in chosen.items():
            truth = np.asarray(opened[track].source_position)
            # The four splits of Table VII leave out the two tracks of one number.
            split = panels.setdefault(f"split {track[-1]}", {})
            split[track] = {
                label: np.linalg.norm(position - truth, axis=1)
                for label, (position, _) in estimates.items()
            }
        looks = {entry["label"]: styles[name] for name, entry in methods.items()}
        figures.error_distribution(panels, looks, out)
    else:
        track = spec["tracks"][0]
        shown = opened[track]
        path = (track, shown.table["time_s"].to_numpy(), np.asarray(shown.source_position))
        width = int(spec.get("median_frames", 0))
        if spec["kind"] == "plan":
            curves.from_above(*path, chosen[track], shown.mics()[0], out, width)
        else:
            figures.trajectory(*path, chosen[track], out, width)


def _rated(
    opened: Mapping[str, frames.Frames],
    predicted: Mapping[str, Path],
    methods: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """ROC curves of every method that rates microphones: track and fault -> level -> curve."""
    panels: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for track, shown in opened.items():
        base, fault, level = faults.parted(track)
        panel = panels.setdefault(f"{base}, {fault}", {})
        for name, entry in methods.items():
            found = predictions.load(predicted[f"{track}/{name}"]).reliability
            if found is not None:
                label = f"{level:g} {shown.meta['fault']['unit']}"
                label = f"{entry['label']}, {label}" if len(methods) > 1 else label
                panel[label] = detection.roc(found, faults.faulty_mics(shown))
    return panels


def _layout(shown: frames.Frames, out: Path) -> None:
    """A fixed array from above and from the side, the first places of a moving one in 3-D."""
    shift = np.array(shown.meta.get("origin", [0.0, 0.0, 0.0]))
    mics, sources = np.asarray(shown.mic_positions) + shift, shown.source_position + shift
    fixed = mics.ndim == 2
    if fixed:
        layouts = [(mics, sources)]
    else:
        # Several frames in a row may share their microphones.
        chosen = np.sort(np.unique(mics, axis=0, return_index=True)[1])[:EXAMPLES]
        layouts = [(mics[frame], sources[[frame]]) for frame in chosen]
    names = shown.meta.get("mic_names", ())
    figures.array_layout(layouts, shown.meta.get("room"), out, plan=fixed, names=names)
