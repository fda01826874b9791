"""Fresh rooms in training: correct audio, new in every step, reproducible."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames
from helpers.networks import FAST, NETWORKS, trained
from helpers.rooms import ROOM, make_scenes
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES
from wavloc.geometry import LUVIRA_MICS
from wavloc.simulation import fresh, image_source, render

SHIFT = [3.60, 4.53, 0.0]


def frames_of_a_room(count: int):
    made = anechoic_frames(count, mics=LUVIRA_MICS[:6], margin=200)
    return dataclasses.replace(made, meta={"room": [7.0, 8.0, 2.0], "origin": SHIFT})


@pytest.mark.parametrize("t60_s", [0.0, 0.2, 0.3])
def test_audio_equals_that_of_the_renderer(t60_s: float, monkeypatch) -> None:
    """Same positions and absorption through `render`, with silence before the stored sound."""
    monkeypatch.setitem(image_source.GRID, "cpu", 2**20)  # one example at a time
    length = FRAME_SAMPLES + 1600
    scenes = make_scenes(3, t60_s=np.full(3, t60_s), start=np.array([9000, 12000, 15000]))
    first = scenes.start + FRAME_SAMPLES + 40 - length
    dry = torch.from_numpy(np.stack([scenes.dry[k : k + length] for k in first]))
    origin = np.array([1.0, 2.0, 0.0])
    rooms = fresh.Rooms(ROOM, origin, (t60_s, t60_s), 16000, 343.0)
    mics = torch.as_tensor(scenes.mics - origin).expand(3, -1, -1)
    made, source = rooms.simulate(dry, mics, FRAME_SAMPLES, torch.Generator().manual_seed(0))
    scenes = dataclasses.replace(scenes, source=source.numpy() + origin, dry_begin=first)
    expected = render.render_frames(scenes, range(3))
    assert np.abs(made[:, 1:].numpy() - expected).max() < 1e-5 * np.abs(expected).max()
    at_source = np.stack([scenes.dry[k : k + FRAME_SAMPLES] for k in scenes.start])
    assert np.array_equal(made[:, 0].numpy(), at_source)


def test_sources_keep_away_from_walls_and_microphones() -> None:
    rooms = fresh.Rooms(ROOM, np.zeros(3), (0.0, 0.0), 16000, 343.0)
    mics = torch.as_tensor(LUVIRA_MICS + SHIFT).expand(500, -1, -1)
    places = rooms._source_positions(mics, torch.Generator().manual_seed(0))
    assert (torch.cdist(places[:, None], mics) >= fresh.MIC_M).all()
    assert ((places >= fresh.WALL_M) & (places <= torch.as_tensor(ROOM) - fresh.WALL_M)).all()
    assert places.std(0).min() > 0.3


def test_training_draws_new_rooms_and_is_reproducible(tmp_path, monkeypatch) -> None:
    frames, sources = frames_of_a_room(20), []
    original = fresh.Rooms.simulate

    def watched(self: fresh.Rooms, *given):
        made = original(self, *given)
        sources.append(made[1])
        return made

    monkeypatch.setattr(fresh.Rooms, "simulate", watched)
    module, options = NETWORKS["wav2pos"]
    options = options | FAST | {"epochs": 2, "batch": 8, "copies": 1}
    options |= {"fresh": True, "fresh_t60_high_s": 0.15}
    weights = []
    for name in ("one", "other"):
        method, run = trained(module, options, frames, frames, tmp_path / name)
        weights.append(torch.cat([part.flatten() for part in method.network.parameters()]))
        assert np.isfinite([row["train_loss"] for row in run.rows]).all()
    assert torch.equal(*weights)
    assert len(sources) == 8  # two epochs of two steps, twice; validation keeps its frames
    assert len(torch.cat(sources[:4]).unique(dim=0)) == 32
    assert torch.equal(torch.cat(sources[:4]), torch.cat(sources[4:]))


def test_unsuitable_frames_are_refused(tmp_path) -> None:
    module, options = NETWORKS["wav2pos"]
    options = options | {"fresh": True}
    frames = frames_of_a_room(20)
    with pytest.raises(InputError, match="one simulated room"):
        trained(module, options, dataclasses.replace(frames, meta={}), frames, tmp_path)
    bare = anechoic_frames(20, mics=LUVIRA_MICS[:6])
    bare.meta.update(frames.meta)
    with pytest.raises(InputError, match="2088 stored samples"):
        trained(module, options, bare, frames, tmp_path)
    with pytest.raises(InputError, match="0 <= low <= high"):
        trained(module, options | {"fresh_t60_low_s": 0.5}, frames, frames, tmp_path)
    silent = np.full_like(frames.source_audio, np.nan)
    with pytest.raises(InputError, match="source's signal"):
        trained(module, options, dataclasses.replace(frames, source_audio=silent), frames, tmp_path)
