"""The phase grid against pyroomacoustics and against a sum image by image."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.rooms import RATE, ROOM, SPEED, make_scenes, responses
from wavloc import frames
from wavloc.simulation import image_source, render, rooms


def relative(actual: np.ndarray, expected: np.ndarray) -> float:
    """Relative norm of the difference, both zero-padded to the same length."""
    size = max(actual.shape[-1], expected.shape[-1])
    actual, expected = (
        np.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, size - part.shape[-1])])
        for part in (actual, expected)
    )
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def image_by_image(
    room: np.ndarray, mic: np.ndarray, source: np.ndarray, absorption: float, order: int
) -> np.ndarray:
    """One RIR in double precision: 81 taps per image, interpolated between tabulated filters."""
    response, taps = np.zeros(20000), np.arange(rooms.TAPS)
    for p in itertools.product(range(-order, order + 1), repeat=3):
        hits = sum(map(abs, p))
        if hits > order:
            continue
        image = [
            k * side + (x if k % 2 == 0 else side - x)
            for k, side, x in zip(p, room, source, strict=True)
        ]
        distance = np.linalg.norm(image - mic)
        time = distance * RATE / SPEED
        whole = int(time)
        step, weight = divmod(20 * (time - whole), 1)
        pulses = [np.sinc(taps - rooms.DELAY - late / 20) for late in (step, step + 1)]
        pulse = np.hanning(rooms.TAPS) * ((1 - weight) * pulses[0] + weight * pulses[1])
        response[whole : whole + rooms.TAPS] += (1 - absorption) ** (hits / 2) / distance * pulse
    return response


@pytest.mark.parametrize("room", [ROOM, np.array([5.0, 5.0, 2.0])], ids=["twin", "six faces"])
@pytest.mark.parametrize("order", [0, 1, 3, 10, 35])
def test_equals_pyroomacoustics(monkeypatch, room: np.ndarray, order: int) -> None:
    """One microphone is on a wall, where an image coincides with another."""
    monkeypatch.setattr("helpers.rooms.ROOM", room)
    rng = np.random.default_rng(order)
    mics = rng.uniform(0.1, room - 0.1, (4, 3))
    mics[0, 0] = 0.0
    source = rng.uniform(0.3, room - 0.3)
    ours, theirs = (
        responses(engine, mics, source, 0.4, order) for engine in ("phase_grid", "pyroomacoustics")
    )
    assert relative(ours, theirs) < 1e-3


def test_equals_the_sum_image_by_image() -> None:
    """Closer than to pyroomacoustics, whose tabulated delays are off by up to 3e-4 samples."""
    rng = np.random.default_rng(3)
    mic, source = rng.uniform(0.1, ROOM - 0.1), rng.uniform(0.3, ROOM - 0.3)
    ours = responses("phase_grid", mic[None], source, 0.3, 8)[0]
    assert relative(ours, image_by_image(ROOM, mic, source, 0.3, 8)) < 1e-4


def test_each_source_of_a_batch_has_its_own_absorption_and_order() -> None:
    rng = np.random.default_rng(0)
    mics, source = rng.uniform(0.1, ROOM - 0.1, (3, 4, 3)), rng.uniform(0.3, ROOM - 0.3, (3, 3))
    absorption, order = [1.0, 0.3, 0.6], [0, 7, 4]
    together = image_source.impulse_responses(
        ROOM,
        *map(torch.as_tensor, (mics, source, absorption, order)),
        RATE,
        SPEED,
    ).numpy()
    for row in range(3):
        alone = responses("phase_grid", mics[row], source[row], absorption[row], order[row])
        assert relative(together[row], alone) < 1e-6


def test_batching_and_integer_cells_change_nothing(monkeypatch) -> None:
    """A GPU adds integers, because it adds images in any order."""
    rng = np.random.default_rng(1)
    scene = rng.uniform(0.1, ROOM - 0.1, (3, 3)), rng.uniform(0.3, ROOM - 0.3), 0.3, 9
    whole = responses("phase_grid", *scene)
    monkeypatch.setitem(image_source.IN_FLIGHT, "cpu", 100)
    assert np.array_equal(responses("phase_grid", *scene), whole)
    monkeypatch.setitem(image_source.GRID, "cpu", 1)  # one microphone at a time
    assert relative(responses("phase_grid", *scene), whole) < 1e-6
    monkeypatch.setitem(image_source.CELL_TYPE, "cpu", torch.int64)
    assert relative(responses("phase_grid", *scene), whole) < 1e-6


def test_frames_of_both_engines_agree(tmp_path) -> None:
    """Reverberation, T60 below Sabine's bound, margins, occlusion, gains and noise at once."""
    rng = np.random.default_rng(2)
    scenes = make_scenes(
        6,
        t60_s=np.array([0.0, 0.09, 0.15, 0.2, 0.2, 0.3]),
        samples=2048 + 2 * 800,
        occluded=rng.random((6, 5)) < 0.4,
        snr_db=np.full((6, 5), 20.0),
        noise_level="track",
        meta={"gain_db": [-3.0, -1.0, 0.0, 1.0, 3.0]},
    )
    made = {}
    for engine in ("phase_grid", "pyroomacoustics"):
        render.render(scenes, tmp_path / engine, seed=4, engine=engine)
        made[engine] = frames.load(tmp_path / engine)
        assert made[engine].meta["engine"] == engine
        assert made[engine].meta["frames_anechoic"] == 2
    ours, theirs = (made[engine].audio for engine in ("phase_grid", "pyroomacoustics"))
    for row in range(6):
        assert relative(ours[row], theirs[row]) < 1e-3
    assert np.array_equal(made["phase_grid"].source_audio, made["pyroomacoustics"].source_audio)


