"""BEATs (Chen et al. 2023): a transformer on patches of a mel spectrogram, as a frozen encoder.

Submodules are named as in the published state dict, so that a checkpoint fits as it is and errors
name its own weights. Sizes are read off the weights.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavloc.errors import InputError
from wavloc.methods.learned.encoders.spectrogram import kaldi_log_mel
from wavloc.weights import load_into, read_whole

MEAN, STD = 15.41663, 2 * 6.55582  # of the log mel spectrum, as published
LEVEL = 0.05 * 2**15  # deviation that signals are scaled to: -26 dB of full scale, 16 bit
# What the network below assumes; a checkpoint with other values is refused.
FIXED = {
    "layer_norm_first": False,
    "deep_norm": True,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
    "conv_bias": False,
    "activation_fn": "gelu",
}
SHARED = "self_attn.relative_attention_bias.weight"  # stored once per layer, the same in all


class PositionConv(nn.Module):
    """Grouped convolution along time whose weight is stored as direction and length per tap."""

    def __init__(self, width: int, taps: int, groups: int):
        super().__init__()
        self.groups = groups
        self.weight_g = nn.Parameter(torch.ones(1, 1, taps))
        self.weight_v = nn.Parameter(torch.randn(width, width // groups, taps) * 0.02)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, T, width) -> the same."""
        taps = self.weight_v.shape[-1]
        weight = self.weight_g * self.weight_v / self.weight_v.norm(dim=(0, 1), keepdim=True)
        hidden = functional.conv1d(
            tokens.transpose(1, 2), weight, self.bias, padding=taps // 2, groups=self.groups
        )
        even = 1 - taps % 2  # an even number of taps gives one output too many
        return functional.gelu(hidden[..., : hidden.shape[-1] - even]).transpose(1, 2)


class GatedAttention(nn.Module):
    """Self-attention with a position bias that every query scales by two gates."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.q_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.grep_linear = nn.Linear(width // heads, 8)
        self.grep_a = nn.Parameter(torch.ones(1, heads, 1, 1))

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """tokens (B, T, width), bias (heads, T, T) -> (B, T, width)."""

        def split(part: Tensor) -> Tensor:
            return part.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        query = split(self.q_proj(tokens))
        gates = torch.sigmoid(self.grep_linear(query).unflatten(-1, (2, 4)).sum(-1))
        first, second = gates.unbind(-1)
        scale = first[..., None] * (second[..., None] * self.grep_a - 1) + 2
        mixed = functional.scaled_dot_product_attention(
            query, split(self.k_proj(tokens)), split(self.v_proj(tokens)), attn_mask=scale * bias
        )
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Transformer layer with norms after the sums, whose residuals count more (DeepNorm)."""

    def __init__(self, width: int, hidden: int, heads: int, residual: float):
        super().__init__()
        self.residual = residual
        self.self_attn = GatedAttention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        tokens = self.self_attn_layer_norm(tokens * self.residual + self.self_attn(tokens, bias))
        hidden = self.fc2(functional.gelu(self.fc1(tokens)))
        return self.final_layer_norm(tokens * self.residual + hidden)


class Transformer(nn.Module):
    """The part of the published state dict named ``encoder``."""

    layers: Any  # a list loses the type of its modules

    def __init__(
        self, width: int, hidden: int, heads: int, layers: int, buckets: int, taps: int, groups: int
    ):
        super().__init__()
        self.pos_conv = nn.ModuleList([PositionConv(width, taps, groups)])
        self.layer_norm = nn.LayerNorm(width)
        residual = (2 * layers) ** 0.25
        self.layers = nn.ModuleList(Layer(width, hidden, heads, residual) for _ in range(layers))
        self.layers[0].self_attn.relative_attention_bias = nn.Embedding(buckets, heads)


