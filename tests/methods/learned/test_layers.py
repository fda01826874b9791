"""Shared blocks: masked statistics, sparse attention."""

from __future__ import annotations

import torch

from helpers.networks import seeded
from wavloc.features.gcc_torch import ordered_pairs
from wavloc.methods.learned import layers
from wavloc.methods.learned.layers import MaskedBatchNorm


def test_masked_statistics_are_those_of_the_counted_rows() -> None:
    rows = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(0))
    counted = torch.rand(4, 6, generator=torch.Generator().manual_seed(1)) < 0.6
    ours, plain = MaskedBatchNorm(8).train(), torch.nn.BatchNorm1d(8).train()
    assert torch.allclose(ours(rows, counted)[counted], plain(rows[counted]), atol=1e-5)
    assert torch.allclose(ours.running_var, plain.running_var, atol=1e-6)
    assert torch.allclose(ours.running_mean, plain.running_mean, atol=1e-6)
    whole = MaskedBatchNorm(8).train()
    assert torch.allclose(whole(rows), plain.train()(rows.flatten(0, 1)).view_as(rows), atol=1e-5)


def attended(
    share: float, present: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sparse attention of two frames, and gradients of its keys and values."""
    query, key, value = (seeded(2, 3, n, 8, seed=n) for n in (4, 20, 21))
    value = value[:, :, :20].clone().requires_grad_()
    key = key.clone().requires_grad_()
    mixed = layers.sparse_attention(query, key, value, present, share)
    mixed.square().sum().backward()
    return mixed.detach(), key.grad, value.grad


def test_attention_to_everything_is_dense_attention() -> None:
    present = torch.ones(2, 20, dtype=torch.bool)
    present[1, 12:] = False
    mixed, *_ = attended(1.0, present)
    query, key, value = (seeded(2, 3, n, 8, seed=n) for n in (4, 20, 21))
    dense = layers.dense_attention(query, key, value[:, :, :20], present)
    assert (mixed - dense).abs().max() < 1e-6


def test_only_kept_keys_are_mixed_and_have_a_gradient() -> None:
    present = torch.ones(2, 20, dtype=torch.bool)
    present[1, 10:] = False
    mixed, of_key, of_value = attended(0.3, present)
    query, key, value = (seeded(2, 3, n, 8, seed=n) for n in (4, 20, 21))
    value = value[:, :, :20]
    scores = query @ key.transpose(-1, -2) / 8**0.5
    used = torch.zeros(2, 3, 20, dtype=torch.bool)
    for frame, number in ((0, 6), (1, 3)):  # 30 % of 20, of 10
        for head in range(3):
            for place in range(4):
                row = scores[frame, head, place].masked_fill(~present[frame], -1e9)
                best = row.argsort(descending=True)[:number]
                expected = row[best].softmax(0) @ value[frame, head, best]
                assert torch.allclose(mixed[frame, head, place], expected, atol=1e-6)
                used[frame, head, best] = True
    assert not used.all()
    assert torch.equal(of_value.abs().sum(-1) > 0, used)
    assert torch.equal(of_key.abs().sum(-1) > 0, used)


def test_a_frame_without_keys_gives_zeros() -> None:
    present = torch.zeros(2, 20, dtype=torch.bool)
    for mixed, of_key, of_value in (attended(0.3, present), attended(0.01, present)):
        assert (mixed == 0).all()
        assert torch.isfinite(of_key).all()
        assert (of_value == 0).all()
    query = seeded(2, 3, 4, 8)
    assert (layers.dense_attention(query, query, query, present[:, :4]) == 0).all()


def test_gradient_of_masked_statistics_is_that_of_the_plain_formula() -> None:
    rows, weight, bias = (
        seeded(*shape, seed=n).double() for n, shape in enumerate(((9, 5), (5,), (5,)))
    )
    counted = torch.tensor([True] * 6 + [False] * 3)

    def plain(values: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        kept = values[counted]
        mean, variance = kept.mean(0), kept.var(0, unbiased=False)
        return (values - mean) / torch.sqrt(variance + 1e-5) * gain + shift

    def ours(values: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        share = counted.double() / counted.sum()
        mean = share @ values.detach()
        scale = torch.rsqrt(share @ (values.detach() - mean).square() + 1e-5)
        return layers._Normalised.apply(values, gain, shift, share, mean, scale)

    slope = seeded(9, 5, seed=7).double()
    gradients = []
    for function in (plain, ours):
        given = [value.clone().requires_grad_() for value in (rows, weight, bias)]
        (function(*given) * slope).sum().backward()
        gradients.append([value.grad for value in given])
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_attention_is_the_library_s() -> None:
    query, key, value = (seeded(2, 3, n, 8, seed=n).requires_grad_() for n in (4, 20, 20))
    mask = (seeded(2, 1, 1, 20) > 0) | (torch.arange(20) == 3)
    ours = layers.attend(query, key, value, mask)
    theirs = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(x.square().sum(), (query, key, value)) for x in (ours, theirs)]
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_ends_are_taken_to_their_pairs() -> None:
    first, second = seeded(2, 5, 3, seed=1), seeded(2, 5, 3, seed=2)
    i, j = ordered_pairs(5)
    layers.ends_of_pairs.cache_clear()
    with torch.inference_mode():  # what a prediction has made serves a training
        layers.ends_of_pairs(5, torch.device("cpu"), torch.float32)
    ends = layers.ends_of_pairs(5, torch.device("cpu"), torch.float32)
    assert not ends.is_inference()
    assert torch.equal(ends @ torch.cat([first, second], dim=1), first[:, i] + second[:, j])
