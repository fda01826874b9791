"""The GNN: masked microphones, order of microphones."""

from __future__ import annotations

import torch

from helpers.networks import shake, sound_and_positions
from wavloc.methods.learned.gnn import RelationNet, pair_correlations


def test_masking_microphones_of_the_gnn_is_removing_them() -> None:
    network = shake(RelationNet(lags=64, hidden_dim=16))
    audio, positions = sound_and_positions(6)
    present = torch.tensor([1, 1, 0, 1, 0, 1], dtype=torch.bool).expand(2, 6)
    with torch.no_grad():
        masked = network(pair_correlations(audio, 64), positions, present)
        kept = [0, 1, 3, 5]
        everyone = torch.ones(2, 4, dtype=torch.bool)
        removed = network(pair_correlations(audio[:, kept], 64), positions[:, kept], everyone)
    assert torch.allclose(masked, removed, atol=1e-5)


def test_only_all_pairs_make_the_gnn_permutation_invariant() -> None:
    audio, positions = sound_and_positions(6)
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
