"""The map of errors over the floor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from wavloc.errors import InputError
from wavloc.reporting import style
from wavloc.reporting.figures.map import cell_means, edges, error_map


def test_cells_of_the_map_are_means_of_their_frames() -> None:
    x, y = edges(-1.0, 1.2, 0.5), edges(0.0, 1.0, 0.5)
    np.testing.assert_allclose(x, [-1, -0.5, 0, 0.5, 1, 1.2])  # the last one is what is left
    np.testing.assert_allclose(y, [0, 0.5, 1])
    source = np.array([[-0.9, 0.1, 1], [-0.6, 0.4, 2], [1.2, 1.0, 1]])
    mean, number = cell_means(source, np.array([10.0, 30.0, 7.0]), x, y)
    expected = np.zeros((2, 5), int)
    expected[0, 0], expected[1, 4] = 2, 1
    np.testing.assert_array_equal(number, expected)
    assert (mean[0, 0], mean[1, 4]) == (20, 7)
    assert np.isnan(mean[number == 0]).all()


def test_map_is_drawn_with_numbers_and_says_what_failed(tmp_path: Path) -> None:
    shown = anechoic_frames(40)
    with pytest.raises(InputError, match="how large their room is"):
        error_map(shown, {}, 1.0)
    shown.meta = {"room": [7.0, 8.0, 2.0], "origin": [3.5, 4.5, 0.0]}
    errors = {"good": np.full(40, 0.012), "refusing": np.full(40, np.nan)}
    figure = error_map(shown, errors, 1.0)
    good, refusing = figure.axes[:2]
    texts = [text.get_text() for text in good.texts]
    assert set(texts[::2]) == {"1.2"}
    assert sum(map(int, texts[1::2])) == 40  # every frame is in a cell
    assert len(refusing.texts) == 0
    assert "no frame located" in refusing.get_title()
    style.save(figure, tmp_path / "map")
    first = (tmp_path / "map.png").read_bytes()
    style.save(error_map(shown, errors, 1.0), tmp_path / "map")
    assert (tmp_path / "map.png").read_bytes() == first
