"""GCC-PHAT for networks: signs, order of pairs, chunks."""

from __future__ import annotations

import torch

from wavloc.features import gcc_torch as correlation


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
