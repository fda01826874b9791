"""The networks: equal to the reference's stored outputs, published sizes, invariances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames
from helpers.networks import with_model
from wavloc.checkpoints import parity
from wavloc.features import gcc_torch as correlation
from wavloc.methods.learned import dinn, gnn, masking, multilat_ngcc, ngcc_phat, wav2pos
from wavloc.methods.learned.base import DataStats, LearnedMethod
from wavloc.methods.learned.dinn import DINN
from wavloc.methods.learned.gnn import RelationNet, pair_correlations
from wavloc.methods.learned.layers import MaskedBatchNorm
from wavloc.methods.learned.ngcc_phat import NGCC
from wavloc.methods.learned.wav2pos import Wav2Pos, losses
from wavloc.setups import Setup
from wavloc.simulation import augment

SMALL = {
    "embed_dim": 32,
    "encoder_depth": 1,
    "decoder_depth": 1,
    "pair_hidden": 32,
    "head_hidden": [32, 32],
    "coordinate_hidden": 16,
}


def count(network: torch.nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def shake(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Random weights and statistics large enough that every part moves the output; eval mode."""
    torch.manual_seed(seed)
    for value in network.parameters():
        torch.nn.init.normal_(value, std=0.2) if value.ndim > 1 else value.data.normal_(0.5, 0.3)
    for name, value in network.named_buffers():
        if name.endswith("running_mean"):
            value.normal_(0, 0.2)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return network.eval()


# ------------------------------------------------------------------ reference outputs


@pytest.mark.parametrize("case", ["ngcc_case", "wav2pos_case_m6"])
def test_parity(shared: Path, case: str) -> None:
    folder = shared / "parity"
    rows = parity.compare(folder / f"{case}.npz", folder / "ngcc_published_checkpoint.pth")
    assert len(rows) == {"ngcc_case": 12, "wav2pos_case_m6": 24}[case]
    assert [row for row in rows if not row.good] == []


def test_parity_notices_a_wrong_weight(shared: Path, tmp_path: Path) -> None:
    folder = shared / "parity"
    with np.load(folder / "wav2pos_case_m6.npz") as stored:
        arrays = dict(stored)
    arrays["state/loc_proj.bias"] = arrays["state/loc_proj.bias"] + np.float16(0.01)
    np.savez(tmp_path / "case.npz", **arrays)
    rows = parity.compare(tmp_path / "case.npz", folder / "ngcc_published_checkpoint.pth")
    assert "full/pred_locs" in [row.name for row in rows if not row.good]


# ------------------------------------------------------------------ published sizes


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (lambda: NGCC(), 888_193),
        (lambda: Wav2Pos(), 9_758_342),
        (lambda: Wav2Pos(lags=0), 8_516_486),
        (lambda: Wav2Pos(lags=0, max_pooling=False), 8_254_342),
        (lambda: DINN(11), 3_573_831),
        (lambda: DINN(5), 3_549_405),
        (lambda: RelationNet(), 2_211_253),
    ],
)
def test_published_numbers_of_parameters(network, expected: int) -> None:
    assert count(network()) == expected


