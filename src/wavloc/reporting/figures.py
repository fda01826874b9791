"""The papers' figures. Each is written as .png (200 dpi) and .pdf; equal data give equal bytes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wavloc import files
from wavloc.evaluation.metrics import HIT_M

# Okabe and Ito's colour-blind-safe palette, its yellow replaced by grey (illegible on white).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#888888")
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h", "d")  # 13: never in step
STYLE = {
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
TRUTH = "#555555"
MARKED_CM = (10, 25, 50, 75)  # where the curves of Fig. 6 carry their method's marker
FACES = {"walls": ("#0072B2", "o"), "floor": ("#009E73", "s"), "ceiling": ("#D55E00", "^")}

Layout = tuple[np.ndarray, np.ndarray]  # microphones (M, 3) and sources (S, 3), metres


def save(figure: Figure, out_stem: str | Path) -> None:
    """Write ``<out_stem>.png`` and ``.pdf``, each atomically and without dates."""
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


def line(style: Mapping[str, Any]) -> dict[str, Any]:
    """A method's style for curves of a few points."""
    return {**style, "linewidth": 1.4, "markersize": 4.5, "markeredgewidth": 0.5}


def handles(styles: Mapping[str, Mapping[str, Any]], **changes: Any) -> list[Line2D]:
    """Entries of a legend, by the ``label`` of each style or else its key."""
    return [
        Line2D([], [], **{"label": name, **line(style), **changes})
        for name, style in styles.items()
    ]


def array_layout(
    layouts: Sequence[Layout],
    room: np.ndarray | Sequence[float] | None,
    out_stem: str | Path,
    plan: bool = False,
    names: Sequence[str] = (),
) -> None:
    """Where microphones and sources are (Figs. 4 and 5), in 3-D.

    room: (3,) metres, a corner at the origin, or None for the box around the microphones. plan:
    instead, the first layout from above and from the side, with the microphones' names, or else
    numbers, and the path of the sources.
    """
    with mpl.rc_context(STYLE):
        if plan:
            figure = Figure(figsize=(7.2, 4.2))
            _draw_plan(figure, layouts[0], room, names)
        else:
            columns = len(layouts) if len(layouts) < 4 else 2
            rows = math.ceil(len(layouts) / columns)
            figure = Figure(figsize=(3.5 * columns, 2.4 * rows + 0.6))
            for number, layout in enumerate(layouts):
                axes = figure.add_subplot(rows, columns, number + 1, projection="3d")
                _draw_room(axes, layout, _box(layout[0], room))
            legend(figure, _room_legend())
        save(figure, out_stem)


def _box(mics: np.ndarray, room: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner of what is drawn, metres."""
    if room is None:
        return np.nanmin(mics, axis=0), np.nanmax(mics, axis=0)
    return np.zeros(3), np.asarray(room, float)


def _draw_room(axes: Axes, layout: Layout, box: tuple[np.ndarray, np.ndarray]) -> None:
    """One room in 3-D: edges, floor, microphones coloured by face, sources with a plumb line."""
    mics, sources = layout
    low, high = box
    corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
    for one, two in itertools.combinations(corners, 2):
        if (one != two).sum() == 1:
            axes.plot(*zip(one, two, strict=True), color="#999999", linewidth=0.8)
    x, y = np.meshgrid([low[0], high[0]], [low[1], high[1]])
    axes.plot_surface(x, y, np.full_like(x, low[2]), color="#009E73", alpha=0.08, shade=False)
    face = _faces(mics, low, high)
    for name, (colour, marker) in FACES.items():
        axes.scatter(
            *mics[face == name].T, color=colour, marker=marker, s=34, depthshade=False,
            edgecolors="white", linewidths=0.5,
        )  # fmt: skip
    for source in sources[np.isfinite(sources).all(axis=1)]:
        axes.plot(*zip(source, [*source[:2], low[2]], strict=True), color="black", linewidth=0.6)
        axes.scatter(*source, color="black", marker="*", s=90, depthshade=False)
    for artist in (*axes.lines, *axes.collections):
        artist.set(clip_on=False, in_layout=False)  # a wide room reaches beyond its square axes
    axes.set_box_aspect(high - low, zoom=1.1)
    for axis, start, stop in zip("xyz", low, high, strict=True):
        getattr(axes, f"set_{axis}lim")(start, stop)
        getattr(axes, f"set_{axis}label")(f"{axis} (m)", labelpad=0)
        getattr(axes, f"{axis}axis").set_major_locator(mpl.ticker.MaxNLocator(4))
        getattr(axes, f"{axis}axis").pane.set_visible(False)
    axes.tick_params(pad=0, labelsize=7)
    axes.view_init(elev=22, azim=-58)


def _faces(mics: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Nearest kind of face of each microphone: (M,) of the keys of `FACES`."""
    gaps = np.stack(
        [
            np.minimum(mics - low, high - mics)[:, :2].min(axis=1),
            mics[:, 2] - low[2],
            high[2] - mics[:, 2],
        ]
    )
    return np.array(list(FACES))[gaps.argmin(axis=0)]


def _room_legend() -> list[Line2D]:
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=f"microphone on {name}")
        for name, (colour, marker) in FACES.items()
    ]
    star = Line2D([], [], color="black", marker="*", linestyle="", markersize=9, label="source")
    return [*handles, star]


