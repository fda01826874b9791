"""All parameters of a group in one array, so that an optimizer has a few tensors and not hundreds.

A step of a small network would else be spent on going through its parameters.
"""

from typing import Any

import torch
from torch import Tensor, nn


def optimizer(method: Any) -> torch.optim.Optimizer:
    """The optimizer of a method's recipe, on its parameter groups.

    The parameters and their gradients become parts of one array for each group; the gradients are
    to be zeroed, not removed. A parameter that nothing depends on has a gradient of zero.
    """
    recipe = method.options
    groups = [
        group | {"params": [_joined(group["params"])]}
        for group in method.parameter_groups()
        if group["params"]
    ]
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[recipe.optimizer]
    return kind(groups, lr=recipe.learning_rate, fused=True)


def _joined(parameters: list[nn.Parameter]) -> nn.Parameter:
    sizes = [p.numel() for p in parameters]
    whole = nn.Parameter(parameters[0].detach().new_empty(sum(sizes)))
    whole.grad = torch.zeros_like(whole)
    parts = zip(parameters, whole.data.split(sizes), whole.grad.split(sizes), strict=True)
    for parameter, values, gradient in parts:
        parameter.data = _like(values, parameter).copy_(parameter.data)
        parameter.grad = _like(gradient, parameter)
    return whole


def _like(part: Tensor, parameter: nn.Parameter) -> Tensor:
    """A part of the array in the shape, and memory layout, of a parameter."""
    if parameter.ndim == 4 and parameter.is_contiguous(memory_format=torch.channels_last):
        outer, inner, *window = parameter.shape
        return part.view(outer, *window, inner).permute(0, 3, 1, 2)
    return part.view(parameter.shape)


def separate(network: nn.Module) -> None:
    """Give every parameter an array of its own again, without a gradient."""
    for parameter in network.parameters():
        parameter.data, parameter.grad = parameter.detach().clone(), None