class BEATs(nn.Module):
    """Published sizes are the defaults: about 90 million parameters, 768 numbers per signal."""

    def __init__(
        self,
        width: int = 768,
        hidden: int = 3072,
        heads: int = 12,
        layers: int = 12,
        patch: int = 16,
        patch_width: int = 512,
        bands: int = 128,
        buckets: int = 320,
        max_distance: int = 800,
        taps: int = 128,
        groups: int = 16,
    ):
        super().__init__()
        self.dim, self.patch, self.bands = width, patch, bands
        self.buckets, self.max_distance = buckets, max_distance
        self.patch_embedding = nn.Conv2d(1, patch_width, patch, patch, bias=False)
        self.layer_norm = nn.LayerNorm(patch_width)
        self.post_extract_proj = nn.Linear(patch_width, width)
        self.encoder = Transformer(width, hidden, heads, layers, buckets, taps, groups)

    def forward(self, signal: Tensor) -> Tensor:
        """Standardised signals (B, N) at 16 kHz -> mean over the tokens (B, width).

        A signal too short for one patch is repeated.
        """
        least = 400 + 160 * (self.patch - 1)  # samples of ``patch`` frames of the spectrogram
        if signal.shape[-1] < least:
            signal = signal.repeat(1, -(-least // signal.shape[-1]))[:, :least]
        spectrum = (kaldi_log_mel(signal * LEVEL, self.bands) - MEAN) / STD  # (B, T, bands)
        tokens = self.patch_embedding(spectrum[:, None]).flatten(2).transpose(1, 2)
        tokens = self.post_extract_proj(self.layer_norm(tokens))
        tokens = self.encoder.layer_norm(tokens + self.encoder.pos_conv[0](tokens))
        bias = self._bias(tokens.shape[1])
        for layer in self.encoder.layers:
            tokens = layer(tokens, bias)
        return tokens.mean(1)

    def _bias(self, count: int) -> Tensor:
        """Bias (heads, T, T) of each relative place: exact when near, logarithmic when far."""
        table = self.encoder.layers[0].self_attn.relative_attention_bias
        place = torch.arange(count, device=table.weight.device)
        relative = place[None] - place[:, None]
        side, distance = self.buckets // 2, relative.abs()
        near = side // 2
        steps = math.log(self.max_distance / near) / (side - near)
        far = near + (distance.clamp(min=1) / near).log().div(steps).long()
        bucket = torch.where(distance < near, distance, far.clamp(max=side - 1))
        return table(bucket + side * (relative > 0)).permute(2, 0, 1)


def sizes_of(state: Mapping[str, Tensor], max_distance: int) -> dict[str, int]:
    """Constructor arguments of `BEATs` that fit a published state dict."""
    taps = state["encoder.pos_conv.0.weight_v"]
    patch = state["patch_embedding.weight"]
    layers = {key.split(".")[2] for key in state if key.startswith("encoder.layers.")}
    return {
        "width": taps.shape[0],
        "hidden": state["encoder.layers.0.fc1.weight"].shape[0],
        "heads": state["encoder.layers.0.self_attn.grep_a"].shape[1],
        "layers": len(layers),
        "patch": patch.shape[-1],
        "patch_width": patch.shape[0],
        "buckets": state[f"encoder.layers.0.{SHARED}"].shape[0],
        "max_distance": max_distance,
        "taps": taps.shape[-1],
        "groups": taps.shape[0] // taps.shape[1],
    }


def load(path: str | Path) -> tuple[BEATs, dict[str, int]]:
    """Network and sizes of a published checkpoint (``cfg`` and ``model``), also a fine-tuned one.

    Read safely: tensors and plain values only. Anything that does not fit is an `InputError`.
    """
    checkpoint: Any = read_whole(path)
    if not isinstance(checkpoint, Mapping) or not isinstance(checkpoint.get("model"), Mapping):
        raise InputError(f"{path}: no BEATs checkpoint (expected the keys 'cfg' and 'model')")
    cfg = checkpoint.get("cfg") or {}
    for key, expected in FIXED.items():
        if cfg.get(key, expected) != expected:
            raise InputError(f"{path}: cfg '{key}' is {cfg[key]!r}, expected {expected!r}")
    state = {k: v for k, v in checkpoint["model"].items() if not k.startswith("predictor.")}
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: 'model' holds something other than tensors")
    first = state.get(f"encoder.layers.0.{SHARED}")
    for key in [key for key in state if key.endswith(SHARED) and ".layers.0." not in key]:
        if first is None or not torch.equal(state.pop(key), first):
            raise InputError(f"{path}: weight '{key}' differs from that of the first layer")
    try:
        sizes = sizes_of(state, int(cfg.get("max_distance", 800)))
        network = BEATs(**sizes)
    except KeyError as error:
        raise InputError(f"{path}: weight {error} is missing") from None
    except (IndexError, ValueError, RuntimeError, ZeroDivisionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: weights of impossible shapes ({reason})") from None
    load_into(network, {key: value.float() for key, value in state.items()}, str(path))
    return network, sizes
