"""Savings of the fault-tolerant network from keeping only the top T of the pairs.

    python benchmarks/sparse_attention.py [--mics 6 11 16 32 64] [--top-t 0.1 0.3 0.5] --json OUT

Published sizes; forward and backward pass of the part that processes pairs: pair tokens, and
cross-attention of all tokens to them. ``dense`` keeps all pairs. ``masked`` computes all weights
and then zeroes all but the top T of each query. ``query`` gathers the top T of each query and head,
``frame`` the top T most coherent pairs of a frame before any computation. FLOPs are counted; memory
is what the forward pass keeps for the backward pass, plus its inputs; times are CPU seconds of one
thread, measured in turn, and a ratio is of the times of one round.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from pathlib import Path
from unittest import mock

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy

import numpy as np
import pandas as pd
import torch
from measuring import add_output, canvas, finish, label_sizes, summary, take_turns
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from wavloc.methods.learned import layers
from wavloc.methods.learned.fault_tolerant import FaultTolerant, Options
from wavloc.reporting.style import save

EMBED_DIM, HEADS, LAGS = 256, 4, 629
VARIANTS = ("dense", "masked", "query", "frame")


def masked(query: Tensor, key: Tensor, value: Tensor, present: Tensor, top_t: float) -> Tensor:
    """Top-T attention through a dense matrix of weights."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    index, kept = layers.strongest(scores, present[:, None, None], top_t)
    keep = torch.zeros_like(scores, dtype=torch.bool).scatter(-1, index, kept)
    return scores.masked_fill(~keep, float("-inf")).softmax(-1) @ value


class PairStream(torch.nn.Module):
    """The part of `FaultTolerant` whose cost grows with the number of pairs."""

    def __init__(self, variant: str, top_t: float):
        super().__init__()
        self.variant = variant
        options = Options(
            embed_dim=EMBED_DIM, encoder_depth=0, decoder_depth=0, heads=HEADS,
            top_t=1.0 if variant == "dense" else top_t,
            keep="frame" if variant == "frame" else "query",
        )  # fmt: skip
        self.network = FaultTolerant(options, 1, 1, LAGS)

    def forward(self, tokens: Tensor, gcc: Tensor, coherence: Tensor) -> Tensor:
        """tokens (B, 2 M, embed_dim), gcc (B, M (M - 1), lags), coherence (B, M (M - 1) / 2)."""
        count = tokens.shape[1] // 2
        has_audio = torch.ones(len(tokens), count, dtype=torch.bool)
        pairs, counted = self.network.pair_tokens(tokens[:, :count], gcc, coherence, has_audio)
        sparse = masked if self.variant == "masked" else layers.sparse_attention
        with mock.patch.object(layers, "sparse_attention", sparse):
            return self.network.to_pairs(tokens, pairs, counted)


def step(stream: PairStream, inputs: tuple[Tensor, ...]) -> None:
    """Forward and backward pass."""
    stream(*inputs).square().mean().backward()
    stream.zero_grad(set_to_none=True)


def flops(stream: PairStream, inputs: tuple[Tensor, ...]) -> int:
    """FLOPs of forward and backward pass, including sums of gathered values, which torch omits."""
    # On a CPU, only plain matrix products are counted, not fused attention.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step(stream, inputs)
    tokens, gcc, _ = inputs
    gathered = 0
    if stream.variant == "query":
        kept = max(1, int(np.ceil(stream.network.top_t * gcc.shape[1] - layers.ROUNDING)))
        gathered = 3 * 2 * tokens.shape[0] * tokens.shape[1] * kept * EMBED_DIM
    return counter.get_total_flops() + gathered


def kept_bytes(stream: PairStream, inputs: tuple[Tensor, ...]) -> int:
    """Bytes kept for the backward pass: distinct storages other than those of parameters."""
    parameters = {p.untyped_storage().data_ptr() for p in stream.parameters()}
    sizes: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in parameters:
            sizes[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        output = stream(*inputs)  # kept alive, so that no storage is reused
    del output
    return sum(sizes.values())


def run(mics: int, top_t: float, batch: int, rounds: int) -> list[dict]:
    """Rows of the result for one number of microphones and one fraction of pairs."""
    generator = torch.Generator().manual_seed(mics)
    torch.manual_seed(0)
    number = mics * (mics - 1)
    inputs = (
        torch.randn(batch, 2 * mics, EMBED_DIM, generator=generator),
        torch.randn(batch, number, LAGS, generator=generator),
        torch.rand(batch, number // 2, generator=generator),
    )
    streams = {variant: PairStream(variant, top_t) for variant in VARIANTS}
    steps = {name: functools.partial(step, stream, inputs) for name, stream in streams.items()}
    times = take_turns(steps, rounds)
    counted = {name: flops(stream, inputs) for name, stream in streams.items()}
    memory = {name: kept_bytes(stream, inputs) for name, stream in streams.items()}
    return [
        {
            "mics": mics,
            "pairs": number,
            "top_t": top_t,
            "variant": variant,
            "gflop_per_frame": counted[variant] / batch / 1e9,
            "flops: dense / variant": counted["dense"] / counted[variant],
            "memory: dense / variant": memory["dense"] / memory[variant],
            "mb_per_frame": memory[variant] / batch / 1e6,
            "seconds_per_frame": times[variant].min() / batch,
        }
        | summary("time: dense / variant", times["dense"] / times[variant])
        for variant in VARIANTS[1:]
    ]


def plot(rows: pd.DataFrame, stem: Path) -> None:
    """Ratios of times over microphones, for the smallest fraction of pairs."""
    figure, axes = canvas(1, 5)
    smallest = rows[rows["top_t"] == rows["top_t"].min()]
    for variant, points in smallest.groupby("variant", sort=False):
        axes[0, 0].loglog(points["mics"], points["median"], "o-", label=variant)
    label_sizes(axes[0, 0], sorted(set(rows["mics"])), "microphones", "time: dense / variant")
    axes[0, 0].legend(frameon=False)
    save(figure, stem)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mics", type=int, nargs="+", default=[6, 11, 16, 32, 64])
    parser.add_argument("--top-t", type=float, nargs="+", default=[0.1, 0.3, 0.5])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    add_output(parser)
    args = parser.parse_args()
    if min(args.mics) < 2 or min(args.batch, args.rounds) < 1:
        parser.error("expected two microphones, one frame and one round at least")
    if not 0 < min(args.top_t) <= max(args.top_t) <= 1:
        parser.error("expected fractions above 0, up to 1")
    torch.set_num_threads(1)
    rows = [
        row
        for mics in args.mics
        for top_t in args.top_t
        for row in run(mics, top_t, args.batch, args.rounds)
    ]
    finish(rows, args, "sparse_attention", plot)


if __name__ == "__main__":
    sys.exit(main())
