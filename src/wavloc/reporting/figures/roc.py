"""ROC curves of the reliability of microphones, a panel per track and fault, a line per level."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from wavloc.evaluation import detection
from wavloc.reporting.figures import Inputs
from wavloc.reporting.style import method_style, panels, say_empty, styled
from wavloc.simulation import faults

Curve = tuple[np.ndarray, np.ndarray]  # false and true positive rates (T,)


def draw(inputs: Inputs) -> Figure:
    """Curves of every method that rates microphones."""
    curves: dict[str, dict[str, Curve]] = {}
    for track, frames in inputs.frames.items():
        base, fault, level = faults.parted(track)
        panel = curves.setdefault(f"{base}, {fault}", {})
        for name, entry in inputs.methods.items():
            reliability = inputs.prediction(track, name).reliability
            if reliability is not None:
                label = f"{level:g} {frames.meta['fault']['unit']}"
                label = f"{entry['label']}, {label}" if len(inputs.methods) > 1 else label
                panel[label] = detection.roc(reliability, faults.faulty_mics(frames))
    return roc(curves)


@styled
def roc(curves: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """curves: title of a panel -> label of a line -> its rates."""
    labels = ("false alarms", "faulty ones found")
    figure, grid = panels(len(curves), 3, (2.5, 2.6), (0.4, 0.3), labels)
    for axes, (title, lines) in zip(grid, curves.items(), strict=True):
        axes.plot([0, 1], [0, 1], color="#AAAAAA", linewidth=0.8)
        for place, (label, (false, true)) in enumerate(lines.items()):
            style = method_style(place)
            look = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 1.3}
            axes.plot(false, true, label=label, **look)  # equal ratings are a slope
        if lines:
            axes.legend(fontsize=7, loc="lower right")
        else:
            say_empty(axes, "no method rates microphones")
        axes.set(title=title, xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return figure
