"""Parameters joined for the optimizer learn what they would learn apart."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from helpers.networks import seeded
from wavloc.training import flat


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
        self.linear, self.norm = nn.Linear(4, 2), nn.BatchNorm1d(2)
        self.unused = nn.Parameter(torch.ones(5))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(self.conv(image).mean((2, 3))))


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_joined_parameters_learn_the_same(name: str) -> None:
    torch.manual_seed(0)
    joined = Net()
    apart, image = copy.deepcopy(joined), seeded(6, 3, 5, 5)

    def groups(network: Net) -> list[dict]:
        decayed = [p for p in network.parameters() if p.ndim > 1]
        free = [p for p in network.parameters() if p.ndim == 1]
        return [
            {"params": decayed, "weight_decay": 0.1},
            {"params": free, "weight_decay": 0.0},
            {"params": [], "weight_decay": 0.5},
        ]

    recipe = SimpleNamespace(optimizer=name, learning_rate=0.01)
    ours = flat.optimizer(SimpleNamespace(options=recipe, parameter_groups=lambda: groups(joined)))
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    theirs = kind(groups(apart)[:2], lr=0.01)
    assert sum(len(group["params"]) for group in ours.param_groups) == 2
    for _ in range(3):
        for network, optimizer in ((joined, ours), (apart, theirs)):
            optimizer.zero_grad(set_to_none=network is apart)
            network(image).pow(3).sum().backward()
            optimizer.step()
    flat.separate(joined)
    assert joined.conv.weight.is_contiguous(memory_format=torch.channels_last)
    for found, expected in zip(joined.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(found, expected)
        assert found.grad is None
    storages = {p.untyped_storage().data_ptr() for p in joined.parameters()}
    assert len(storages) == len(list(joined.parameters()))