@pytest.mark.parametrize("mics", [6, 11])
def test_parameters_of_the_methods_as_published(mics: int) -> None:
    stats = DataStats(mics, 2048, 16000, 343.0, 314, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    for options, expected in (
        ({}, 10_646_535),
        ({"features": "gcc"}, 9_758_342),
        ({"features": "none"}, 8_516_486),
        ({"features": "none", "max_pooling": False, "pairwise_encoding": False}, 8_254_342),
    ):
        method = wav2pos.Method(options)
        method.stats, method.network = stats, method.build(stats)
        if not options:
            method.correlations.ngcc = ngcc_phat.Method().build(stats)
        assert method.parameters == expected


# ------------------------------------------------------------------ correlation and NGCC-PHAT


def test_a_later_microphone_has_a_positive_lag() -> None:
    sound = torch.randn(1, 400, generator=torch.Generator().manual_seed(0))
    audio = torch.stack([sound[:, 100:356], sound[:, 107:363]], dim=1)  # the second is earlier
    forward, backward = correlation.gcc_features(audio, 20)[0]
    assert int(forward.argmax()) - 20 == 7
    assert int(backward.argmax()) - 20 == -7
    assert torch.equal(
        correlation.ordered_pairs(3), torch.tensor([[0, 1, 0, 2, 1, 2], [1, 0, 2, 0, 2, 1]])
    )


def test_correlation_in_chunks_is_the_plain_one() -> None:
    audio = torch.randn(3, 7, 256, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(audio, 512)
    i, j = correlation.pair_index(7)
    cross = spectrum[:, i] * spectrum[:, j].conj()
    plain = torch.fft.irfft(cross / (cross.abs() + 1e-3), 512)
    plain = torch.cat([plain[..., -40:], plain[..., :41]], dim=-1)
    assert torch.allclose(correlation.gcc_phat(audio, 40), plain, atol=1e-6)
    slow = correlation.whitened(spectrum[:, i], spectrum[:, j], 40)
    assert torch.allclose(slow, plain, atol=1e-6)


def test_features_of_all_pairs_are_those_of_single_pairs() -> None:
    """In chunks, with folded norms and reversed kernels, against one pair after the other."""
    network = shake(NGCC(channels=8, taps=63))
    audio = torch.randn(2, 3, 512, generator=torch.Generator().manual_seed(1))
    fast = network.all_pairs(audio, 30, chunk=2)
    with torch.no_grad():
        for place, (i, j) in enumerate(correlation.ordered_pairs(3).T.tolist()):
            assert torch.allclose(fast[:, place], network(audio[:, i], audio[:, j], 30), atol=1e-4)
    assert torch.equal(network.all_pairs(audio, 30, directions=1), fast[:, ::2])


def test_backbone_follows_circular_shifts() -> None:
    network = shake(NGCC(channels=4, taps=63))
    sound = torch.randn(1, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        shifted = network.embed(sound.roll(17, -1))
        assert torch.allclose(shifted, network.embed(sound).roll(17, -1), atol=1e-4)


def test_silence_gives_finite_features() -> None:
    assert torch.isfinite(
        NGCC(channels=4, taps=63).eval().all_pairs(torch.zeros(1, 3, 256), 9)
    ).all()
    assert (correlation.gcc_phat(torch.zeros(1, 3, 256), 9) == 0).all()
    assert (pair_correlations(torch.zeros(1, 3, 256), 32) == 0).all()


def test_features_in_training_mode_are_refused() -> None:
    with pytest.raises(RuntimeError, match="eval"):
        NGCC(channels=4, taps=63).train().all_pairs(torch.zeros(1, 3, 256), 9)


# ------------------------------------------------------------------ wav2pos


def scene(batch: int = 2, mics: int = 6, samples: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    audio = torch.randn(batch, mics + 1, samples, generator=generator)
    return audio, torch.randn(batch, mics + 1, 3, generator=generator)


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
    network, (audio, positions) = small_network(), scene()
    order = torch.tensor([0, 4, 2, 6, 1, 3, 5])
    plain, mixed = (
        answer(network, audio, positions),
        answer(network, audio[:, order], positions[:, order]),
    )
    assert torch.allclose(mixed.positions, plain.positions[:, order], atol=1e-5)
    assert torch.allclose(mixed.audio, plain.audio[:, order], atol=1e-4)


def test_the_true_position_of_the_source_never_leaks() -> None:
    network, (audio, positions) = small_network(), scene()
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
    network, (audio, positions) = small_network(), scene()
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
    network, (audio, positions) = small_network(), scene()
    known, heard = masking.nothing_masked(2, 6, torch.device("cpu"))
    with torch.no_grad():
        everything = network(audio, positions, heard, known, correlation.gcc_features(audio, 10))
        mics = network(audio, positions, heard, known, correlation.gcc_features(audio[:, 1:], 10))
    assert torch.allclose(everything.positions, mics.positions, atol=1e-5)


def test_masked_statistics_are_those_of_the_counted_rows() -> None:
    rows = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(0))
    counted = torch.rand(4, 6, generator=torch.Generator().manual_seed(1)) < 0.6
    ours, plain = MaskedBatchNorm(8).train(), torch.nn.BatchNorm1d(8).train()
    assert torch.allclose(ours(rows, counted)[counted], plain(rows[counted]), atol=1e-5)
    assert torch.allclose(ours.running_var, plain.running_var, atol=1e-6)
    assert torch.allclose(ours.running_mean, plain.running_mean, atol=1e-6)
    whole = MaskedBatchNorm(8).train()
    assert torch.allclose(whole(rows), plain.train()(rows.flatten(0, 1)).view_as(rows), atol=1e-5)


def test_loss_ignores_what_is_not_there() -> None:
    network, (audio, positions) = small_network(), scene()
    known, heard = masking.nothing_masked(2, 6, torch.device("cpu"))
    clean = audio.clone()
    clean[:, 0] = float("nan")  # source signal unknown
    output = network(audio, positions, heard, known, correlation.gcc_features(audio, 10))
    sound, place = losses(output, positions, clean, heard, known)
    (sound + place).backward()
    assert torch.isfinite(sound)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    expected = (output.positions[:, 0] - positions[:, 0]).square().mean()
    assert torch.allclose(place, expected)


# ------------------------------------------------------------------ masks


@pytest.mark.parametrize("mics", [6, 11])
def test_masks_of_the_paper_keep_its_constraints(mics: int) -> None:
    generator = torch.Generator().manual_seed(0)
    known, heard = masking.paper(4000, mics, 3, 5, 0.5, generator)
    positions, signals = known[:, 1:], heard[:, 1:]
    assert not known[:, 0].any()
    assert (positions & signals).sum(1).min() >= 5
    assert (positions | signals).all()  # none loses both
    most = min(3, mics - 5)
    assert set(positions.sum(1).tolist()) == set(range(mics - most, mics + 1))
    assert heard[:, 0].float().mean() == pytest.approx(0.5, abs=0.03)
    assert (~positions).float().mean(0).std() < 0.02  # every microphone alike


def test_masks_of_the_public_code_break_them_as_measured() -> None:
    """M = 6, 5 or 6 positions, the source kept in half: fewer than 5 shared in about 21 %."""
    generator = torch.Generator().manual_seed(0)
    few = lost = total = 0
    for _ in range(200):
        known, heard = masking.reference(32, 6, 5, 0.5, generator)
        heard_mics = heard[:, 1:]
        few += int(((known[:, 1:] & heard_mics).sum(1) < 5).sum())
        lost += int((~(known[:, 1:] | heard_mics)).any(1).sum())
        total += 32
    assert 0.05 < few / total < 0.5
    assert lost > 0
    known, heard = masking.reference(64, 6, 5, 0.0, generator)
    assert ((known & heard)[:, 1:].sum(1) >= 4).all()
    assert (known | heard)[:, 1:].all()


# ------------------------------------------------------------------ GNN and DI-NN


def test_masking_microphones_of_the_gnn_is_removing_them() -> None:
    network = shake(RelationNet(lags=64, hidden_dim=16))
    audio, positions = scene(2, 6)
    audio, positions = audio[:, 1:], positions[:, 1:]
    present = torch.tensor([1, 1, 0, 1, 0, 1], dtype=torch.bool).expand(2, 6)
    with torch.no_grad():
        masked = network(pair_correlations(audio, 64), positions, present)
        kept = [0, 1, 3, 5]
        everyone = torch.ones(2, 4, dtype=torch.bool)
        removed = network(pair_correlations(audio[:, kept], 64), positions[:, kept], everyone)
    assert torch.allclose(masked, removed, atol=1e-5)


def test_only_all_pairs_make_the_gnn_permutation_invariant() -> None:
    audio, positions = scene(2, 6)
    audio, positions = audio[:, 1:], positions[:, 1:]
    order, present = torch.tensor([3, 0, 5, 1, 4, 2]), torch.ones(2, 6, dtype=torch.bool)
    changes = []
    for every in (True, False):
        network = shake(RelationNet(lags=64, hidden_dim=16, all_pairs=every))
        with torch.no_grad():
            plain = network(pair_correlations(audio, 64, every), positions, present)
            mixed = network(
                pair_correlations(audio[:, order], 64, every), positions[:, order], present
            )
        changes.append(float((plain - mixed).abs().max()))
    assert changes[0] < 1e-5 < 1e-3 < changes[1]


def test_order_of_microphones_matters_to_dinn() -> None:
    """A documented limitation of the method."""
    network = shake(DINN(4, (4, 4, 4, 4), 8))
    audio = torch.randn(2, 4, 2048, generator=torch.Generator().manual_seed(0))
    positions = torch.randn(2, 4, 3)
    with torch.no_grad():
        plain = network(audio, positions)
        mixed = network(audio[:, [1, 0, 2, 3]], positions[:, [1, 0, 2, 3]])
    assert (plain - mixed).abs().max() > 1e-3


def test_stages_of_dinn_have_the_published_shapes() -> None:
    network, audio = DINN(11), torch.randn(1, 11, 2048)
    assert network.spectrum(audio).shape == (1, 11, 9, 1024)
    shapes = []
    for block in network.convolutions:
        block.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape[1:])))
    network.eval()(audio, torch.randn(1, 11, 3))
    assert shapes == [(64, 5, 513), (128, 3, 257), (256, 2, 129), (512, 2, 65)]


