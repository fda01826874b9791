"""From result files to figures: reads what earlier stages wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wavloc import frames
from wavloc.errors import InputError
from wavloc.methods import predictions
from wavloc.reporting import figures

EXAMPLES = 4  # places shown of microphones that move from frame to frame


def draw(
    spec: Mapping[str, Any],
    data: Mapping[str, Path],
    predicted: Mapping[str, Path],
    methods: Mapping[str, Mapping[str, Any]],
    out: Path,
) -> None:
    """Draw one figure of experiments.yaml.

    data: track -> Frames; predicted: ``track/method`` -> predictions; both as spec needs them.
    """
    missing = [track for track in spec["tracks"] if track not in data]
    if missing:
        raise InputError(f"figure: no --frames {missing[0]}=PATH given")
    opened = {track: frames.load(data[track]) for track in spec["tracks"]}
    found = {key: predictions.load(path).position for key, path in predicted.items()}
    chosen = {
        track: {
            entry["label"]: found[f"{track}/{name}"]
            for name, entry in methods.items()
            if f"{track}/{name}" in found
        }
        for track in spec["tracks"]
    }
    if spec["kind"] == "layout":
        _layout(opened[spec["tracks"][0]], out)
    elif spec["kind"] == "distribution":
        panels: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        for track, estimates in chosen.items():
            truth = np.asarray(opened[track].source_position)
            # The four splits of Table VII leave out the two tracks of one number.
            split = panels.setdefault(f"split {track[-1]}", {})
            split[track] = {
                label: np.linalg.norm(position - truth, axis=1)
                for label, position in estimates.items()
            }
        figures.error_distribution(panels, out)
    else:
        track = spec["tracks"][0]
        shown = opened[track]
        figures.trajectory(
            track,
            shown.table["time_s"].to_numpy(),
            np.asarray(shown.source_position),
            chosen[track],
            out,
            int(spec.get("median_frames", 0)),
        )


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
    figures.array_layout(layouts, shown.meta.get("room"), out, plan=fixed)
