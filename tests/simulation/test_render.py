"""The room simulation against closed forms, and the pitfalls of image-source simulation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from helpers.rooms import RATE, ROOM, SPEED, make_scenes, responses
from wavloc import frames
from wavloc.datasets.base import Scenes
from wavloc.errors import InputError
from wavloc.simulation import render, rooms

either_engine = pytest.mark.parametrize("engine", ["phase_grid", "pyroomacoustics"])


def phase_delay(wet: np.ndarray, dry: np.ndarray) -> float:
    """Delay in samples from the slope of the cross-spectrum phase, 200-6000 Hz."""
    size = 8192
    window = np.hanning(len(dry))
    cross = np.fft.rfft(wet * window, size) * np.fft.rfft(dry * window, size).conj()
    lag = np.argmax(np.fft.irfft(cross))
    lag = lag - size if lag > size // 2 else lag
    omega = 2 * np.pi * np.fft.rfftfreq(size)
    rest = np.angle(cross * np.exp(1j * omega * lag))
    band = slice(size * 200 // RATE, size * 6000 // RATE)
    weight = np.abs(cross[band])
    return lag - (weight * rest[band] * omega[band]).sum() / (weight * omega[band] ** 2).sum()


@either_engine
def test_free_field_delay_and_level_follow_the_closed_form(engine: str) -> None:
    """100 random pairs: level 1/d, delay d fs / c after the constant 40 samples."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        source, mics = rng.uniform(0.2, ROOM - 0.2), rng.uniform(0.1, ROOM - 0.1, (5, 3))
        response = responses(engine, mics, source, 1.0, 0)
        distance = np.linalg.norm(mics - source, axis=1)
        spectrum = np.fft.rfft(response, 4096)
        omega = 2 * np.pi * np.fft.rfftfreq(4096)[50:1500]
        aligned = spectrum[:, 50:1500] * np.exp(
            1j * omega * (distance * RATE / SPEED + rooms.DELAY)[:, None]
        )
        slope = (np.angle(aligned) * omega).sum(axis=1) / (omega**2).sum()
        assert np.abs(slope).max() < 0.05
        assert np.abs(np.abs(aligned).mean(axis=1) * distance - 1).max() < 0.01


@either_engine
def test_source_signal_is_sample_aligned_with_the_microphones(engine: str, tmp_path) -> None:
    scenes = make_scenes(3)
    render.render(scenes, tmp_path / "f", seed=0, engine=engine)
    made = frames.load(tmp_path / "f")
    for row in range(3):
        distance = np.linalg.norm(scenes.mics - scenes.source[row], axis=1)
        measured = [phase_delay(made.audio[row, m], made.source_audio[row]) for m in range(5)]
        assert np.abs(measured - distance * RATE / SPEED).max() < 0.2


@either_engine
@pytest.mark.parametrize("order", [1, 3])
def test_source_and_microphone_are_reciprocal(engine: str, order: int) -> None:
    a, b = np.array([1.0, 2.0, 0.5]), np.array([5.0, 6.5, 1.5])
    there = responses(engine, b[None], a, 0.3, order)
    back = responses(engine, a[None], b, 0.3, order)
    assert np.abs(there - back).max() < 1e-3 * np.abs(there).max()


@either_engine
def test_mirrored_scene_gives_the_same_response(engine: str) -> None:
    source, mic = np.array([1.0, 2.0, 0.5]), np.array([[5.0, 6.5, 1.5]])
    mirror = np.array([-1, 1, 1]), np.array([ROOM[0], 0, 0])
    one = responses(engine, mic, source, 0.3, 4)
    other = responses(engine, mic * mirror[0] + mirror[1], source * mirror[0] + mirror[1], 0.3, 4)
    assert np.abs(one - other).max() < 1e-4 * np.abs(one).max()


def test_sabine_bound_is_anechoic_and_continuous() -> None:
    bound = 24 * np.log(10) * ROOM.prod() / (SPEED * 2 * (7 * 8 + 7 * 2 + 8 * 2))
    assert bound == pytest.approx(0.1049, abs=2e-4)
    assert rooms.sabine(ROOM, 0.9 * bound, SPEED) == (1.0, 0)
    assert rooms.sabine(ROOM, 0.0, SPEED) == (1.0, 0)
    absorption, order = rooms.sabine(ROOM, 1.001 * bound, SPEED)
    assert absorption == pytest.approx(0.999, abs=1e-3)
    assert order > 0


def test_sabine_agrees_with_pyroomacoustics() -> None:
    import pyroomacoustics

    for t60 in (0.2, 0.3, 0.4):
        ours = rooms.sabine(ROOM, t60, SPEED)
        theirs = pyroomacoustics.inverse_sabine(t60, ROOM, c=SPEED)
        assert ours[0] == pytest.approx(theirs[0], rel=1e-9)
        assert ours[1] == theirs[1]


