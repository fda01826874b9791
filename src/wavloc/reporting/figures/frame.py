"""The picture of one frame: what was heard, and where methods put it; for `html.single_frames`."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.ndimage import maximum_filter1d

from wavloc.features.gcc import gcc_phat
from wavloc.frames import Frames
from wavloc.geometry import distances, max_lag, pairs, tdoa
from wavloc.methods.classical import srp_phat
from wavloc.methods.classical.solvers import steered
from wavloc.reporting.figures.plan import MIC
from wavloc.reporting.style import Style, entry, styled

SIZE_INCH = (11.4, 4.9)
CELL_M = 0.1  # of the map
BESIDE_MS = 0.6  # the true delay lies midway between two lines, which leave its peak free
TRUE = "#D55E00"
RING: dict[str, Any] = {"marker": "o", "color": "none", "linestyle": "", "markeredgewidth": 1.6}
DOUBT: dict[str, Any] = {"marker": "s", "color": "none", "linestyle": "", "mew": 0.8}


@styled
@mpl.rc_context({"axes.grid": False, "font.size": 8, "axes.titlesize": 8.5})
def frame(
    frames: Frames,
    index: int,
    answers: Mapping[str, tuple[np.ndarray, Style]],
    doubts: tuple[np.ndarray, np.ndarray] | None = None,
) -> Figure:
    """Signals, correlations and a map of one frame.

    answers: label -> position (3,) in metres, NaN where there is none, and look of a method, in the
    order of the legend; doubts: positions (K, 3) that a method held possible, and how probable.
    """
    source = np.asarray(frames.source_position[index])
    figure = Figure(figsize=SIZE_INCH)
    signals, rows, plan = figure.subplots(1, 3, width_ratios=[0.9, 0.85, 1.25])
    _draw_signals(signals, frames, index, source)
    _draw_correlations(rows, frames, index, source)
    _draw_map(plan, frames, index)
    mics = frames.mics(slice(index, index + 1))[0]
    plan.plot(*mics[:, :2].T, **MIC | {"markersize": 5, "clip_on": False})
    keys = [entry("ground truth", **RING, markeredgecolor="black", markersize=9)]
    keys.append(entry("microphone", **MIC | {"markersize": 5}))
    if doubts is not None:
        _draw_doubts(plan, *doubts)
        keys.append(entry("held possible", **DOUBT, markeredgecolor=TRUE, markersize=5))
    keys += [_draw_answer(plan, label, *answer, source) for label, answer in answers.items()]
    for width, colour in ((3.2, "white"), (1.6, "black")):
        ring = RING | {"markeredgewidth": width, "markeredgecolor": colour}
        plan.plot(*source[:2], **ring, markersize=13, zorder=5)
    figure.legend(handles=keys, loc="outside right upper", handlelength=1.2, labelspacing=0.62)
    return figure


def _draw_signals(axes: Axes, frames: Frames, index: int, source: np.ndarray) -> None:
    """Signals of the microphones, the nearest to the source at the top."""
    audio = frames.window(slice(index, index + 1))[0]
    away = distances(source[None], frames.mics(slice(index, index + 1)))[0]
    time_ms = np.arange(audio.shape[-1]) / frames.sample_rate * 1e3
    names = frames.meta.get("mic_names") or range(1, frames.n_mics + 1)
    order = np.argsort(away, kind="stable")
    for row, mic in enumerate(order):
        peak = np.abs(audio[mic]).max()
        signal = audio[mic] / peak if peak > 0 else audio[mic]
        axes.plot(time_ms, -row + 0.48 * signal, color="#333333", linewidth=0.4)
    labels = [f"{list(names)[mic]}, {away[mic]:.1f} m" for mic in order]
    axes.set_yticks(-np.arange(len(order)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set(title="signals, each scaled to its peak", xlabel="time (ms)")
    axes.set(xlim=(0, time_ms[-1]), ylim=(-len(order) + 0.4, 0.6), ylabel="microphone, distance")


def _draw_correlations(axes: Axes, frames: Frames, index: int, source: np.ndarray) -> None:
    """GCC-PHAT of all pairs as rows, in the order of their true delays."""
    mics = frames.mics(slice(index, index + 1))
    reach = max_lag(mics, frames.sample_rate, frames.speed_of_sound) + 2
    audio = frames.window(slice(index, index + 1))
    gcc = gcc_phat(audio, pairs(frames.n_mics), reach, sample_rate=frames.sample_rate)[0]
    true = tdoa(source[None], mics, frames.sample_rate, frames.speed_of_sound)[0]
    order = np.argsort(true, kind="stable")
    # As wide as a pixel, so that no peak falls between two.
    shown = maximum_filter1d(np.nan_to_num(np.maximum(gcc[order], 0)), 3, axis=-1)
    shown /= np.maximum(shown.max(axis=-1, keepdims=True), 1e-9)
    per_ms, count = frames.sample_rate / 1e3, len(order)
    extent = (-(reach + 0.5) / per_ms, (reach + 0.5) / per_ms, count + 0.5, 0.5)
    axes.imshow(shown**1.5, cmap="Greys", aspect="auto", extent=extent, interpolation="nearest")
    for side in (-BESIDE_MS, BESIDE_MS):
        axes.plot(true[order] / per_ms + side, np.arange(1, count + 1), color=TRUE, linewidth=0.9)
    axes.set(title="GCC-PHAT, true delay between the lines", xlabel="delay (ms)")
    axes.set(xlim=extent[:2], ylim=extent[2:], ylabel="pair of microphones")


def _draw_map(axes: Axes, frames: Frames, index: int) -> None:
    """Steered response power from above, the highest of all heights."""
    field = steered.of_frames(frames, slice(index, index + 1), srp_phat.Options())
    low, high = field.problem.low[0], field.problem.high[0]
    x, y, z = (
        np.linspace(start, stop, max(2, int((stop - start) / CELL_M) + 1))
        for start, stop in zip(low, high, strict=True)
    )
    plan = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    wide, power = field.smoothed(CELL_M), np.full(len(plan), -np.inf)
    for height in np.unique(z):
        points = np.column_stack([plan, np.full(len(plan), height)])
        power = np.maximum(power, wide.power(points[None])[0])
    shown, middle = power.reshape(len(y), len(x)), np.median(power)
    most = middle + 1.5 * max(power.max() - middle, 1e-9)  # marks stand out of the darkest grey
    axes.pcolormesh(x, y, shown, cmap="Greys", vmin=middle, vmax=most, shading="gouraud")
    axes.set(title="SRP-PHAT from above, and answers", xlabel="x (m)", ylabel="y (m)")
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.spines[:].set_visible(True)


def _draw_doubts(axes: Axes, points: np.ndarray, probability: np.ndarray) -> None:
    """Squares whose area is the probability of a position."""
    for point, share in zip(points, probability, strict=True):
        if np.isfinite(point).all() and share > 0.01:
            size = 3 + 11 * np.sqrt(share)
            axes.plot(*point[:2], **DOUBT, markeredgecolor=TRUE, markersize=size, zorder=2.5)


def _draw_answer(
    axes: Axes, label: str, position: np.ndarray, style: Style, source: np.ndarray
) -> Line2D:
    """The mark of a method, at the edge of the map where it is outside; returns its key."""
    look: dict[str, Any] = {"color": style["color"], "marker": style["marker"], "linestyle": ""}
    look |= {"markersize": 9 if style["marker"] == "*" else 6.5}
    look |= {"markeredgecolor": "white", "markeredgewidth": 0.5}
    if not np.isfinite(position).all():
        return entry(f"{label}: none", **look | {"alpha": 0.3})
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    inside = np.clip(position[:2], [left, bottom], [right, top])
    axes.plot(*inside, **look, clip_on=False, zorder=4)
    return entry(f"{label}: {said_m(float(np.linalg.norm(position - source)))}", **look)


def said_m(distance: float) -> str:
    """A distance in centimetres, from 1 m on in metres."""
    if distance >= 0.995:
        return f"{distance:.2f} m"
    return f"{100 * distance:.1f} cm" if distance < 0.0995 else f"{100 * distance:.0f} cm"
