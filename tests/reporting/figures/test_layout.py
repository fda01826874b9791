"""Where microphones and sources are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wavloc import frames
from wavloc.geometry import LUVIRA_MICS
from wavloc.reporting import figures, style
from wavloc.reporting.figures import layout


def test_array_layouts(tmp_path: Path) -> None:
    track = np.random.default_rng(0).random((30, 3))
    room = np.array([5.0, 4.0, 3.0])
    faces = np.array([[0, 2, 1], [5, 2, 1], [2, 0, 1], [2, 4, 1], [2, 2, 0], [2, 2, 3]], float)
    kinds = layout._faces(faces, np.zeros(3), room)
    assert kinds.tolist() == ["walls"] * 4 + ["floor", "ceiling"]
    for name, figure in (
        ("fig4", layout.rooms([(faces, track[:0]), (faces, track[:1])], room)),
        ("fig5", layout.plan_and_side((LUVIRA_MICS, track), None)),
    ):
        style.save(figure, tmp_path / name)
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_examples_of_a_moving_array_are_different_places(tmp_path: Path) -> None:
    mics = np.random.default_rng(0).random((3, 6, 3)).repeat(2, axis=0)
    np.savez(
        tmp_path / "own.npz",
        audio=np.zeros((6, 6, 64), np.float32),
        mic_positions=mics,
        source_position=np.ones((6, 3)),
        sample_rate=16_000,
    )
    layouts = layout.layouts_of(frames.load(tmp_path / "own.npz"))
    assert np.array_equal([places for places, _ in layouts], mics[::2])
    spec = {"kind": "layout", "tracks": ["test"]}
    figures.draw(spec, {"test": tmp_path / "own.npz"}, {}, {}, tmp_path / "fig4")
    assert (tmp_path / "fig4.png").stat().st_size > 5000