# ------------------------------------------------------------------ augmentation


def test_shifts_are_common_to_the_channels_of_a_frame() -> None:
    sound = torch.arange(3 * 2 * 100.0).reshape(3, 2, 100)
    generator = torch.Generator().manual_seed(0)
    moved = augment.shifted(sound, 40, 30, generator)
    first = moved[..., 0] - sound[..., 0]
    assert torch.equal(first[:, 0], first[:, 1])
    assert len(first[:, 0].unique()) == 3
    starts = [int(augment.shifted(sound, 40, 30, generator)[0, 0, 0]) for _ in range(300)]
    assert (min(starts), max(starts)) == (0, 60)
    assert torch.equal(augment.shifted(sound, 40, 30, None), sound[..., 30:70])


@pytest.mark.parametrize("colour", ["white", "coloured"])
def test_noise_has_the_stated_level(colour: str) -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(64, 3, 2048, generator=generator) * torch.tensor([1.0, 5.0, 0.1])[:, None]
    clean[:, 2] = float("nan")
    noise = augment.noisy(clean, (10.0, 10.0), generator, colour) - clean
    snr = 10 * torch.log10(clean.square().mean(-1) / noise.square().mean(-1))[:, :2]
    assert snr.mean() == pytest.approx(10, abs=0.1)
    assert torch.isnan(noise[:, 2]).all()
    spread = augment.noisy(clean, (0.0, 30.0), generator, colour) - clean
    snr = 10 * torch.log10(clean.square().mean(-1) / spread.square().mean(-1))[:, :2]
    assert snr.min() < 2
    assert snr.max() > 28


