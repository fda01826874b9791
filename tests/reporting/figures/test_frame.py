"""The picture of a frame: what its three panels show."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from helpers.frames import anechoic_frames
from wavloc.frames import Frames
from wavloc.geometry import tdoa
from wavloc.reporting import style
from wavloc.reporting.figures import frame as picture

ANSWERS = {"good": 0, "outside": 1, "lost": 2}


@pytest.fixture(scope="module")
def frames() -> Frames:
    return anechoic_frames(3)


@pytest.fixture(scope="module")
def drawn(frames: Frames) -> Figure:
    positions = frames.source_position[1] + [[0.0, 0.04, 0.03], [50.0, 0.0, 0.0], [np.nan] * 3]
    answers = {n: (positions[k], style.method_style(k)) for n, k in ANSWERS.items()}
    doubts = frames.source_position[[1, 2]], np.array([0.9, 0.1])
    return picture.frame(frames, 1, answers, doubts)


def test_signals_are_in_the_order_of_their_distance(frames: Frames, drawn: Figure) -> None:
    signals = drawn.axes[0]
    labels = [label.get_text() for label in signals.get_yticklabels()]
    away = [float(label.partition(", ")[2].removesuffix(" m")) for label in labels]
    assert away == sorted(away)
    nearest = np.linalg.norm(frames.source_position[1] - frames.mic_positions, axis=1).argmin()
    assert labels[0].startswith(f"{nearest + 1}, ")
    shown = signals.lines[0].get_ydata()
    audio = frames.audio[1, nearest]
    assert np.allclose(shown, 0.48 * audio / np.abs(audio).max(), atol=1e-6)


def test_true_delays_are_midway_between_the_lines_and_peaks_are_there(
    frames: Frames, drawn: Figure
) -> None:
    axes = drawn.axes[1]
    left, right = (line.get_xdata() for line in axes.lines)
    true = np.sort(tdoa(frames.source_position[[1]], frames.mic_positions, 16000, 343.0)[0])
    assert np.allclose((left + right) / 2, true / 16)
    rows = axes.images[0].get_array()
    reach = rows.shape[1] // 2
    assert len(rows) == 55
    assert np.abs(rows.argmax(axis=1) - reach - true).max() <= 2


def test_the_map_is_darkest_at_the_source_and_has_every_answer(
    frames: Frames, drawn: Figure
) -> None:
    axes = drawn.axes[2]
    mesh = axes.collections[0]
    grid, power = mesh.get_coordinates(), np.asarray(mesh.get_array())
    darkest = grid.reshape(-1, 2)[power.argmax()]
    assert np.abs(darkest - frames.source_position[1, :2]).max() <= 2 * picture.CELL_M
    texts = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert texts == [
        *("ground truth", "microphone", "held possible"),
        *("good: 5.0 cm", "outside: 50.00 m", "lost: none"),
    ]
    at = {line.get_color(): line.get_xydata()[0] for line in axes.lines}
    assert np.allclose(
        at[style.method_style(0)["color"]], frames.source_position[1, :2] + [0, 0.04]
    )
    assert at[style.method_style(1)["color"]][0] == axes.get_xlim()[1]
    assert style.method_style(2)["color"] not in at


@pytest.mark.parametrize(
    ("distance", "said"),
    [(0.0, "0.0 cm"), (0.0994, "9.9 cm"), (0.0996, "10 cm"), (0.994, "99 cm"), (0.996, "1.00 m")],
)
def test_distances_in_words(distance: float, said: str) -> None:
    assert picture.said_m(distance) == said


def test_a_silent_microphone_leaves_its_rows_empty(frames: Frames) -> None:
    quiet = frames.select(np.array([0]))
    quiet.audio = np.array(quiet.audio)
    quiet.audio[:, 3] = np.nan
    figure = picture.frame(quiet, 0, {})
    rows = np.asarray(figure.axes[1].images[0].get_array())
    assert (rows.max(axis=1) == 0).sum() == 10
    assert np.isfinite(rows).all()