def test_two_renderings_have_the_same_bytes(tmp_path) -> None:
    scenes = make_scenes(6, t60_s=np.linspace(0.1, 0.2, 6), snr_db=np.full(6, 20.0))
    threads = torch.get_num_threads()
    for name in ("one", "other"):
        torch.set_num_threads(1 if name == "one" else 2)
        render.render(scenes, tmp_path / name, seed=0)
    torch.set_num_threads(threads)
    one, other = ((tmp_path / name / "audio.npy").read_bytes() for name in ("one", "other"))
    assert one == other


@pytest.mark.parametrize("name", ["luvira_geometry", "six_faces"])
def test_anechoic_reference_frames_are_reproduced(shared: Path, name: str) -> None:
    """Real speech; the stored frames were made with the library's high-pass, 0.4 to 4.5 % off."""
    with np.load(shared / "bench" / f"frames_{name}.npz") as stored:
        made = {key: stored[key] for key in stored.files}
    chosen = np.flatnonzero((made["t60"] == 0) & np.isinf(made["snr_db"]))
    assert len(chosen) >= 5
    for row in chosen:
        mics = made["mics"] if made["mics"].ndim == 2 else made["mics"][row]
        dry = made["source"][row].astype(np.float32) * made["source_scale"][row]
        expected = made["clean"][row] * made["scale"][row]
        places = map(torch.from_numpy, (mics[None], made["src"][row : row + 1]))
        walls = torch.ones(1), torch.zeros(1, dtype=int)
        response = image_source.impulse_responses(made["room_dim"], *places, *walls, RATE, SPEED)
        length = response.shape[-1]
        padded = np.concatenate([np.zeros(length - 1), dry, np.zeros(rooms.DELAY)])
        padded = torch.from_numpy(padded.astype(np.float32))[None]
        audio = image_source.convolve(response, padded)[0, :, rooms.DELAY :].numpy()
        for mic, begin in enumerate(np.ceil(made["toa"][row]).astype(int) + 45):
            part = slice(begin, len(dry) - rooms.DELAY)
            assert relative(audio[mic, part], expected[mic, part]) < 0.05


def test_benchmark_compares_and_draws(monkeypatch, root: Path, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    import simulation

    monkeypatch.setattr(simulation, "CASES", ((0.1, None, 1), (0.12, 3, 1)))
    for sizes in ("ORDERS", "MICS", "FRAMES"):
        monkeypatch.setattr(simulation, sizes, (2, 4))
    rows = pd.DataFrame(simulation.comparison(1) + simulation.growth(1))
    error = rows.loc[rows["metric"] == "relative error of responses", "max"]
    assert len(error) == 2
    assert (error < 1e-3).all()
    assert (rows["metric"] == "slope").sum() == 3
    simulation.plot(rows, tmp_path / "simulation")
    assert (tmp_path / "simulation.png").stat().st_size > 0