@either_engine
def test_reverberation_of_earlier_sound_is_in_the_frame(engine: str) -> None:
    """Reflections of a click long before the frame are in the frame."""
    dry = np.zeros(30000, np.float32)
    dry[11500] = 1.0
    scenes = make_scenes(1, dry=dry, t60_s=np.array([0.2]), max_order=8)
    quiet = render.render_frames(scenes, [0], engine)
    assert np.abs(quiet).max() > 1e-3
    muted = dataclasses.replace(scenes, dry_begin=np.array([12000]))
    assert np.abs(render.render_frames(muted, [0], engine)).max() == 0


@either_engine
def test_occlusion_weakens_the_direct_path_only(engine: str) -> None:
    scenes = make_scenes(1, t60_s=np.array([0.2]), max_order=4)
    open_sound = render.render_frames(scenes, [0], engine)[0]
    occluded = np.array([[True, False, False, False, False]])
    behind = dataclasses.replace(scenes, occluded=occluded)
    shadowed = render.render_frames(behind, [0], engine)[0]
    assert np.array_equal(open_sound[1:], shadowed[1:])
    assert np.square(shadowed[0]).mean() < 0.9 * np.square(open_sound[0]).mean()


def test_noise_has_the_stated_level(tmp_path) -> None:
    noisy = make_scenes(4, snr_db=np.full(4, 10.0))
    render.render(noisy, tmp_path / "noisy", seed=3)
    render.render(make_scenes(4), tmp_path / "clean", seed=3)
    clean = frames.load(tmp_path / "clean").audio
    noise = frames.load(tmp_path / "noisy").audio - clean
    snr = 10 * np.log10(np.square(clean).mean(axis=-1) / np.square(noise).mean(axis=-1))
    assert np.abs(snr - 10).max() < 0.5


def test_silent_frames_are_dropped_and_counted(tmp_path) -> None:
    dry = make_scenes().dry.copy()
    starts = np.array([2000, 6000, 10000, 14000, 18000, 22000])
    dry[13000:17000] = 0
    scenes = make_scenes(6, dry=dry, start=starts, silence_db=30.0)
    render.render(scenes, tmp_path / "f", seed=0)
    made = frames.load(tmp_path / "f")
    assert made.table["frame"].tolist() == [0, 1, 2, 4, 5]
    assert made.meta["frames_silent"] == 1
    assert made.meta["frames_anechoic"] == 5


def test_resumed_rendering_gives_the_same_bytes(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(render, "CHUNK", 2)
    scenes = make_scenes(6, snr_db=np.full(6, 20.0))
    render.render(scenes, tmp_path / "whole", seed=0)
    calls = []
    original = render.render_frames

    def fails_at_second(scenes: Scenes, rows: np.ndarray, engine: str) -> np.ndarray:
        calls.append(rows[0])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(scenes, rows, engine)

    monkeypatch.setattr(render, "render_frames", fails_at_second)
    with pytest.raises(KeyboardInterrupt):
        render.render(scenes, tmp_path / "broken", seed=0)
    assert not (tmp_path / "broken").exists()
    render.render(scenes, tmp_path / "broken", seed=0)
    assert calls == [0, 2, 2, 4]
    for name in ("audio", "source_position"):
        whole, broken = ((tmp_path / d / f"{name}.npy").read_bytes() for d in ("whole", "broken"))
        assert whole == broken
    assert not list(tmp_path.glob(".broken.partial*"))


@either_engine
def test_frames_are_rendered_independently(engine: str) -> None:
    """A frame does not depend on the frames rendered with it."""
    scenes = make_scenes(6, t60_s=np.array([0.0, 0.12, 0.12, 0.15, 0.12, 0.0]))
    together = render.render_frames(scenes, np.arange(6), engine)
    for row in range(6):
        alone = render.render_frames(scenes, [row], engine)[0]
        assert np.abs(alone - together[row]).max() < 1e-6 * np.abs(alone).max()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"room": np.array([2.0, 2.0, 2.0])}, "smaller than the array"),
        ({"room": np.array([7.0, 0.0, 2.0])}, "must be positive"),
        ({"t60_s": np.full(6, -0.1)}, "t60_s -0.1"),
        ({"source": np.full((6, 3), 9.0)}, "source position"),
        ({"source": np.broadcast_to([0.5, 0.5, 0.31], (6, 3))}, "from a microphone"),
    ],
)
def test_impossible_scenes_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_scenes(6, **changes).check()