# ------------------------------------------------------------------ methods on frames


def untrained(module, options: dict, frames) -> LearnedMethod:
    method = module.Method(options)
    if module is wav2pos and method.options.features == "ngcc":
        method.correlations.ngcc = NGCC(channels=4, taps=63).eval()
    with_model(method, frames)
    shake(getattr(method, "model", method).network)
    return method


@pytest.mark.parametrize("setup", ["1a", "1b", "2a", "2b"])
@pytest.mark.parametrize("features", ["ngcc", "gcc", "none"])
def test_wav2pos_answers_in_every_setup(setup: str, features: str) -> None:
    frames = anechoic_frames(3)
    method = untrained(wav2pos, SMALL | {"features": features}, frames)
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
    method = untrained(wav2pos, SMALL | {"features": "gcc"}, frames)
    frames.audio[1, 4] = np.nan
    found = method.predict(frames)
    assert np.isfinite(found.position).all()
    without = frames.select(np.array([1]))
    keep = [k for k in range(11) if k != 4]
    subset = Setup("1a", np.array([keep]))
    # The position of the mute microphone still says something; without it nothing of it is left.
    assert not np.allclose(method.predict(without, subset).position, found.position[1])


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (dinn, {"channels": [4, 4, 4, 4], "recurrent": 8}),
        (gnn, {"hidden_dim": 8, "lags": 64}),
        (multilat_ngcc, {"solver": "multilat"}),
        (multilat_ngcc, {"solver": "multilat_plus"}),
        (wav2pos, SMALL),
    ],
)
def test_saved_models_answer_the_same(module, options: dict, tmp_path: Path) -> None:
    frames = anechoic_frames(4)
    method = untrained(module, options, frames)
    method.save(tmp_path / "model")
    loaded = module.Method.load(tmp_path / "model", options)
    expected, found = method.predict(frames), loaded.predict(frames)
    assert np.array_equal(expected.position, found.position, equal_nan=True)
    models = [getattr(part, "model", part) for part in (loaded, method)]
    assert models[0].parameters == models[1].parameters


def test_dinn_refuses_another_number_of_microphones() -> None:
    frames = anechoic_frames(4)
    method = untrained(dinn, {"channels": [4, 4, 4, 4], "recurrent": 8}, frames)
    setup = Setup("1a", np.array([[0, 1, 2, 3, 4]] * 4))
    assert "trained for 11 microphones, got 5" in method.refusal(frames, setup)
