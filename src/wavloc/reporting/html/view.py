"""An interactive 3-D view of tracks: the array, the true path and every method's positions."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from plotly.offline import get_plotlyjs

from wavloc.reporting.html.markup import text
from wavloc.reporting.style import COLOURS, method_style

SYMBOLS = ("circle", "diamond", "square", "cross")
MARGIN_M = 0.3  # drawn beyond the microphones and the path where the room is not known


@dataclass(frozen=True)
class View:
    """One track: positions in metres, NaN where a method failed.

    time_s (F,), truth (F, 3), mics (M, 3), room: lower and upper corner or None, estimates:
    label -> (F, 3), shown: labels that are visible at first.
    """

    name: str
    time_s: np.ndarray
    truth: np.ndarray
    mics: np.ndarray
    room: tuple[np.ndarray, np.ndarray] | None
    estimates: Mapping[str, np.ndarray]
    shown: Collection[str]

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner of what is drawn, metres."""
        if self.room is not None:
            return self.room
        points = np.concatenate([self.mics, self.truth])
        return np.nanmin(points, axis=0) - MARGIN_M, np.nanmax(points, axis=0) + MARGIN_M

    def content(self, styles: Mapping[str, dict[str, str]]) -> dict[str, Any]:
        """What view.js draws: millimetres are enough, null where a value is missing."""
        low, high = self.box()
        methods = [
            {
                "label": label,
                **styles[label],
                "shown": label in self.shown,
                "xyz": _columns(position),
                "located": int(np.isfinite(position).all(axis=1).sum()),
            }
            for label, position in self.estimates.items()
        ]
        return {
            "name": self.name,
            "time": np.round(self.time_s, 3).tolist(),
            "truth": _columns(self.truth),
            "mics": _columns(self.mics),
            "box": _columns(np.stack([low, high])),
            "methods": methods,
        }


def _columns(points: np.ndarray) -> list[list[float | None]]:
    """x, y and z of points (P, 3) as three lists."""
    rounded = np.round(np.asarray(points, float), 3).T
    return [[float(v) if np.isfinite(v) else None for v in axis] for axis in rounded]


def _styles(labels: Sequence[str]) -> dict[str, dict[str, str]]:
    """Colours as in the figures; methods of the same colour have different symbols."""
    return {
        label: {
            "colour": str(method_style(place)["color"]),
            "symbol": SYMBOLS[place // len(COLOURS) % len(SYMBOLS)],
        }
        for place, label in enumerate(labels)
    }


def section(views: Sequence[View], labels: Sequence[str]) -> str:
    """The controls and the data of all views; view.js draws the one that is chosen.

    labels: of all methods, in the order of the configuration; the place decides on the colour.
    """
    data = json.dumps([view.content(_styles(labels)) for view in views], separators=(",", ":"))
    choices = "".join(f"<option>{text(view.name)}</option>" for view in views)
    chooser = f"<label>Track <select id=view-track>{choices}</select></label>"
    # Compressed: a third of the library's size, unpacked when the view comes into sight.
    library = base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
    return (
        f'<div class="controls"{" hidden" if len(views) == 1 else ""}>{chooser}</div>'
        '<div id="view" role="img" aria-label="positions in the room, in three dimensions">'
        '<p class="soft">The view is drawn when it is in sight; it needs JavaScript and WebGL.</p>'
        "</div>"
        '<div class="controls"><label class="wide">Moment <input type="range" id="view-time" '
        'min="0" value="0"> <output id="view-moment"></output></label></div>'
        '<fieldset class="controls" id="view-methods"><legend>Methods</legend></fieldset>'
        '<p class="soft">In brackets: frames that were located, where it was not all of them. '
        "Positions outside the drawn box are left out. Lines go from the true position at the "
        "chosen moment to where each method puts it.</p>"
        f'<script type="application/json" id="view-data">{data.replace("<", chr(92) + "u003c")}'
        f'</script><script type="application/gzip" id="view-library">{library}</script>'
    )
