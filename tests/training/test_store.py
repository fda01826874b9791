"""What trainings keep: made once, shared, bounded, and near to what it was made of."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames
from helpers.networks import SMALL
from wavloc import frames as containers
from wavloc.errors import InputError
from wavloc.methods.learned import fault_tolerant, gnn, wav2pos
from wavloc.training import store
from wavloc.training.engine import Run

WAV2POS = {"embed_dim": 16, "encoder_depth": 1, "decoder_depth": 1, "features": "gcc"}
TRAINED = {"epochs": 2, "batch": 8, "copies": 1}


def rows(block: slice) -> dict[str, torch.Tensor]:
    index = torch.arange(block.start, block.stop)
    return {"a": index[:, None] + torch.zeros(3), "known": index % 2 == 0}


def worker(folder: Path, log: Path) -> None:
    def compute(block: slice) -> dict[str, torch.Tensor]:
        with open(log, "a") as file:
            file.write(f"{block.start}\n")
        return rows(block)

    store.Store(folder).kept("numbers", 50, 4, compute, "numbers")


def test_processes_share_the_work_and_a_later_one_has_none(tmp_path: Path) -> None:
    log = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=worker, args=(tmp_path / "s", log)) for _ in range(3)]
    for process in workers:
        process.start()
    for process in workers:
        process.join(60)
        assert process.exitcode == 0
    starts = [int(line) for line in log.read_text().split()]
    starts.remove(0)  # one row tells the shapes
    assert sorted(starts) == list(range(0, 50, 4))
    worker(tmp_path / "s", log)
    assert len(log.read_text().split()) == len(starts) + 1
    kept = store.Store(tmp_path / "s").kept("numbers", 50, 4, rows, "numbers")
    expected = rows(slice(0, 50))
    assert kept["a"].dtype == torch.float16
    assert torch.equal(kept["a"].float(), expected["a"])
    assert torch.equal(kept["known"], expected["known"])
    in_memory = store.Store().kept("numbers", 50, 4, rows, "numbers")
    assert torch.equal(in_memory["a"], kept["a"])


def test_a_block_that_was_not_finished_is_made_again(tmp_path: Path) -> None:
    kept = store.Store(tmp_path).kept("numbers", 50, 4, rows, "numbers")
    (progress,) = tmp_path.glob(f"*/{store.PROGRESS}")
    done = bytearray(progress.read_bytes())
    done[3] = 0
    progress.write_bytes(done)
    kept["a"][12:16] = -1
    assert torch.equal(
        store.Store(tmp_path).kept("numbers", 50, 4, rows, "n")["a"], rows(slice(0, 50))["a"].half()
    )


def test_a_store_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"features take 0\.0 GB beside .*--store-gb"):
        store.Store(tmp_path, most_gb=1e-7).kept("numbers", 50, 4, rows, "features")
    assert not list(tmp_path.glob("*/*.bin"))


def test_sound_in_half_precision_is_the_sound() -> None:
    """Whatever its level: 60 dB below the frames and missing channels included."""
    frames = anechoic_frames(8)
    frames.audio[1] *= 1e-6
    frames.audio[2, 3] = np.nan
    frames.audio[3] = 0
    frames.source_audio[4] = np.nan
    part = store.sound(frames, slice(0, 8))
    sound = part["sound"].half().double().numpy()
    assert part["known"].sum() == 8 * (1 + frames.n_mics) - 2
    assert not part["known"][2, 4]
    assert np.isnan(sound[4, 0]).all()
    for index in (0, 1):
        audio = frames.audio[index].astype(float)
        error = sound[index, 1:] / np.abs(sound[index, 1:]).max() - audio / np.abs(audio).max()
        assert np.square(error).mean() < 1e-7 * np.square(audio / np.abs(audio).max()).mean()
    assert (sound[3, 1:] == 0).all()


def trained(module, options: dict, folder: Path, kept: Path | None) -> dict[str, torch.Tensor]:
    frames = anechoic_frames(24, margin=80)
    method = module.Method(options | TRAINED)
    method.fit(frames, frames.select(np.arange(8)), Run(folder, store=store.Store(kept)))
    return method.network.state_dict()


def test_a_store_changes_no_training(tmp_path: Path) -> None:
    alone = trained(wav2pos, WAV2POS, tmp_path / "a", None)
    for run in ("b", "c"):  # the second finds everything there
        shared = trained(wav2pos, WAV2POS, tmp_path / run, tmp_path / "store")
        assert all(torch.equal(shared[name], alone[name]) for name in alone)


def test_methods_share_sound_and_features(tmp_path: Path) -> None:
    """Two trainings of different networks on the same correlations of the same frames."""
    frames_folders = set()
    for module, options in ((wav2pos, WAV2POS), (fault_tolerant, SMALL | {"mask_source": 0})):
        trained(module, options, tmp_path / module.__name__, tmp_path / "store")
        frames_folders.add(frozenset(path.name for path in (tmp_path / "store").iterdir()))
    first, second = sorted(frames_folders, key=len)
    assert len(first) == 4  # sound and correlations, of training and of validation
    assert first < second
    assert len(second - first) == 4  # coherence and embeddings alone
    trained(gnn, {"hidden_dim": 8, "lags": 64}, tmp_path / "g", tmp_path / "store")
    assert len(list((tmp_path / "store").iterdir())) == 10


def test_joined_frames_stay_where_they_are(tmp_path: Path) -> None:
    parts = []
    for count in (3, 4):
        frames = anechoic_frames(count)
        frames.save(tmp_path / str(count))
        parts.append(containers.load(tmp_path / str(count)))
    joined, lazy = (containers.concatenate(parts, lazily=how) for how in (False, True))
    index = np.array([5, 0, 2])
    for whole, part in ((joined, lazy), (joined.select(index), lazy.select(index))):
        assert not isinstance(part.audio, np.ndarray)
        assert part.audio.shape == whole.audio.shape
        np.testing.assert_array_equal(np.asarray(part.audio), whole.audio)
        np.testing.assert_array_equal(part.audio[1], whole.audio[1])
        np.testing.assert_array_equal(part.window(slice(1, 3)), whole.window(slice(1, 3)))
        np.testing.assert_array_equal(part.source_window(), whole.source_window())
    assert store.of_frames(lazy) == store.of_frames(joined) != store.of_frames(lazy.select(index))
