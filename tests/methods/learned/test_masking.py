"""Masks of the paper and of the public code."""

from __future__ import annotations

import pytest
import torch

from wavloc.methods.learned import masking


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
