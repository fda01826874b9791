"""Cumulative error distributions (Fig. 6): a column per split, a row per track of the split."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wavloc.evaluation.metrics import HIT_M
from wavloc.reporting.figures import Inputs
from wavloc.reporting.style import (
    Style,
    entries,
    entry,
    grouped_legend,
    groups,
    panels,
    panels_of,
    styled,
    styles_of,
)

MARKED_CM = (10, 25, 50, 75)  # where curves carry their method's marker
LIMIT: Any = {"color": "#999999", "linestyle": "--", "linewidth": 0.8}


def draw(inputs: Inputs) -> Figure:
    """Errors of all methods on all tracks of the figure."""
    splits: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for track, frames in inputs.frames.items():
        truth = np.asarray(frames.source_position)
        # Each of the four splits of Table VII leaves out the two tracks of one number.
        splits.setdefault(f"split {track[-1]}", {})[track] = {
            label: np.linalg.norm(position - truth, axis=1)
            for label, position in inputs.positions(track).items()
        }
    together = {
        title: [inputs.methods[name]["label"] for name in names]
        for title, names in groups(inputs.methods).items()
    }
    return distribution(splits, styles_of(inputs.methods), together)


def cumulative(errors_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors (cm, ascending) and percentage of all frames at or below; failures (NaN) never are."""
    known = np.sort(errors_m[np.isfinite(errors_m)]) * 100
    return known, np.arange(1, len(known) + 1) / max(len(errors_m), 1) * 100


@styled
def distribution(
    splits: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]],
    styles: Mapping[str, Style],
    together: Mapping[str, list[str]] | None = None,
) -> Figure:
    """splits: {split: {track: {label: errors (F,) in metres, NaN on failure}}}; together: labels
    by group, see `style.groups`, without it all share a panel.
    """
    together = together or {"": list(styles)}
    shown = panels_of(together)
    rows = max(len(tracks) for tracks in splits.values()) * len(shown)
    columns, margin = len(splits), (max(0.6, 4.6 - 2.2 * len(splits)), 0.9)
    labels = ("error (cm)", "share of frames (%)")
    figure, grid = panels(rows * columns, columns, (2.2, 1.9), margin, labels)
    for number, (split, tracks) in enumerate(splits.items()):
        cells = [(track, title) for track in tracks for title in shown]
        cells += [("", "")] * (rows - len(cells))
        for axes, (track, title) in zip(grid[number::columns], cells, strict=True):
            named = track if split in ("", track) else f"{split}: {track}" * bool(track)
            axes.set_title("\n".join(filter(None, [named, title])))
            _draw_curves(axes, tracks.get(track, {}), shown.get(title, []), styles)
    keys = {title: entries({n: styles[n] for n in names}) for title, names in together.items()}
    [*_, last] = keys.values()
    last.append(entry(f"{100 * HIT_M:.0f} cm", **LIMIT))
    grouped_legend(figure, keys)
    return figure


def _draw_curves(
    axes: Axes,
    by_label: Mapping[str, np.ndarray],
    labels: Sequence[str],
    styles: Mapping[str, Style],
) -> None:
    """The distributions of some methods on one track."""
    axes.axvline(100 * HIT_M, **LIMIT, zorder=1)
    for label in labels:
        if label not in by_label:
            continue
        x, y = cumulative(np.asarray(by_label[label], float))
        end = y[-1] if len(y) else 0.0
        heights = np.concatenate([[0.0], y])
        marked = heights[np.searchsorted(x, MARKED_CM, side="right")]
        look = dict(styles[label])
        marker = look.pop("marker")
        axes.step([0, *x, 1e4], [0, *y, end], where="post", lw=1.4, **look)
        axes.plot(MARKED_CM, marked, marker, color=look["color"], markersize=4)
    axes.set(xlim=(0, 100), ylim=(0, 100), yticks=range(0, 101, 25))