def _draw_plan(figure: Figure, layout: Layout, room: Any, names: Sequence[str]) -> None:
    """Views from above (x, y) and from the side (x, z); unnamed microphones count from 1."""
    mics, sources = layout
    low, high = _box(mics, room)
    size = high - low
    panels = figure.subplots(1, 2, width_ratios=[1, 1.15])
    for axes, across, name in zip(panels, (1, 2), ("from above", "from the side"), strict=True):
        axes.plot(*sources[:, [0, across]].T, ".", color="#E69F00", markersize=2, zorder=1)
        axes.plot(*mics[:, [0, across]].T, "o", color="#0072B2", markersize=6, zorder=2)
        for called, mic in zip(names or range(1, len(mics) + 1), mics, strict=True):
            axes.annotate(
                str(called), mic[[0, across]], xytext=(5, 4), textcoords="offset points", fontsize=8
            )
        if room is not None:
            axes.add_patch(
                mpl.patches.Rectangle(
                    low[[0, across]], *size[[0, across]], fill=False, color="#999999"
                )
            )
        axes.set(title=name, xlabel="x (m)", ylabel=f"{'xyz'[across]} (m)", aspect="equal")
        axes.margins(0.08)
    if room is None:
        panels[1].set_ylim(bottom=min(0.0, low[2], *sources[:, 2]))
    dot = {"color": "#0072B2", "marker": "o", "linestyle": ""}
    path = {"color": "#E69F00", "marker": ".", "linestyle": ""}
    entries = [Line2D([], [], label="microphone", **dot)]
    legend(figure, entries + [Line2D([], [], label="source", **path)] * bool(len(sources)))


