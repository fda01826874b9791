"""An interactive 3-D view of tracks: the array, the true path and every method's positions."""

import base64
import gzip
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from wavloc import frames
from wavloc.reporting.html.answers import Cell, dataset_of, predicted
from wavloc.reporting.style import COLOURS, method_style

SYMBOLS = ("circle", "diamond", "square", "cross")
MARGIN_M = 0.3  # drawn beyond the microphones and the path where the room is not known


def views(
    results: Path, config: Mapping[str, Any], labels: Mapping[str, str]
) -> list[dict[str, Any]]:
    """What view.js draws: the tracks of figures over time, with every method that was run on them.

    labels: of all methods by name, in the order of the configuration. The methods of the figure are
    visible at first.
    """
    drawn: dict[Cell, dict[str, Any]] = {}
    for spec in config["figures"].values():
        if spec["kind"] == "trajectory":
            for track in spec["tracks"]:
                cell = (dataset_of(spec, config), track, spec["setup"], spec["mics"])
                if cell not in drawn:
                    drawn[cell] = _view(results, cell, labels, spec["methods"])
    return list(drawn.values())


def _view(
    results: Path, cell: Cell, labels: Mapping[str, str], visible: Collection[str]
) -> dict[str, Any]:
    """One track. Millimetres are enough; null where a value is missing."""
    dataset, track, setup, mics = cell
    shown = frames.load(results / "data" / dataset / track)
    methods, answers = [], predicted(results, cell, labels)
    for place, (name, label) in enumerate(labels.items()):
        if name in answers:
            position = answers[name].of(shown).position
            methods.append(
                {
                    "label": label,
                    # As in the figures; methods of the same colour have different symbols.
                    "colour": str(method_style(place)["color"]),
                    "symbol": SYMBOLS[place // len(COLOURS) % len(SYMBOLS)],
                    "shown": name in visible,
                    "xyz": _columns(position),
                    "located": int(np.isfinite(position).all(axis=1).sum()),
                }
            )
    points = np.concatenate([shown.mics()[0], shown.source_position])
    around = np.nanmin(points, axis=0) - MARGIN_M, np.nanmax(points, axis=0) + MARGIN_M
    return {
        "name": f"{track}, setup {setup}, {mics} microphones",
        "time": np.round(shown.table["time_s"].to_numpy(), 3).tolist(),
        "truth": _columns(shown.source_position),
        "mics": _columns(shown.mics()[0]),
        "box": _columns(np.stack(around if shown.room_bounds is None else shown.room_bounds)),
        "methods": methods,
    }


def _columns(points: np.ndarray) -> list[list[float | None]]:
    """x, y and z of points (P, 3) as three lists."""
    rounded = np.round(np.asarray(points, float), 3).T
    return [[float(v) if np.isfinite(v) else None for v in axis] for axis in rounded]


def section(views: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Names, data and library of all views; view.js draws the one that is chosen."""
    if not views:
        return None
    data = json.dumps(views, separators=(",", ":")).replace("<", "\\u003c")
    # Compressed: a third of the library's size, unpacked when the view comes into sight.
    library = base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
    return {"names": [view["name"] for view in views], "data": Markup(data), "library": library}
