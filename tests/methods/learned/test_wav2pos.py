"""wav2pos: invariances, what may not leak, and all setups."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames
from helpers.networks import shake, shaken, sound_and_positions
from wavloc.errors import InputError
from wavloc.features import gcc_torch as correlation
from wavloc.methods.learned import masking, wav2pos
from wavloc.methods.learned.layers import standardise
from wavloc.methods.learned.wav2pos import Wav2Pos, losses
from wavloc.setups import Setup

SMALL = {
    "embed_dim": 32,
    "encoder_depth": 1,
    "decoder_depth": 1,
    "pair_hidden": 32,
    "head_hidden": [32, 32],
    "coordinate_hidden": 16,
}


def small_network(**changes) -> Wav2Pos:
    sizes = {"samples": 128, "embed_dim": 16, "encoder_depth": 2, "decoder_depth": 2, "lags": 21}
    sizes |= {"pair_hidden": 16, "head_hidden": (16, 16), "coordinate_hidden": 8} | changes
    return shake(Wav2Pos(**sizes))


def answer(network: Wav2Pos, audio, positions, masks=None):
    known, heard = masks or masking.nothing_masked(*(audio.shape[0], audio.shape[1] - 1), "cpu")
    sound = audio.masked_fill(~heard[..., None], 0)
    rows = correlation.gcc_features(sound, 10) if network.lags else None
    with torch.no_grad():
        return network(audio, positions, heard, known, rows)


def test_order_of_microphones_does_not_matter() -> None:
    network, (audio, positions) = small_network(), sound_and_positions(7)
    order = torch.tensor([0, 4, 2, 6, 1, 3, 5])
    plain, mixed = (
        answer(network, audio, positions),
        answer(network, audio[:, order], positions[:, order]),
    )
    assert torch.allclose(mixed.positions, plain.positions[:, order], atol=1e-5)
    assert torch.allclose(mixed.audio, plain.audio[:, order], atol=1e-4)


def test_the_true_position_of_the_source_never_leaks() -> None:
    network, (audio, positions) = small_network(), sound_and_positions(7)
    other = positions.clone()
    other[:, 0] = torch.tensor([9.0, -9.0, float("nan")])
    plain, changed = answer(network, audio, positions), answer(network, audio, other)
    assert torch.equal(plain.positions, changed.positions)
    network.train()
    known, heard = masking.nothing_masked(2, 6, torch.device("cpu"))
    rows = correlation.gcc_features(audio, 10)
    outputs = [network(audio, place, heard, known, rows).positions for place in (positions, other)]
    assert torch.equal(*outputs)  # batch statistics see it neither


def test_an_unknown_microphone_is_as_good_as_none() -> None:
    """Neither heard nor located, its sound and position whatever: as without it."""
    network, (audio, positions) = small_network(), sound_and_positions(7)
    known, heard = masking.nothing_masked(2, 6, torch.device("cpu"))
    known, heard = known.clone(), heard.clone()
    known[:, 6] = heard[:, 6] = False
    odd, place = audio.clone(), positions.clone()
    odd[:, 6], place[:, 6] = float("nan"), float("nan")
    outputs = []
    for sound, where in ((audio, positions), (odd, place)):
        rows = correlation.gcc_features(sound.nan_to_num(), 10)
        with torch.no_grad():
            outputs.append(network(sound, where, heard, known, rows).positions)
    assert torch.allclose(*outputs, atol=1e-6)
    assert torch.isfinite(outputs[1]).all()


def test_rows_of_microphones_alone_are_those_of_all_channels() -> None:
    network, (audio, positions) = small_network(), sound_and_positions(7)
    known, heard = masking.nothing_masked(2, 6, torch.device("cpu"))
    with torch.no_grad():
        everything = network(audio, positions, heard, known, correlation.gcc_features(audio, 10))
        mics = network(audio, positions, heard, known, correlation.gcc_features(audio[:, 1:], 10))
    assert torch.allclose(everything.positions, mics.positions, atol=1e-5)


def test_loss_ignores_what_is_not_there() -> None:
    network, (audio, positions) = small_network(), sound_and_positions(7)
    known, heard = masking.nothing_masked(2, 6, torch.device("cpu"))
    clean = standardise(audio)
    clean[:, 0] = float("nan")  # source signal unknown
    output = network(audio, positions, heard, known, correlation.gcc_features(audio, 10))
    sound, place = losses(output, positions, clean, heard, known)
    (sound + place).backward()
    assert torch.isfinite(sound)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    expected = (output.positions[:, 0] - positions[:, 0]).square().mean()
    assert torch.allclose(place, expected)


@pytest.mark.parametrize("setup", ["1a", "1b", "2a", "2b"])
@pytest.mark.parametrize("features", ["ngcc", "gcc", "none"])
def test_wav2pos_answers_in_every_setup(setup: str, features: str) -> None:
    frames = anechoic_frames(3)
    method = shaken(wav2pos, SMALL | {"features": features}, frames)
    subset = np.array([[0, 2, 3, 5, 7, 9, 10]] * 3)
    found = method.predict(frames, Setup(setup, subset))
    assert np.isfinite(found.position).all()
    if setup.startswith("2"):
        known = found.mic_positions[:, subset[0]]
        assert np.allclose(known, frames.mic_positions[subset[0]], atol=1e-4)
        unknown = np.setdiff1d(np.arange(11), subset[0])
        assert np.isfinite(found.mic_positions[:, unknown]).all()
        assert not np.allclose(found.mic_positions[:, unknown], frames.mic_positions[unknown])
    other = method.predict(frames, Setup("2b" if setup == "2a" else "1a", subset))
    if setup in ("1b", "2a"):
        assert not np.allclose(found.position, other.position)  # what is granted is used


def test_wav2pos_takes_missing_signals_and_positions() -> None:
    frames = anechoic_frames(3)
    method = shaken(wav2pos, SMALL | {"features": "gcc"}, frames)
    frames.audio[1, 4] = np.nan
    found = method.predict(frames)
    assert np.isfinite(found.position).all()
    without = frames.select(np.array([1]))
    keep = [k for k in range(11) if k != 4]
    subset = Setup("1a", np.array([keep]))
    # The position of the mute microphone still says something; without it nothing of it is left.
    assert not np.allclose(method.predict(without, subset).position, found.position[1])


def test_another_largest_lag_is_refused(tmp_path: Path) -> None:
    method = wav2pos.Method({"embed_dim": 8, "features": "gcc", "max_lag": 30})
    method.prepare(anechoic_frames(4))
    method.save(tmp_path / "m")
    note = json.loads((tmp_path / "m" / "method.json").read_text())
    note["data_stats"]["max_lag"] = 29
    (tmp_path / "m" / "method.json").write_text(json.dumps(note))
    with pytest.raises(InputError, match=r"pairs.first.weight' has shape \(512, 77\)"):
        wav2pos.Method.load(tmp_path / "m")