def cumulative(errors_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors (cm, ascending) and percentage of all frames at or below; failures (NaN) never are."""
    known = np.sort(errors_m[np.isfinite(errors_m)]) * 100
    return known, np.arange(1, len(known) + 1) / max(len(errors_m), 1) * 100


def error_distribution(
    panels: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]],
    styles: Mapping[str, Mapping[str, Any]],
    out_stem: str | Path,
) -> None:
    """Cumulative error distribution (Fig. 6): a column per split, a row per track of the split.

    panels: {split: {track: {method: errors (F,) in metres, NaN on failure}}}; styles: of every
    method (`method_style`).
    """
    rows = max(len(tracks) for tracks in panels.values())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(2.2 * len(panels) + 0.6, 4.6), 1.9 * rows + 0.9))
        grid = figure.subplots(rows, len(panels), sharex=True, sharey=True, squeeze=False)
        for column, (split, tracks) in zip(grid.T, panels.items(), strict=True):
            for axes, (track, by_method) in itertools.zip_longest(
                column, tracks.items(), fillvalue=("", {})
            ):
                axes.axvline(100 * HIT_M, color="#999999", linewidth=0.8, linestyle="--", zorder=1)
                axes.set_title(track if split in ("", track) else f"{split}: {track}")
                for label, values in by_method.items():
                    x, y = cumulative(np.asarray(values, float))
                    ends = [y[-1] if len(y) else 0.0]
                    at = np.concatenate([[0.0], y])[np.searchsorted(x, MARKED_CM, side="right")]
                    look = dict(styles[label])
                    marker = look.pop("marker")
                    axes.step([0, *x, 1e4], [0, *y, *ends], where="post", lw=1.4, **look)
                    axes.plot(MARKED_CM, at, marker, color=look["color"], markersize=4)
                axes.set(xlim=(0, 100), ylim=(0, 100), yticks=range(0, 101, 25))
        for axes in grid[-1]:
            axes.set_xlabel("error (cm)")
        for axes in grid[:, 0]:
            axes.set_ylabel("share of frames (%)")
        limit = {"color": "#999999", "linestyle": "--", "linewidth": 0.8}
        known = Line2D([], [], label=f"{100 * HIT_M:.0f} cm", **limit)
        legend(figure, [*handles(styles), known])
        save(figure, out_stem)


def trajectory(
    track: str,
    time_s: np.ndarray,
    truth: np.ndarray,
    estimates: Mapping[str, tuple[np.ndarray, Mapping[str, Any]]],
    out_stem: str | Path,
    median_frames: int = 0,
) -> None:
    """x, y, z over time (Fig. 7): true (F, 3) and estimated positions in metres.

    estimates: label -> (positions (F, 3), style).

    time_s: (F,) seconds, ascending. Lines break where frames are missing and where a method
    failed (NaN); estimates far off the true track lie outside the axes. median_frames: width of a
    moving median over the estimates; 0 shows single frames as dots.
    """
    time_s, truth = np.asarray(time_s, float), np.asarray(truth, float)
    parts = segments(time_s)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 5.0))
        for number, axes in enumerate(figure.subplots(3, 1, sharex=True)):
            for position, style in estimates.values():
                value = np.asarray(position, float)[:, number]
                for index in parts:
                    if median_frames:
                        smooth = moving_median(value[index], median_frames)
                        look = {key: style[key] for key in ("color", "linestyle")}
                        axes.plot(time_s[index], smooth, linewidth=1.2, **look)
                    else:
                        look = {"color": style["color"], "marker": style["marker"]}
                        axes.plot(
                            time_s[index], value[index], linestyle="", ms=2.6, mew=0.3, **look
                        )
            for index in parts:
                axes.plot(time_s[index], truth[index, number], color=TRUTH, linewidth=1.6, zorder=3)
            axes.set(ylabel=f"{'xyz'[number]} (m)", ylim=_limits(truth[:, number]))
        axes.set_xlabel("time (s)")
        suffix = f" (moving median of {median_frames} frames)" if median_frames else ""
        figure.suptitle(f"{track}{suffix}")
        changes = {"marker": ""} if median_frames else {"linestyle": ""}
        shown = handles({label: style for label, (_, style) in estimates.items()}, **changes)
        legend(figure, [Line2D([], [], label="ground truth", color=TRUTH, lw=2.2), *shown])
        save(figure, out_stem)


def located(table: pd.DataFrame, names: Sequence[str], mics: np.ndarray, out: str | Path) -> None:
    """Positions of a recording, over time and from above among its named microphones.

    table: columns time_s (seconds), x, y, z (metres, NaN where not located). mics: (M, 3) metres.
    out: one picture, its kind by its suffix.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 4.0))
        over, plan = figure.subfigures(1, 2, width_ratios=[1, 1])
        for axis, axes in zip("xyz", over.subplots(3, 1, sharex=True), strict=True):
            axes.plot(table["time_s"], table[axis], ".", markersize=3, color=COLOURS[0])
            axes.set_ylabel(f"{axis} (m)")
        axes.set_xlabel("time (s)")
        axes = plan.subplots()
        axes.plot(table["x"], table["y"], ".-", markersize=3, linewidth=0.6, color=COLOURS[0])
        axes.plot(mics[:, 0], mics[:, 1], "o", color=COLOURS[1])
        for name, mic in zip(names, mics, strict=True):
            axes.annotate(name, mic[:2], xytext=(5, 4), textcoords="offset points", fontsize=8)
        axes.set(title="from above", xlabel="x (m)", ylabel="y (m)")
        axes.set_aspect("equal", adjustable="datalim")
        dot = {"marker": "o", "linestyle": "", "markersize": 5}
        handles = [
            Line2D([], [], color=COLOURS[number], label=label, **dot)
            for number, label in enumerate(("source", "microphone"))
        ]
        legend(figure, handles)
        with files.replacing(out) as temporary:
            figure.savefig(temporary, dpi=200, bbox_inches="tight")


def segments(time_s: np.ndarray) -> list[np.ndarray]:
    """Row numbers of the stretches without a missing frame."""
    steps = np.diff(time_s)
    jumps = np.flatnonzero(steps > 1.5 * np.median(steps)) + 1 if len(steps) else []
    return np.split(np.arange(len(time_s)), jumps)


def moving_median(values: np.ndarray, width: int) -> np.ndarray:
    """Centred median over the known values of a window; NaN stays NaN."""
    smooth = pd.Series(values).rolling(width, center=True, min_periods=1).median().to_numpy()
    return np.where(np.isnan(values), np.nan, smooth)


def _limits(truth: np.ndarray) -> tuple[float, float] | None:
    """Axis limits around the true track, so that outliers do not flatten it; None if unknown."""
    if not np.isfinite(truth).any():
        return None
    low, high = np.nanmin(truth), np.nanmax(truth)
    margin = max(0.4 * (high - low), 0.5)
    return low - margin, high + margin


def legend(figure: Figure, handles: list[Line2D], columns: int = 5, title: str = "") -> None:
    """Legend below the axes, in as many rows of at most that many entries as it needs."""
    rows = math.ceil(len(handles) / columns)
    columns = math.ceil(len(handles) / rows)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, handlelength=3, title=title
    )
