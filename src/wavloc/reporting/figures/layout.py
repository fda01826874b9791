"""Where microphones and sources are (Figs. 4 and 5): in 3-D, or from above and from the side."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from wavloc.frames import Frames
from wavloc.reporting.figures import Inputs
from wavloc.reporting.style import entry, legend, styled

EXAMPLES = 4  # places shown of microphones that move from frame to frame
FACES = {"walls": ("#0072B2", "o"), "floor": ("#009E73", "s"), "ceiling": ("#D55E00", "^")}

Layout = tuple[np.ndarray, np.ndarray]  # microphones (M, 3) and sources (S, 3), metres


def draw(inputs: Inputs) -> Figure:
    """A fixed array from above and from the side, the first places of a moving one in 3-D."""
    _, frames = inputs.first()
    layouts, room = layouts_of(frames), frames.meta.get("room")
    if np.asarray(frames.mic_positions).ndim == 2:
        return plan_and_side(layouts[0], room, frames.meta.get("mic_names", ()))
    return rooms(layouts, room)


def layouts_of(frames: Frames) -> list[Layout]:
    """The array and all sources, or the first places of a moving array with their sources.

    In the coordinates of the room, one corner of which is the origin.
    """
    shift = np.array(frames.meta.get("origin", [0.0, 0.0, 0.0]))
    mics, sources = np.asarray(frames.mic_positions) + shift, frames.source_position + shift
    if mics.ndim == 2:
        return [(mics, sources)]
    # Several frames in a row may share their microphones.
    chosen = np.sort(np.unique(mics, axis=0, return_index=True)[1])[:EXAMPLES]
    return [(mics[frame], sources[[frame]]) for frame in chosen]


@styled
def rooms(layouts: Sequence[Layout], room: Sequence[float] | None) -> Figure:
    """Layouts in 3-D. room: (3,) metres, or None for the box around the microphones."""
    columns = len(layouts) if len(layouts) < 4 else 2
    rows = math.ceil(len(layouts) / columns)
    figure = Figure(figsize=(3.5 * columns, 2.4 * rows + 0.6))
    for number, layout in enumerate(layouts):
        axes = figure.add_subplot(rows, columns, number + 1, projection="3d")
        _draw_room(axes, layout, _box(layout[0], room))
    faces = [
        entry(f"microphone on {name}", color=colour, marker=marker, linestyle="")
        for name, (colour, marker) in FACES.items()
    ]
    star = {"color": "black", "marker": "*", "linestyle": "", "markersize": 9}
    legend(figure, [*faces, entry("source", **star)])
    return figure


def _box(mics: np.ndarray, room: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner of what is drawn, metres."""
    if room is None:
        return np.nanmin(mics, axis=0), np.nanmax(mics, axis=0)
    return np.zeros(3), np.asarray(room, float)


def _draw_room(axes: Any, layout: Layout, box: tuple[np.ndarray, np.ndarray]) -> None:
    """One room in 3-D: edges, floor, microphones coloured by face, sources with a plumb line."""
    mics, sources = layout
    low, high = box
    corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
    for start, stop in itertools.combinations(corners, 2):
        if (start != stop).sum() == 1:  # an edge
            axes.plot(*zip(start, stop, strict=True), color="#999999", linewidth=0.8)
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
    above, below = mics - low, high - mics
    walls = np.minimum(above, below)[:, :2].min(axis=1)
    nearest = np.argmin([walls, above[:, 2], below[:, 2]], axis=0)
    return np.array(list(FACES))[nearest]


@styled
def plan_and_side(
    layout: Layout, room: Sequence[float] | None, names: Sequence[str] = ()
) -> Figure:
    """Views from above (x, y) and from the side (x, z); unnamed microphones count from 1."""
    figure = Figure(figsize=(7.2, 4.2))
    mics, sources = layout
    low, high = _box(mics, room)
    panels = figure.subplots(1, 2, width_ratios=[1, 1.15])
    for axes, across, view in zip(panels, (1, 2), ("from above", "from the side"), strict=True):
        axes.plot(*sources[:, [0, across]].T, ".", color="#E69F00", markersize=2, zorder=1)
        axes.plot(*mics[:, [0, across]].T, "o", color="#0072B2", markersize=6, zorder=2)
        for name, mic in zip(names or range(1, len(mics) + 1), mics, strict=True):
            axes.annotate(
                str(name), mic[[0, across]], xytext=(5, 4), textcoords="offset points", fontsize=8
            )
        if room is not None:
            corner, sides = (low[0], low[across]), (high - low)[[0, across]]
            axes.add_patch(mpl.patches.Rectangle(corner, *sides, fill=False, color="#999999"))
        axes.set(title=view, xlabel="x (m)", ylabel=f"{'xyz'[across]} (m)", aspect="equal")
        axes.margins(0.08)
    if room is None:
        panels[1].set_ylim(bottom=min(0.0, low[2], *sources[:, 2]))
    keys = [entry("microphone", color="#0072B2", marker="o", linestyle="")]
    if len(sources):
        keys.append(entry("source", color="#E69F00", marker=".", linestyle=""))
    legend(figure, keys)
    return figure
