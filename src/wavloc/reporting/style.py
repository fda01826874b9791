"""How figures look: one style for all, a look for each method, legends; how they are saved."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wavloc import files

# Okabe and Ito's colour-blind-safe palette, its yellow replaced by grey (illegible on white).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#888888")
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h", "d")  # 13: never in step
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "figure.constrained_layout.use": True,
}
TRUTH = "#BBBBBB"  # no method's; drawn wide, below the marks of methods
FEW = 8  # curves that can be told apart in one panel
GROUPS = ("methods of the papers", "further methods", "controls")

Style = Mapping[str, Any]  # of a method: colour, line and marker, and perhaps its label

styled = mpl.rc_context(STYLE)  # decorates every function that draws


@styled
def save(figure: Figure, out_stem: str | Path) -> None:
    """Write ``<out_stem>.png`` (200 dpi) and ``.pdf``, atomically; equal figures, equal bytes."""
    for suffix, empty in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        with files.replacing(f"{out_stem}.{suffix}") as temporary:
            figure.savefig(temporary, dpi=200, metadata=empty, bbox_inches="tight")


def method_style(place: int) -> dict[str, Any]:
    """Colour, line and marker of the method at a place of the whole configuration.

    The place, not the figure, decides: a method looks the same everywhere. Neighbours differ in all
    three, so that curves can be told apart in print without colour as well.
    """
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[(place + place // len(COLOURS)) % len(DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
    }


def styles_of(methods: Mapping[str, Mapping[str, Any]]) -> dict[str, Style]:
    """Label -> style of methods given by their rows."""
    return {entry["label"]: method_style(entry["place"]) for entry in methods.values()}


def line(style: Style) -> dict[str, Any]:
    """A method's style for curves of a few points."""
    return {**style, "linewidth": 1.4, "markersize": 4.5, "markeredgewidth": 0.5}


def entry(label: str, **look: Any) -> Line2D:
    """One entry of a legend."""
    return Line2D([], [], label=label, **look)


def entries(styles: Mapping[str, Style], **changes: Any) -> list[Line2D]:
    """Entries of methods in a legend, by label unless their style has one."""
    return [entry(**{"label": key, **line(look), **changes}) for key, look in styles.items()]


def legend(figure: Figure, entries: list[Line2D], columns: int = 5, title: str = "") -> None:
    """Legend below the axes, in as many rows of at most that many entries as it needs."""
    rows = math.ceil(len(entries) / columns)
    columns = math.ceil(len(entries) / rows)
    figure.legend(
        handles=entries, loc="outside lower center", ncols=columns, handlelength=3, title=title
    )


def groups(methods: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Title -> names of methods, given by their rows, whose curves share a panel.

    All in one, without a title, where they are few; else the papers', further ones and controls.
    """
    if len(methods) <= FEW:
        return {"": list(methods)}
    found: dict[str, list[str]] = {title: [] for title in GROUPS}
    for name, row in methods.items():
        place = 2 if row.get("control") else 0 if row.get("paper_label") else 1
        found[GROUPS[place]].append(name)
    return {title: names for title, names in found.items() if names}


def panels_of(groups: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Title of each panel -> the methods in it: a group, and the controls beside every other."""
    controls = groups.get(GROUPS[2], [])
    others = {title: names for title, names in groups.items() if title != GROUPS[2]}
    return {title: [*names, *controls] for title, names in others.items()} or dict(groups)


def grouped_legend(figure: Figure, groups: Mapping[str, list[Line2D]], columns: int = 5) -> None:
    """Legend below the axes, a column for each group under its title; one group as in `legend`."""
    if len(groups) == 1:
        legend(figure, list(itertools.chain(*groups.values())), columns)
        return
    rows = max(map(len, groups.values()))
    handles = []
    for title, members in groups.items():
        blank = [entry("", linestyle="")] * (rows - len(members))
        handles += [entry(title, linestyle=""), *members, *blank]
    made = figure.legend(
        handles=handles, loc="outside lower center", ncols=len(groups), handlelength=3
    )
    for text in made.get_texts():
        if text.get_text() in groups:
            text.set_fontweight("bold")


def panels(
    count: int,
    columns: int,
    size: tuple[float, float],
    margin: tuple[float, float],
    labels: tuple[str, str],
) -> tuple[Figure, list[Axes]]:
    """A figure of equal panels, row by row, and their axes.

    size: of each panel, margin: around all of them, both (width, height) in inches; labels: of the
    x and y axes at the edges.
    """
    columns = max(1, min(count, columns))
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(size[0] * columns + margin[0], size[1] * rows + margin[1]))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel(labels[0])
    for axes in grid[:, 0]:
        axes.set_ylabel(labels[1])
    return figure, list(grid.flat[:count])


def say_empty(axes: Axes, reason: str) -> None:
    """Say inside the axes why nothing is shown."""
    axes.text(
        0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", wrap=True, fontsize=8
    )  # fmt: skip
