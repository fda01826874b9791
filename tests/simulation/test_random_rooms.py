"""Random rooms: frames are what they say, and walls of their own are those of the reference."""

import math

import numpy as np
import pytest
import torch

from wavloc.geometry import SPEED_OF_SOUND
from wavloc.simulation import image_source, random_rooms

SOUNDS = {"speech": [[np.random.default_rng(0).standard_normal(40_000).astype(np.float32)]]}


@pytest.mark.parametrize("number", range(40))
def test_frames_are_what_they_say(number: int) -> None:
    count = random_rooms.draw_count(np.random.default_rng(number))
    example = random_rooms.draw_example(np.random.default_rng(number), SOUNDS, count)
    assert example.audio.shape == (count, random_rooms.SAMPLES)
    assert np.isfinite(example.audio).all()
    assert np.abs(example.audio).max() == pytest.approx(1)
    assert example.mics.shape == (count, 3)
    assert 4 <= count <= random_rooms.MOST_MICS
    # Broken microphones: a third, and the partners that some of them were swapped with.
    assert example.faulty.sum() <= 2 * max(1, count // 3)
    if np.isfinite(example.source).all():
        assert (example.source > 0).all()
        assert (example.source < example.room).all()
    again = random_rooms.draw_example(np.random.default_rng(number), SOUNDS, count)
    assert np.array_equal(again.audio, example.audio)


def test_walls_keep_their_mean_absorption() -> None:
    room, rng = np.array([5.0, 4.0, 3.0]), np.random.default_rng(1)
    area = np.array([12.0, 15.0, 20.0])[:, None]
    for _ in range(20):
        walls, order = random_rooms.walls_of(rng, room, 0.5)
        assert order == random_rooms.MOST_ORDER
        mean = (walls * area).sum() / (2 * area.sum())
        volume = room.prod()
        t60 = 24 * math.log(10) * volume / (SPEED_OF_SOUND * 2 * area.sum() * mean)
        assert t60 == pytest.approx(0.5, rel=0.05)  # clipping of single walls aside


def test_a_hidden_direct_path_is_weaker_and_nothing_else_changes() -> None:
    room = np.array([5.0, 4.0, 3.0])
    mics, source = np.array([[1.0, 1.0, 1.0], [4.0, 3.0, 2.0]]), np.array([2.0, 2.0, 1.5])
    walls = np.full((3, 2), 0.4)
    arguments = (room, mics, source, walls, 6, 0.3)
    plain, hidden = (
        random_rooms.responses(*arguments, np.array(gain), np.random.default_rng(0))
        for gain in ([1.0, 1.0], [1.0, 0.1])
    )
    assert np.array_equal(plain[0], hidden[0])
    start = int(np.linalg.norm(mics[1] - source) * 16_000 / SPEED_OF_SOUND)
    assert np.abs(hidden[1, : start + 60]).max() < 0.15 * np.abs(plain[1, : start + 60]).max()
    assert np.allclose(plain[1, start + 200 :], hidden[1, start + 200 :], atol=1e-6)


def test_walls_of_their_own_are_those_of_the_reference() -> None:
    pyroomacoustics = pytest.importorskip("pyroomacoustics")
    room = np.array([5.0, 4.0, 3.0])
    mics, source = np.array([[1.0, 1.0, 1.0], [4.0, 3.0, 2.0]]), np.array([2.0, 2.0, 1.5])
    walls = {"west": 0.1, "east": 0.3, "south": 0.5, "north": 0.2, "floor": 0.6, "ceiling": 0.4}
    pyroomacoustics.constants.set("rir_hpf_enable", False)
    materials = {side: pyroomacoustics.Material(value) for side, value in walls.items()}
    box = pyroomacoustics.ShoeBox(room, fs=16_000, materials=materials, max_order=8)
    box.add_source(source)
    box.add_microphone(mics.T)
    box.compute_rir()
    ours = image_source.impulse_responses(
        room, torch.from_numpy(mics[None]), torch.from_numpy(source[None]),
        torch.tensor([[[0.1, 0.3], [0.5, 0.2], [0.6, 0.4]]]), torch.tensor([8]), 16_000,
        float(pyroomacoustics.constants.get("c")),
    )[0].numpy()  # fmt: skip
    for response, (theirs,) in zip(ours, box.rir, strict=True):
        size = min(len(response), len(theirs))
        gap = np.abs(response[:size] - theirs[:size]).max()
        assert gap < 1e-3 * np.abs(theirs).max()
